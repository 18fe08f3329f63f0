using NUnit.Framework;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>Files that lie about themselves give one line that names the file and the fault.</summary>
internal sealed class SafetensorsHostileTests
{
    private const string A = """ "a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]} """;

    private const string AlsoF32 = """ {"dtype":"F32","shape":[2],"data_offsets":""";

    private static IEnumerable<TestCaseData> Files()
    {
        yield return Case("empty file", [], "0 bytes are too few");
        yield return Case("seven bytes", new byte[7], "7 bytes are too few");
        yield return Case("truncated header", TinyModel.Raw("{" + A + "}", 8)[..20], "claims");
        yield return Case("header one byte too long", TinyModel.Raw("{}", 0, 3), "claims 3 bytes");
        yield return Case("header length 2^63", TinyModel.Raw("{}", 0, 1UL << 63), "claims 9223372036854775808 bytes");
        yield return Case("header length 2^64-1", TinyModel.Raw("{}", 0, ulong.MaxValue), "claims 18446744073709551615");
        yield return Case("empty header", TinyModel.Raw("", 0), "not a JSON object");
        yield return Case("not JSON", TinyModel.Raw("{hello}", 0), "not valid JSON");
        yield return Case("JSON array", TinyModel.Raw("[1]", 0), "not a JSON object");
        yield return Case("cut JSON", TinyModel.Raw("{\"a\":{", 0), "not valid JSON");
        yield return Case("two objects", TinyModel.Raw("{}{}", 0), "not valid JSON");
        yield return Case("deep nesting", TinyModel.Raw("{\"a\":" + new string('[', 500), 0), "not valid JSON");
        yield return Case("lone surrogate", TinyModel.Raw("{\"\\ud800\":1}", 0), "not valid JSON");
        yield return Case("pickle", [0x80, 2, 0x63, 0x6f, 0x73, 0x0a, 0x73, 0x79, 0x73, 0x74], "claims");
        yield return Case("duplicate tensor", TinyModel.Raw("{" + A + "," + A + "}", 8), "not valid JSON");
        yield return Case("duplicate member", TinyModel.Raw("""{"a":{"dtype":"F32","dtype":"F16","shape":[2]}}""", 8), "not valid JSON");
        yield return Case("tensor is a number", TinyModel.Raw("""{"a":3}""", 0), "'a' is not described by an object");
        yield return Case("no dtype", TinyModel.Raw("""{"a":{"shape":[2],"data_offsets":[0,8]}}""", 8), "'a' has no dtype");
        yield return Case("unknown dtype", Tensor("F33", "[2]", "[0,8]"), "unknown dtype 'F33'");
        yield return Case("dtype as number text", Tensor("11", "[2]", "[0,8]"), "unknown dtype '11'");
        yield return Case("no shape", TinyModel.Raw("""{"a":{"dtype":"F32","data_offsets":[0,8]}}""", 8), "no list 'shape'");
        yield return Case("negative shape", Tensor("F32", "[-2]", "[0,8]"), "has '-2' in 'shape'");
        yield return Case("fractional shape", Tensor("F32", "[2.5]", "[0,8]"), "'2.5' in 'shape'");
        yield return Case("shape above 2^63", Tensor("F32", "[18446744073709551617]", "[0,8]"), "'18446744073709551617' in 'shape'");
        yield return Case("overflowing shape", Tensor("F32", "[4611686018427387904,4,4611686018427387904,8]", "[0,8]"), "not what F32");
        yield return Case("product that wraps to the right size", Tensor("F32", "[4611686018427387904,4,2]", "[0,0]", 0), "not what F32");
        yield return Case("wrong element count", Tensor("F32", "[3]", "[0,8]"), "has 8 bytes of data, which is not what F32 [3] needs");
        yield return Case("wrong element size", Tensor("F16", "[2]", "[0,8]"), "not what F16 [2]");
        yield return Case("out of range", Tensor("F32", "[4]", "[0,16]"), "outside the 8 bytes of data");
        yield return Case("offset above the file", Tensor("F32", "[2]", "[9223372036854775799,9223372036854775807]"),
            "outside the 8 bytes");
        yield return Case("reversed offsets", Tensor("F32", "[2]", "[8,0]"), "outside the 8 bytes");
        yield return Case("three offsets", Tensor("F32", "[2]", "[0,4,8]"), "two data_offsets");
        yield return Case("hole at the start", Tensor("F32", "[1]", "[4,8]"), "leaves a hole of 4 bytes");
        yield return Case("bytes after the end", Tensor("F32", "[1]", "[0,4]"), "4 bytes after the last tensor");
        yield return Case("overlap", TinyModel.Raw($$"""{{{A}},"b":{{AlsoF32}}[4,12]} }""", 12), "'b' overlaps tensor 'a'");
        yield return Case("same place twice", TinyModel.Raw($$"""{{{A}},"b":{{AlsoF32}}[0,8]} }""", 8), "overlaps");
        yield return Case("hole", TinyModel.Raw($$"""{{{A}},"b":{{AlsoF32}}[12,20]} }""", 20), "'b' leaves a hole of 4 bytes");
        yield return Case("metadata is a list", TinyModel.Raw("""{"__metadata__":[]}""", 0), "__metadata__ is not an object");
        yield return Case("metadata is a number", TinyModel.Raw("""{"__metadata__":{"k":1}}""", 0), "'k' is not a text");
        yield return Case("name with line breaks", TinyModel.Raw("""{"a\r\nb\u001b\u2028":3}""", 0), "'a??b??'");
    }

