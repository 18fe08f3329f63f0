using System.Text;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

internal sealed class SafetensorsWriterTests
{
    private static readonly Dictionary<string, string> NoMetadata = [];

    [Test]
    public void Every_half_and_bfloat16_becomes_the_same_float()
    {
        using var folder = new TemporaryFolder();
        ushort[] all = [.. Enumerable.Range(0, 65536).Select(value => (ushort)value)];
        byte[] raw = [.. all.SelectMany(BitConverter.GetBytes)];
        // A byte in front makes everything unaligned.
        string json = """{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"""
            + ""","h":{"dtype":"F16","shape":[65536],"data_offsets":[1,131073]}"""
            + ""","w":{"dtype":"BF16","shape":[65536],"data_offsets":[131073,262145]}}""";
        File.WriteAllBytes(folder["f"], [.. TinyModel.Raw(json, 0), 0, .. raw, .. raw]);
        using SafetensorsFile file = SafetensorsFile.Open(folder["f"]);
        float[] halves = new float[65536], words = new float[65536];
        file.ReadFloat32("h", halves);
        file.ReadFloat32("w", words);
        Assert.Multiple(() =>
        {
            Assert.That(halves.Select(Bits), Is.EqualTo(all.Select(value => Bits((float)BitConverter.UInt16BitsToHalf(value)))));
            Assert.That(words.Select(Bits), Is.EqualTo(all.Select(value => Bits(BitConverter.UInt32BitsToSingle((uint)value << 16)))));
        });
        float[] tail = new float[65536 - 13];
        file.ReadFloat32("h", 13, tail);
        Assert.That(tail.Select(Bits), Is.EqualTo(halves[13..].Select(Bits)));
        Assert.That(() => file.ReadFloat32("h", 14, tail), Throws.TypeOf<ArgumentOutOfRangeException>());

        // Any two NaNs count as equal: only the payload may differ.
        static uint Bits(float value) => float.IsNaN(value) ? uint.MaxValue : BitConverter.SingleToUInt32Bits(value);
    }

    [Test]
    public void Doubles_are_rounded_to_nearest()
    {
        using var folder = new TemporaryFolder();
        double[] values = [1 + Math.ScaleB(1, -24), 1 + 3 * Math.ScaleB(1, -24), -0.1, 1e300, double.NaN];
        byte[] header = TinyModel.Raw("""{"d":{"dtype":"F64","shape":[5],"data_offsets":[0,40]}}""", 0);
        File.WriteAllBytes(folder["f"], [.. header, .. values.SelectMany(BitConverter.GetBytes)]);
        using SafetensorsFile file = SafetensorsFile.Open(folder["f"]);
        float[] read = new float[5];
        file.ReadFloat32("d", read);
        Assert.That(read, Is.EqualTo(new[] { 1, 1 + MathF.ScaleB(1, -22), -0.1f, float.PositiveInfinity, float.NaN }));
    }

    [Test]
    public void BFloat16_rounds_to_nearest_even()
    {
        // 8 mantissa bits with the hidden one: at 256 the spacing is 2.
        float[] values = [257, 259, 257.0001f, -257, -259, 0, -0f, float.Epsilon, 3.389e38f, float.NaN, float.NegativeInfinity];
        float[] expected = [256, 260, 258, -256, -260, 0, -0f, 0, 3.3895314e38f, float.NaN, float.NegativeInfinity];
        Assert.That(RoundTrip(SafetensorsType.BF16, values), Is.EqualTo(expected));
    }

    [Test]
    public void Half_rounds_to_nearest_even()
    {
        float[] values = [2049, 2051, -2049, 65504, 65519, MathF.ScaleB(1, -25), MathF.ScaleB(1.5f, -25), float.NaN];
        float[] expected = [2048, 2052, -2048, 65504, 65504, 0, MathF.ScaleB(1, -24), float.NaN];
        Assert.That(RoundTrip(SafetensorsType.F16, values), Is.EqualTo(expected));
    }

    [TestCase(SafetensorsType.F16, 65520f)]
    [TestCase(SafetensorsType.BF16, float.MaxValue)]
    public void Too_large_a_value_is_refused_and_leaves_nothing_behind(SafetensorsType type, float value)
    {
        using var folder = new TemporaryFolder();
        float[] values = new float[1000];
        values[777] = value;
        Assert.That(
            () => Write(folder["f"], type, values), Throws.TypeOf<InputException>().With.Message.Contains($"t are too large for {type}"));
        Assert.That(folder.Entries(), Is.Empty);
    }

