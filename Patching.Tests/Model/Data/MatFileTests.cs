using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data.Matlab;

namespace Patching.Tests.Model.Data;

internal sealed class MatFileTests
{
    [TestCase(false)]
    [TestCase(true)]
    public void ReadsNumbersTextCellsAndStructures(bool compress)
    {
        byte[] file = new MatWriter()
            .Add(MatWriter.Bytes("X", [2, 3], [1, 2, 3, 4, 5, 6]), compress)
            .Add(MatWriter.Number("n", 1000), compress)
            .Add(MatWriter.Cells("class_names", [1, 3], MatWriter.Text("", "äb"), MatWriter.Element(MatWriter.Matrix, []),
                MatWriter.Text("", "c")), compress)
            .Add(MatWriter.Structs("rows", [1, 2], ["fname", "class"],
                MatWriter.Text("", "1.jpg"), MatWriter.Number("", 7), MatWriter.Text("", "2.jpg"), MatWriter.Number("", 8)), compress)
            .ToArray();
        MatFile mat = MatFile.Read(file, "x.mat");
        MatNumbers numbers = mat.Numbers("X");
        Assert.That((numbers.Shape, numbers.Bytes!.Value.ToArray()), Is.EqualTo((new[] { 2, 3 }, new byte[] { 1, 2, 3, 4, 5, 6 })));
        Assert.That(mat.Numbers("n").Integer(0), Is.EqualTo(1000));
        Assert.That(mat.Texts(mat.Cells("class_names").Cells, "names"), Is.EqualTo(new[] { "äb", "", "c" }));
        MatStructs rows = mat.Structs("rows");
        Assert.That(mat.Texts(mat.Field(rows, "fname"), "fname"), Is.EqualTo(new[] { "1.jpg", "2.jpg" }));
        Assert.That(mat.Integers(rows, "class"), Is.EqualTo(new[] { 7, 8 }));
        Assert.That(mat.Has("Y"), Is.False);
    }

    [Test]
    public void ReadsEveryTypeOfNumber()
    {
        (uint Type, byte[] Data, double Value)[] types =
        [
            (1, [0xFE], -2), (2, [200], 200), (3, [0xFE, 0xFF], -2), (4, [0, 1], 256), (5, BitConverter.GetBytes(-70000), -70000),
            (6, BitConverter.GetBytes(3000000000u), 3000000000), (7, BitConverter.GetBytes(1.5f), 1.5),
                (9, BitConverter.GetBytes(2.25), 2.25),
            (12, BitConverter.GetBytes(-5L), -5), (13, BitConverter.GetBytes(5UL), 5),
        ];
        foreach ((uint type, byte[] data, double value) in types)
        {
            byte[] element = data.Length <= 4 ? MatWriter.Small(type, data) : MatWriter.Element(type, data);
            MatFile mat = MatFile.Read(new MatWriter().Add(MatWriter.Array("v", 6, [1, 1], element)).ToArray(), "x.mat");
            Assert.That(mat.Numbers("v")[0], Is.EqualTo(value), $"type {type}");
        }
    }