    [TestCaseSource(nameof(Files))]
    public void Is_refused(byte[] bytes, string expected)
    {
        using var folder = new TemporaryFolder();
        string path = folder["model.safetensors"];
        File.WriteAllBytes(path, bytes);
        var error = Assert.Throws<InputException>(() => SafetensorsFile.Open(path).Dispose())!;
        Assert.That(error.Message, Does.StartWith($"{path}: ").And.Contain(expected));
        Assert.That(error.Message.AsSpan().IndexOfAny('\n', '\r'), Is.EqualTo(-1), "one line");
    }

    [Test]
    public void Header_above_the_limit_is_refused_without_being_read()
    {
        using var folder = new TemporaryFolder();
        string path = folder["model.safetensors"];
        using (FileStream sparse = File.Create(path))
        {
            sparse.Write(BitConverter.GetBytes(200_000_000UL));
            sparse.SetLength(300_000_000);
        }
        Assert.That(() => SafetensorsFile.Open(path), Throws.TypeOf<InputException>().With.Message.Contains("the format allows 100000000"));
    }

    [Test]
    public void Damaged_headers_never_crash()
    {
        using var folder = new TemporaryFolder();
        TinyModel.Save(folder["m"]);
        byte[] file = File.ReadAllBytes(folder["m", "model.safetensors"]), config = File.ReadAllBytes(folder["m", "config.json"]);
        int header = (int)BitConverter.ToUInt64(file);
        var random = new Random(1);
        int refused = 0;
        for (int round = 0; round < 3000; round++)
        {
            byte[] damaged = Damage(file[8..(8 + header)], random);
            if (Refuses(() => SafetensorsHeader.Parse("f", damaged, 8 + header, file.Length - 8 - header))) refused++;
            if (Refuses(() => HuggingFaceConfig.ParseConfig("c", Damage(config, random)))) refused++;
        }
        // Damage inside a name or a default goes unnoticed here; most of it must not.
        Assert.That(refused, Is.InRange(2000, 6000));
    }

    [Test]
    public void Missing_file_and_directory_are_refused()
    {
        using var folder = new TemporaryFolder();
        Assert.That(() => SafetensorsFile.Open(folder["none"]),
            Throws.TypeOf<InputException>().With.Message.Contains("there is no such file"));
        Assert.That(() => SafetensorsFile.Open(folder["no", "folder"]),
            Throws.TypeOf<InputException>().With.Message.Contains("there is no such file"));
        Assert.That(() => SafetensorsFile.Open(folder.Path), Throws.TypeOf<InputException>().With.Message.Contains("cannot be read"));
    }

    [Test]
    public void Unusual_but_valid_files_are_read()
    {
        using var folder = new TemporaryFolder();
        string path = folder["model.safetensors"];
        // Out of order, unaligned, empty tensors, unknown members, blanks after the header: all allowed by the format.
        string json = """
            {"z":{"dtype":"I64","shape":[],"data_offsets":[3,11],"more":{"x":1}},"e":{"dtype":"F32","shape":[0,9],"data_offsets":[3,3]},
            "__metadata__":{"k":"v"},"u":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}
            """ + "     ";
        byte[] bytes = TinyModel.Raw(json, 11);
        bytes[^8] = 42;
        File.WriteAllBytes(path, bytes);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.That(file.Tensors.Keys, Is.EquivalentTo(new[] { "z", "e", "u" }));
        Assert.That(file.ReadInt64Scalar("z"), Is.EqualTo(42));
        Assert.That(file.Bytes("u").Length, Is.EqualTo(3));
        Assert.That(file.Metadata["k"], Is.EqualTo("v"));
        file.ReadFloat32("e", []);
        Assert.That(() => file.ReadFloat32("u", new float[3]), Throws.TypeOf<InputException>().With.Message.Contains("'u' is U8"));
        Assert.That(() => file.ReadInt64Scalar("u"), Throws.TypeOf<InputException>().With.Message.Contains("expected one I64"));
        file.Dispose();
        Assert.That(() => file.ReadInt64Scalar("z"), Throws.TypeOf<ObjectDisposedException>());
    }

    private static bool Refuses(Action read)
    {
        try
        {
            read();
            return false;
        }
        catch (InputException)
        {
            return true;
        }
    }

    /// <summary>A copy with a few bytes replaced, some by structural characters and digits, or with a piece cut out.</summary>
    private static byte[] Damage(byte[] bytes, Random random)
    {
        byte[] damaged = [.. bytes];
        ReadOnlySpan<byte> telling = "{}[]\",:-0129eE\\un "u8;
        for (int i = random.Next(1, 4); i > 0; i--)
            damaged[random.Next(damaged.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : telling[random.Next(telling.Length)];
        int start = random.Next(damaged.Length);
        return random.Next(4) == 0 ? [.. damaged[..start], .. damaged[Math.Min(damaged.Length, start + random.Next(40))..]] : damaged;
    }

    private static byte[] Tensor(string type, string shape, string offsets, int dataLength = 8) =>
        TinyModel.Raw($$"""{"a":{"dtype":"{{type}}","shape":{{shape}},"data_offsets":{{offsets}} } }""", dataLength);

    private static TestCaseData Case(string name, byte[] bytes, string expected) =>
        new TestCaseData(bytes, expected).SetName($"{{m}}({name})");
}
