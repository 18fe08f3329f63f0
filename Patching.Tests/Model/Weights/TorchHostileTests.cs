using System.IO.Compression;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Weights;
using Patching.Tests.Cli;
using Patching.Tests.Model.Data;

namespace Patching.Tests.Model.Weights;

/// <summary>
/// PyTorch files that attack, lie or are damaged: one line that names the file and the fault, exit code 2, and no more memory than a small multiple of the file's size.
/// </summary>
internal sealed class TorchHostileTests
{
    private const long AllowedBytes = 8 << 20;

    private static readonly byte[] Eight = [0, 0, 128, 63, 0, 0, 0, 64];

    private static IEnumerable<TestCaseData> Files() => [.. Pickles(), .. Tensors(), .. Archives(), .. Streams(), .. Truncated()];

    private static IEnumerable<TestCaseData> Pickles()
    {
        yield return Pickle("os.system", pickle => pickle.Global("os", "system").Unicode("touch owned").Raw(0x85).Op('R'), "asks for 'os system': loaded in Python the file would run code");
        yield return Pickle("posix.system", pickle => pickle.Global("posix", "system").Unicode("x").Raw(0x85).Op('R'), "'posix system'");
        yield return Pickle("subprocess below a package", pickle => pickle.Global("subprocess.x", "Popen"), "'subprocess.x Popen'");
        yield return Pickle("builtins.eval", pickle => pickle.Global("builtins", "eval").Unicode("1").Raw(0x85).Op('R'), "'builtins eval'");
        yield return Pickle("__builtin__.exec", pickle => pickle.Global("__builtin__", "exec"), "'__builtin__ exec'");
        yield return Pickle("getattr on a class of the file", pickle => pickle.Global("builtins", "getattr").Global("my", "module").Unicode("run").Raw(0x86).Op('R'), "Attribute is called in a way");
        yield return Pickle("a function of one's own", pickle => pickle.Global("my.module", "run").Op(')', 'R'), "wants 'my.module run' to be called");
        yield return Pickle("torch.load inside", pickle => pickle.Global("torch.serialization", "load").Unicode("x").Raw(0x85).Op('R'), "'torch.serialization load' to be called");
        yield return Pickle("a call of an inert object", pickle => pickle.Global("torchvision.transforms", "Compose").Op(')', 'R', ')', 'R'), "calls something that is no constructor");
        yield return Pickle("OBJ", pickle => pickle.Op('(').Global("my", "x").Op('o'), "opcode 0x6F");
        yield return Pickle("INST", pickle => pickle.Op('(', 'i').Raw("os\nsystem\n"u8.ToArray()), "opcode 0x69");
        yield return Pickle("EXT1", pickle => pickle.Raw(0x82, 1), "opcode 0x82");
        yield return Pickle("state for a number", pickle => pickle.Int(1).Op('}', 'b'), "gives a state to something");
        yield return Pickle("object of a number", pickle => pickle.Int(1).Op(')').Raw(0x81), "no class");
        yield return Pickle("call without tuple", pickle => pickle.Global("collections", "OrderedDict").Op('N', 'R'), "without a tuple");
        yield return Pickle("text of 4 GB", pickle => pickle.Op('X').UInt32(uint.MaxValue), "longer than any that is needed");
        yield return Pickle("bytes of 2^63", pickle => pickle.Raw(0x8E).Raw(BitConverter.GetBytes(1UL << 63)), "9223372036854775808 bytes are announced");
        yield return Pickle("number of 2 GB", pickle => pickle.Raw(0x8B).UInt32(int.MaxValue), "2147483647 bytes are announced");
        yield return Pickle("same key twice", pickle => pickle.Op('}', '(').Unicode("a").Op('N').Unicode("a").Op('N', 'u'), "the key 'a' is set twice");
        yield return Pickle("pair of one", pickle => pickle.Global("collections", "OrderedDict").Op(']', '(').Unicode("a").Op('t', 'a').Raw(0x85).Op('R'), "something else than pairs");
        yield return Pickle("no tensors", pickle => pickle.Op('}', '(').Unicode("epoch\n").Int(1).Op('u'), "holds no tensors under names; its entries are: epoch?");
        yield return Pickle("a number", pickle => pickle.Int(1), "holds no tensors under names");
        yield return Pickle("a dictionary inside itself", pickle => pickle.Op('}', 'q').Raw(1).Unicode("model").Op('h').Raw(1).Op('s'), "holds no tensors under names");
        yield return Pickle("a module inside itself", pickle => pickle.Global("a", "B").Op(')').Raw(0x81).Op('q').Raw(1).Op('}').Unicode("x").Op('h').Raw(1).Op('s', 'b'), "a module without tensors");
        yield return Pickle("modules nested deeply", NestedModules, "nested more than 64 deep");
        yield return Pickle("modules doubled thirty times", DoubledModules, "a module without tensors");
        yield return Pickle("three million steps", pickle => pickle.Raw([.. Enumerable.Repeat("N0"u8.ToArray(), 1_500_000).SelectMany(pair => pair)]).Op('N'), "more than 2097152 instructions");
        yield return Pickle("a persistent id that is text", pickle => pickle.Unicode("x").Op('Q'), "refers to something outside the pickle");
        yield return Pickle("a complex storage", pickle => pickle.Op('(').Unicode("storage").Global("torch", "ComplexFloatStorage").Unicode("0").Unicode("cpu").Int(1).Op('t', 'Q'), "that is no storage");
        yield return Case("empty pickle", [0x80, 2], "ends in the middle");
        yield return Case("two pickles", [0x80, 2, (byte)'N', (byte)'.', 0, 0, 0, 0, 0, 0], "bytes after its pickle");
        yield return Case("tar", [.. new byte[257], .. "ustar"u8, .. new byte[250]], "is a tar archive");
        yield return Case("storages nested twice", Nested(), "nested in one another");
    }