    [Test]
    public void Bytes_are_as_the_format_says()
    {
        using var folder = new TemporaryFolder();
        var metadata = new Dictionary<string, string> { ["z"] = "last", ["a"] = "first \"\n" };
        SafetensorsTensor[] tensors = [new("n", SafetensorsType.I64, []), new("empty", SafetensorsType.F32, [0]),
            new("t", SafetensorsType.F32, [1, 2])];
        using (var writer = new SafetensorsWriter(folder["f"], metadata, tensors))
        {
            writer.WriteInt64(-2);
            writer.Write([1f]);
            writer.Write([-1f]);
            writer.Complete();
        }
        byte[] bytes = File.ReadAllBytes(folder["f"]);
        int header = (int)BitConverter.ToUInt64(bytes);
        Assert.That(header % 8, Is.Zero);
        Assert.That(Encoding.UTF8.GetString(bytes, 8, header).TrimEnd(), Is.EqualTo(
            """{"__metadata__":{"a":"first \u0022\n","z":"last"},"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]}"""
            + ""","empty":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},"t":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}"""));
        Assert.That(Convert.ToHexString(bytes[(8 + header)..]), Is.EqualTo("FEFFFFFFFFFFFFFF0000803F000080BF"));
        Assert.That(folder.Entries(), Is.EqualTo(new[] { "f" }));
    }

    [Test]
    public void Metadata_can_be_replaced_by_as_many_bytes()
    {
        using var folder = new TemporaryFolder();
        SafetensorsTensor[] tensors = [new("t", SafetensorsType.F32, [2])];
        void WriteWith(string name, string first, string? later)
        {
            using var writer = new SafetensorsWriter(folder[name], new Dictionary<string, string> { ["key"] = first }, tensors);
            writer.Write([1f, 2f]);
            if (later is not null) writer.ReplaceMetadata(new Dictionary<string, string> { ["key"] = later });
            writer.Complete();
        }
        WriteWith("expected", "after!", null);
        WriteWith("replaced", "before", "after!");
        Assert.That(File.ReadAllBytes(folder["replaced"]), Is.EqualTo(File.ReadAllBytes(folder["expected"])));
        Assert.That(() => WriteWith("longer", "before", new string('x', 20)), Throws.ArgumentException);
        Assert.That(folder.Entries(), Is.EqualTo(new[] { "expected", "replaced" }));
    }

    [Test]
    public void Large_files_are_whole_though_they_are_written_out_on_the_way()
    {
        using var folder = new TemporaryFolder();
        // More than two of the pieces after which the disk is asked to begin.
        uint[] values = [.. Enumerable.Range(0, 18_000_001).Select(i => (uint)i * 2654435761)];
        using (var writer = new SafetensorsWriter(folder["f"], NoMetadata, [new("t", SafetensorsType.U32, [values.Length])]))
        {
            for (int done = 0; done < values.Length; done += 1_000_003) writer.WriteBits<uint>(values.AsSpan(done, Math.Min(1_000_003, values.Length - done)));
            writer.Complete();
        }
        using SafetensorsFile file = SafetensorsFile.Open(folder["f"]);
        Assert.That(file.Bytes("t").SequenceEqual(System.Runtime.InteropServices.MemoryMarshal.AsBytes<uint>(values)), Is.True);
    }

    [Test]
    public void Incomplete_files_vanish()
    {
        using var folder = new TemporaryFolder();
        using (var writer = new SafetensorsWriter(folder["f"], NoMetadata, [new("t", SafetensorsType.F32, [2])]))
        {
            writer.Write([1f]);
            Assert.That(writer.Complete, Throws.TypeOf<InvalidOperationException>());
            Assert.That(() => writer.Write([1f, 2f]), Throws.TypeOf<InvalidOperationException>());
        }
        Assert.That(folder.Entries(), Is.Empty);
    }

    [Test]
    public void Existing_files_are_kept_unless_told()
    {
        using var folder = new TemporaryFolder();
        Write(folder["f"], SafetensorsType.F32, [1]);
        byte[] before = File.ReadAllBytes(folder["f"]);
        Assert.That(() => Write(folder["f"], SafetensorsType.F32, [2]),
            Throws.TypeOf<InputException>().With.Message.Contains("exists already"));
        Assert.That(File.ReadAllBytes(folder["f"]), Is.EqualTo(before));
        Write(folder["f"], SafetensorsType.F32, [2], overwrite: true);
        Assert.That(File.ReadAllBytes(folder["f"]), Is.Not.EqualTo(before));
        Assert.That(() => Write(folder["none", "f"], SafetensorsType.F32, [2]),
            Throws.TypeOf<InputException>().With.Message.Contains("cannot be written"));
    }

    private static float[] RoundTrip(SafetensorsType type, float[] values)
    {
        using var folder = new TemporaryFolder();
        Write(folder["f"], type, values);
        using SafetensorsFile file = SafetensorsFile.Open(folder["f"]);
        Assert.That(file.Tensors["t"].DType, Is.EqualTo(type));
        float[] read = new float[values.Length];
        file.ReadFloat32("t", read);
        return read;
    }

    private static void Write(string path, SafetensorsType type, float[] values, bool overwrite = false)
    {
        using var writer = new SafetensorsWriter(path, NoMetadata, [new("t", type, [values.Length])], overwrite);
        writer.Write(values);
        writer.Complete();
    }
}
