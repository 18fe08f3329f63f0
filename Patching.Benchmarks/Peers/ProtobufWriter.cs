using System.Text;

namespace Patching.Benchmarks.Peers;

/// <summary>One message of Protocol Buffers' wire format: just what an ONNX file is made of.</summary>
internal sealed class ProtobufWriter
{
    private const int Varint = 0;
    private const int LengthDelimited = 2;
    private const int Fixed32 = 5;

    private readonly MemoryStream bytes = new();

    /// <summary>Adds an integer field.</summary>
    public ProtobufWriter Add(int field, long value)
    {
        WriteVarint(field << 3 | Varint);
        WriteVarint(value);
        return this;
    }

    /// <summary>Adds a single-precision field.</summary>
    public ProtobufWriter Add(int field, float value)
    {
        WriteVarint(field << 3 | Fixed32);
        bytes.Write(BitConverter.GetBytes(value));
        return this;
    }

    /// <summary>Adds a text field.</summary>
    public ProtobufWriter Add(int field, string value) => Add(field, Encoding.UTF8.GetBytes(value));

    /// <summary>Adds a field of bytes.</summary>
    public ProtobufWriter Add(int field, ReadOnlySpan<byte> value)
    {
        WriteVarint(field << 3 | LengthDelimited);
        WriteVarint(value.Length);
        bytes.Write(value);
        return this;
    }

    /// <summary>Adds a message field.</summary>
    public ProtobufWriter Add(int field, ProtobufWriter message) => Add(field, message.ToArray());

    /// <summary>The message.</summary>
    public byte[] ToArray() => bytes.ToArray();

    private void WriteVarint(long value)
    {
        ulong rest = (ulong)value;
        for (; rest >= 0x80; rest >>= 7) bytes.WriteByte((byte)(rest | 0x80));
        bytes.WriteByte((byte)rest);
    }
}