    private static IEnumerable<TestCaseData> Tensors()
    {
        yield return Views("huge storage", writer => writer.View("0", SafetensorsType.F32, [2], [1], 0, elements: int.MaxValue), "announces 2147483647 elements");
        yield return Views("negative storage", writer => writer.View("0", SafetensorsType.F32, [2], [1], 0, elements: -1), "announces -1 elements");
        yield return Views("huge shape", writer => writer.View("0", SafetensorsType.F32, [1L << 40, 1L << 40], [1, 1], 0), "reaches beyond or repeats the 2 elements");
        yield return Views("shape that wraps around", writer => writer.View("0", SafetensorsType.F32, [1L << 62, 4], [0, 0], 0), "beyond or repeats");
        yield return Views("stride 0", writer => writer.View("0", SafetensorsType.F32, [1000], [0], 0), "beyond or repeats");
        yield return Views("stride that wraps around", writer => writer.View("0", SafetensorsType.F32, [2], [long.MaxValue], 1), "beyond or repeats");
        yield return Views("stride beyond the end", writer => writer.View("0", SafetensorsType.F32, [2], [2], 0), "beyond or repeats");
        yield return Views("offset beyond the end", writer => writer.View("0", SafetensorsType.F32, [1], [1], 2), "beyond or repeats");
        yield return Views("offset beyond the end of nothing", writer => writer.View("0", SafetensorsType.F32, [0], [1], 3), "beyond or repeats");
        yield return Views("negative offset", writer => writer.View("0", SafetensorsType.F32, [1], [1], -1), "beyond or repeats");
        yield return Views("negative size", writer => writer.View("0", SafetensorsType.F32, [-1], [1], 0), "no positive number");
        yield return Views("negative stride", writer => writer.View("0", SafetensorsType.F32, [2], [-1], 1), "no positive number");
        yield return Views("sizes without strides", writer => writer.View("0", SafetensorsType.F32, [1, 2], [1], 0), "2 sizes and 1 strides");
        yield return Views("65 dimensions", writer => writer.View("0", SafetensorsType.F32, [.. new long[65]], [.. new long[65]], 0), "65 dimensions");
        yield return Views("one storage of two sizes", writer =>
        {
            writer.View("0", SafetensorsType.F32, [1], [1], 0);
            writer.Pickle.Unicode("y");
            writer.View("0", SafetensorsType.F32, [1], [1], 0, elements: 1);
        }, "announced with two sizes");
        yield return Views("the same data in a thousand tensors", writer =>
        {
            for (int i = 0; i < 1000; i++)
            {
                writer.View("big", SafetensorsType.F32, [100_000], [1], 0);
                writer.Pickle.Unicode($"t{i}");
            }
            writer.View("0", SafetensorsType.F32, [2], [1], 0);
        }, "used over and over");
    }

