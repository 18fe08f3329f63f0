using System.Buffers.Binary;
using System.Text;

namespace Patching.Tests.Model.Data;

/// <summary>Writes pickle opcodes one after the other, as Python 2 and 3 write CIFAR-10 batches, or in ways no Python would.</summary>
internal sealed class PickleWriter
{
    private readonly MemoryStream stream = new();

    public PickleWriter(byte protocol = 2) => Raw(0x80, protocol);

    public byte[] ToArray() => stream.ToArray();

    public PickleWriter Raw(params byte[] bytes)
    {
        stream.Write(bytes);
        return this;
    }

    public PickleWriter Op(params ReadOnlySpan<char> opcodes)
    {
        foreach (char opcode in opcodes) stream.WriteByte((byte)opcode);
        return this;
    }

    /// <summary>SHORT_BINSTRING: a string of Python 2.</summary>
    public PickleWriter Text(string text) => Op('U').Raw((byte)text.Length).Raw(Encoding.ASCII.GetBytes(text));

    /// <summary>BINUNICODE.</summary>
    public PickleWriter Unicode(string text) => Op('X').UInt32((uint)Encoding.UTF8.GetByteCount(text)).Raw(Encoding.UTF8.GetBytes(text));

    public PickleWriter Global(string module, string name) => Op('c').Raw(Encoding.ASCII.GetBytes($"{module}\n{name}\n"));

    public PickleWriter Int(int value) => Op('J').UInt32((uint)value);

    public PickleWriter UInt32(uint value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return Raw(bytes);
    }

    /// <summary>A numpy uint8 array as CIFAR-10's files hold it (<paramref name="bytesOpcode"/>: T for Python 2, B for Python 3).</summary>
    public PickleWriter Array(int rows, int columns, ReadOnlySpan<byte> data, string type = "u1", char bytesOpcode = 'T',
        string module = "numpy.core.multiarray")
    {
        Global(module, "_reconstruct").Global("numpy", "ndarray").Op('K').Raw(0, 0x85).Text("b").Raw(0x87).Op('R', '(');
        Op('K').Raw(1).Int(rows).Int(columns).Raw(0x86);
        Global("numpy", "dtype").Text(type).Op('K').Raw(0).Op('K').Raw(1).Raw(0x87).Op('R');
        Op('(', 'K').Raw(3).Text("|").Op('N', 'N', 'N').Int(-1).Int(-1).Op('K').Raw(0).Op('t', 'b');
        Raw(0x89).Op(bytesOpcode).UInt32((uint)data.Length);
        stream.Write(data);
        return Op('t', 'b');
    }

    public PickleWriter Labels(params ReadOnlySpan<int> labels)
    {
        Op(']', '(');
        foreach (int label in labels) Int(label);
        return Op('e');
    }

    /// <summary>A whole batch; byte p of image i is <c>i * 31 + p</c> mod 256.</summary>
    public static byte[] Batch(params ReadOnlySpan<int> labels) =>
        new PickleWriter().Op('}', 'q').Raw(0).Op('(').Text("data").Array(labels.Length, 3072, Pixels(labels.Length))
            .Text("labels").Op('q').Raw(2).Labels(labels).Op('u', '.').ToArray();

    public static byte[] Pixels(int count)
    {
        byte[] pixels = new byte[count * 3072];
        for (int i = 0; i < pixels.Length; i++) pixels[i] = (byte)((i / 3072 * 31) + (i % 3072));
        return pixels;
    }
}
