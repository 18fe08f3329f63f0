using System.Globalization;
using NUnit.Framework;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>A pass over a file that may be larger than memory holds no more of it than it is reading.</summary>
[Platform("Linux")]
internal sealed class MappedFileTests
{
    private const int Elements = 16 << 20;

    [Test]
    public void WhatHasBeenReadIsGivenBack([Values] bool readsOnce)
    {
        using var folder = new TemporaryFolder();
        string path = folder["big.safetensors"];
        float[] part = new float[1 << 20];
        using (var writer = new SafetensorsWriter(path, new Dictionary<string, string>(), [new SafetensorsTensor("x", SafetensorsType.F32, [Elements])], overwrite: false))
        {
            for (int i = 0; i < Elements / part.Length; i++)
            {
                Array.Fill(part, i + 1);
                writer.Write(part);
            }
            writer.Complete();
        }
        using TensorFile file = TensorFile.Open(path);
        file.ReadsOnce = readsOnce;
        long before = MappedMebibytes(), most = 0;
        for (int i = 0; i < Elements / part.Length; i++)
        {
            file.ReadFloat32("x", (long)i * part.Length, part);
            Assert.That(part, Is.All.EqualTo(i + 1));
            most = Math.Max(most, MappedMebibytes() - before);
        }
        Assert.That(most, readsOnce ? Is.LessThan(16) : Is.GreaterThan(48), "of 64");
    }

    /// <summary>Mebibytes of files that are mapped into this process and in memory.</summary>
    private static long MappedMebibytes() => long.Parse(
        File.ReadLines("/proc/self/status").First(line => line.StartsWith("RssFile", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture) >> 10;
}