    private static IEnumerable<TestCaseData> Archives()
    {
        List<ZipPart> good = Good(TorchForm.Archive).ToEntries();
        ZipPart pickle = good[0], tensor = good.Single(part => part.Name == "archive/data/0");
        TestCaseData With(string name, ZipPart part, string expected, params ZipPart[] without) => Case(name, TorchWriter.Zip([.. good.Except(without), part]), expected);
        yield return With("path upwards", new("archive/../../x", Eight), "leads out of the archive");
        yield return With("absolute path", new("/etc/cron.d/x", Eight), "leads out of the archive");
        yield return With("backslashes", new("..\\x", Eight), "leads out of the archive");
        yield return With("drive", new("c:x", Eight), "leads out of the archive");
        yield return With("entry twice", pickle, "'archive/data.pkl' occurs twice");
        yield return With("two pickles", new("other/data.pkl", pickle.Bytes), "2 entries NAME/data.pkl");
        yield return With("no pickle", new("x", Eight), "0 entries NAME/data.pkl", pickle);
        yield return With("no storage", new("x", Eight), "has no entry 'archive/data/0'", tensor);
        yield return With("storage too short", tensor with { Bytes = tensor.Bytes[..4] }, "has 4 bytes, but data.pkl needs 8", tensor);
        yield return With("storage longer than the file", tensor with { StoredLength = 1 << 30, Length = 1 << 30 }, "claims 1073741824 bytes", tensor);
        yield return With("two lengths", tensor with { Length = 4 }, "says that its 8 bytes are 4", tensor);
        yield return Case("overlapping entries", TorchWriter.Zip([good[0], good[1] with { StoredLength = 70, Length = 70 }, .. good[2..]]), "overlaps the entry before it");
        yield return Case("same bytes under two names", TorchWriter.Zip([.. good, good[0] with { Name = "archive/datb.pkl", Local = 0 }]), "another name in its own header");
        yield return With("another name inside", tensor with { LocalName = "archive/data/1" }, "another name in its own header", tensor);
        yield return With("header somewhere else", tensor with { Local = 5 }, "no header where", tensor);
        yield return With("header beyond the end", tensor with { Local = uint.MaxValue - 1 }, "lies outside the file", tensor);
        yield return With("encrypted", tensor with { Flags = 1 }, "is encrypted", tensor);
        yield return With("bzip2", tensor with { Method = 12 }, "is packed by method 12", tensor);
        yield return With("compressed tensor", tensor with { Packed = Deflate(tensor.Bytes) }, "is compressed, which PyTorch never does", tensor);
        yield return With("zip bomb", pickle with { Packed = Deflate(new byte[100]), Length = 50 << 20 }, "which is impossible", pickle);
        yield return With("bomb within the ratio", pickle with { Packed = Deflate(new byte[40 << 20]), Length = 1000 }, "unpacks to more than the 1000 bytes", pickle);
        yield return With("pickle of a gigabyte", pickle with { Packed = Deflate(new byte[40 << 20]), Length = 1 << 30 }, "1073741824 bytes; 67108864 are allowed", pickle);
        yield return With("damaged compression", pickle with { Packed = [7, 255, 255, 1], Length = 100 }, "cannot be unpacked", pickle);
        yield return With("less than announced", pickle with { Packed = Deflate(pickle.Bytes), Length = (uint)pickle.Bytes.Length + 1 }, "cannot be unpacked", pickle);
        yield return With("big endian", new("archive/byteorder", "big"u8.ToArray()), "byte order is 'big'", good[1]);
        yield return With("endless byte order", new("archive/byteorder", new byte[100]), "100 bytes; 16 are allowed", good[1]);
        yield return Case("more entries than there are", TorchWriter.Zip(good, count: good.Count + 1), "is cut short");
        yield return Case("fewer entries than there are", TorchWriter.Zip(good, count: 1), "more than the 1 entries");
        yield return Case("65535 entries", TorchWriter.Zip(good, count: ushort.MaxValue), "zip64 end record is missing");
        yield return Case("many entries", TorchWriter.Zip(good, count: 60000), "announces 60000 entries");
        yield return Case("bytes after the end", [.. TorchWriter.Zip(good), 0], "table of contents is missing");
        byte[] wide = TorchWriter.Zip(good, zip64: true);
        yield return Case("zip64 record elsewhere", Change(wide, wide.Length - 22 - 12, BitConverter.GetBytes(ulong.MaxValue)), "lies outside the file");
        yield return Case("zip64 count of 2^64", Change(wide, wide.Length - 22 - 20 - 56 + 32, BitConverter.GetBytes(ulong.MaxValue)), "announces 18446744073709551615 entries");
        yield return Case("zip64 directory of 2^64", Change(wide, wide.Length - 22 - 20 - 56 + 40, BitConverter.GetBytes(ulong.MaxValue)), "lies outside the file");
    }