    private static IEnumerable<TestCaseData> Bad()
    {
        TestCaseData Case(string what, byte[] file, string message) => new TestCaseData(file, message).SetArgDisplayNames(what);
        byte[] good = MatWriter.Bytes("X", [2, 2], [1, 2, 3, 4]);
        yield return Case("empty", [], "shorter than the header");
        yield return Case("text", new byte[200], "no MATLAB file");
        yield return Case("version 7.3", new MatWriter("MATLAB 7.3 MAT-file", version: 0x0200).Add(good).ToArray(), "save it with '-v7'");
        yield return Case("HDF5", [0x89, .. "HDF\r\n"u8], "save it with '-v7'");
        yield return Case("big-endian", new MatWriter(order: "MI").Add(good).ToArray(), "big-endian");
        yield return Case("half a tag", new MatWriter().Add([14, 0, 0]).ToArray(), "within a tag");
        yield return Case("long element", new MatWriter().Add([14, 0, 0, 0, 255, 255, 255, 255]).ToArray(),
            "4294967295 bytes where 0 are left");
        yield return Case("damaged small tag", new MatWriter().Add([14, 0, 9, 0, 0, 0, 0, 0]).ToArray(), "damaged tag");
        yield return Case("no dimensions", new MatWriter().Add(MatWriter.Element(14, MatWriter.Element(6, [9, 0, 0, 0]))).ToArray(),
            "ends within an array");
        yield return Case("huge array", new MatWriter().Add(MatWriter.Bytes("X", [int.MaxValue, int.MaxValue], [1])).ToArray(),
            "impossible size");
        yield return Case("negative size", new MatWriter().Add(MatWriter.Bytes("X", [-1, 2], [1])).ToArray(), "impossible size");
        yield return Case("missing elements", new MatWriter().Add(MatWriter.Bytes("X", [30, 30], [1, 2])).ToArray(),
            "900 elements that holds 2 bytes");
        yield return Case("missing cells", new MatWriter().Add(MatWriter.Cells("c", [1, 9], MatWriter.Text("", "a"))).ToArray(),
            "ends within an array");
        yield return Case("not zlib", new MatWriter().Add([15, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).ToArray(),
            "compressed variable is damaged");
        byte[] cut = MatWriter.Compress(good)[..^8];
        cut[4] -= 8;
        yield return Case("cut zlib", new MatWriter().Add(cut).ToArray(), "compressed variable is damaged");
        yield return Case("a bomb's tag", new MatWriter().Add([14, 0, 0, 0, 255, 255, 255, 127], compress: true).ToArray(),
            "which is impossible");
        byte[] nested = MatWriter.Text("", "deep");
        for (int i = 0; i < 50; i++) nested = MatWriter.Cells("", [1, 1], nested);
        yield return Case("deep nesting", new MatWriter().Add(nested).ToArray(), "nested too deeply");
        yield return Case("other variable", new MatWriter().Add(MatWriter.Text("Y", "y")).ToArray(), "holds no variable 'X'");
        yield return Case("other kind", new MatWriter().Add(MatWriter.Text("X", "y")).ToArray(), "'X' is char [1, 1]");
        yield return Case("sparse", new MatWriter().Add(MatWriter.Array("X", 5, [1, 1], [])).ToArray(), "'X' is sparse");
    }

    [TestCaseSource(nameof(Bad))]
    public void WhatIsDamagedIsSaidInALine(byte[] file, string message)
    {
        InputException? error = Assert.Throws<InputException>(() => MatFile.Read(file, "x.mat").Numbers("X"));
        Assert.That(error!.Message, Does.StartWith("x.mat: ").And.Contains(message).And.Not.Contains("\n"));
    }

    [Test]
    public void DamagedBytesAreRefusedOrRead()
    {
        byte[] good = new MatWriter()
            .Add(MatWriter.Structs("rows", [1, 1], ["fname"],
            MatWriter.Cells("", [1, 2], MatWriter.Text("", "a"), MatWriter.Number("", 3))))
            .Add(MatWriter.Bytes("X", [2, 2], [1, 2, 3, 4]), compress: true).ToArray();
        var random = new Random(3);
        for (int i = 0; i < 3000; i++)
        {
            byte[] bad = [.. good];
            for (int changes = random.Next(1, 4); changes > 0; changes--) bad[random.Next(128, bad.Length)] = (byte)random.Next(256);
            try
            {
                MatFile.Read(i % 4 == 0 ? bad[..random.Next(bad.Length)] : bad, "x.mat");
            }
            catch (InputException e)
            {
                Assert.That(e.Message, Does.StartWith("x.mat: ").And.Not.Contains("\n"));
            }
        }
    }
}