    private static IEnumerable<TestCaseData> Streams()
    {
        TorchWriter good = Good(TorchForm.Stream);
        yield return Case("big-endian stream", good.ToStream(littleEndian: false), "big-endian machine");
        yield return Case("unknown storage", good.ToStream(keys: ["other"]), "which no tensor uses");
        yield return Case("storage twice", good.ToStream(keys: ["0", "0"]), "twice");
        yield return Case("storage missing", good.ToStream(keys: [])[..^16], "does not hold storage '0'");
        yield return Case("bytes after the last storage", [.. good.ToStream(), 1], "1 bytes after its last storage");
        byte[] bytes = good.ToStream();
        yield return Case("another count", Change(bytes, bytes.Length - 16, BitConverter.GetBytes(3L)), "3 elements in storage '0'");
        yield return Case("negative count", Change(bytes, bytes.Length - 16, BitConverter.GetBytes(-1L)), "-1 elements");
        yield return Case("another protocol", good.ToStream(protocol: new PickleWriter().Int(7).Op('.').ToArray()), "not of the one known version");
        yield return Case("code in the protocol", good.ToStream(protocol: new PickleWriter().Global("os", "system").Op('.').ToArray()), "'os system'");
        var view = new TorchWriter(TorchForm.Stream);
        view.Pickle.Op('(').Unicode("storage").Global("torch", "FloatStorage").Unicode("0").Unicode("cpu").Int(2).Op('(').Unicode("v").Int(1).Int(2).Op('t', 't', 'Q');
        yield return Case("view beyond its storage", view.ToStream(), "reaches beyond its 2 elements");
    }

    private static IEnumerable<TestCaseData> Truncated()
    {
        foreach (TorchForm form in Enum.GetValues<TorchForm>())
        {
            byte[] bytes = Good(form).ToArray();
            for (int tenth = 1; tenth < 10; tenth++) yield return Case($"{form} cut at {tenth} tenths", bytes[..(bytes.Length * tenth / 10)], "");
            yield return Case($"{form} without its last byte", bytes[..^1], "");
        }
    }

    [TestCaseSource(nameof(Files))]
    public void Is_refused_in_one_line_without_memory(byte[] bytes, string expected)
    {
        using var folder = new TemporaryFolder();
        string path = folder["model.pt"];
        File.WriteAllBytes(path, bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        var error = Assert.Throws<InputException>(() => ClipCheckpoint.Open(path).Dispose())!;
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.That(error.Message, Does.StartWith(path).And.Contain(expected));
        Assert.That(error.Message.Any(char.IsControl), Is.False, "one line");
        Assert.That(allocated, Is.LessThan(AllowedBytes + (16 * bytes.LongLength)));
        Outcome outcome = TinyWorld.Run(["info", "--model", path]);
        Assert.That((outcome.Code, outcome.Output, outcome.ErrorLines.Length), Is.EqualTo((2, "", 1)), outcome.Error);
        Assert.That(folder.Entries(), Is.EqualTo(new[] { "model.pt" }), "nothing was unpacked");
    }

    private static TorchWriter Good(TorchForm form)
    {
        var writer = new TorchWriter(form);
        writer.StateDict([("visual.proj", SafetensorsType.F32, [2, 1], Eight)]);
        return writer;
    }

    private static TestCaseData Pickle(string name, Action<PickleWriter> content, string expected)
    {
        var writer = new TorchWriter(TorchForm.Archive);
        content(writer.Pickle);
        return Case(name, writer.ToArray(), expected);
    }

    private static TestCaseData Views(string name, Action<TorchWriter> content, string expected)
    {
        var writer = new TorchWriter(TorchForm.Archive);
        writer.Storages.Add(("0", "FloatStorage", Eight));
        writer.Storages.Add(("big", "FloatStorage", new byte[400_000]));
        writer.Pickle.Op('}', '(').Unicode("x");
        content(writer);
        writer.Pickle.Op('u');
        return Case(name, writer.ToArray(), expected);
    }

    private static void NestedModules(PickleWriter pickle)
    {
        for (int i = 0; i < 100; i++) pickle.Global("a", "B").Op(')').Raw(0x81).Op('}').Unicode("x");
        pickle.Op('N');
        for (int i = 0; i < 100; i++) pickle.Op('s', 'b');
    }

    // A module that holds the one before it twice: 2^30 paths lead to the innermost.
    private static void DoubledModules(PickleWriter pickle)
    {
        pickle.Global("a", "B").Op(')').Raw(0x81);
        for (int i = 0; i < 30; i++)
            pickle.Op('q').Raw((byte)i).Global("a", "B").Op(')').Raw(0x81).Op('}', '(').Unicode("x").Op('h').Raw((byte)i).Unicode("y").Op('h').Raw((byte)i).Op('u', 'b');
    }

    private static byte[] Nested()
    {
        byte[] inner = new PickleWriter().Global("torch.storage", "_load_from_bytes").Op('C').Raw(0).Raw(0x85).Op('R', '.').ToArray();
        byte[] stream = [.. TorchStream.Magic, .. new PickleWriter().Op('M').Raw(0xE9, 3).Op('.').ToArray(), .. new PickleWriter().Op('}').Unicode("little_endian").Raw(0x88).Op('s', '.').ToArray(), .. inner];
        return new PickleWriter(4).Global("torch.storage", "_load_from_bytes").Op('B').UInt32((uint)stream.Length).Raw(stream).Raw(0x85).Op('R', '.').ToArray();
    }

    private static byte[] Deflate(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var deflate = new DeflateStream(packed, CompressionLevel.SmallestSize)) deflate.Write(bytes);
        return packed.ToArray();
    }

    private static byte[] Change(byte[] file, int at, byte[] bytes)
    {
        byte[] changed = [.. file];
        bytes.CopyTo(changed, at);
        return changed;
    }

    private static TestCaseData Case(string name, byte[] bytes, string expected) => new TestCaseData(bytes, expected).SetName($"{{m}}({name})");
}
