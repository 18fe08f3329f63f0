using System.Globalization;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>What a file in use costs, and what happens when somebody else changes it.</summary>
[Platform("Linux")]
internal sealed class MappedFileTests
{
    private const int Elements = 16 << 20;

    [Test]
    public void APassHoldsNothingOfTheFile()
    {
        using var folder = new TemporaryFolder();
        float[] part = new float[1 << 20];
        using TensorFile file = TensorFile.Open(Write(folder["big.safetensors"], part));
        long before = MappedMebibytes(), most = 0;
        for (int i = 0; i < Elements / part.Length; i++)
        {
            file.ReadFloat32("x", (long)i * part.Length, part);
            Assert.That(part, Is.All.EqualTo(i + 1));
            most = Math.Max(most, MappedMebibytes() - before);
        }
        Assert.That(most, Is.LessThan(16), "of 64");
    }

    [Test]
    public void AFileThatIsCutShortWhileItIsOpenIsAnError()
    {
        using var folder = new TemporaryFolder();
        string path = folder["big.safetensors"];
        float[] part = new float[1 << 20];
        using TensorFile file = TensorFile.Open(Write(path, part));
        using (FileStream stream = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) stream.SetLength(10 << 20);
        file.ReadFloat32("x", part.Length, part);
        Assert.That(part, Is.All.EqualTo(2));
        Assert.That(() => file.ReadFloat32("x", 2L * part.Length, part), Throws.TypeOf<InputException>().With.Message.Contains("ends after 10485760 bytes"));
    }

    private static string Write(string path, float[] part)
    {
        using var writer = new SafetensorsWriter(path, new Dictionary<string, string>(), [new SafetensorsTensor("x", SafetensorsType.F32, [Elements])], overwrite: false);
        for (int i = 0; i < Elements / part.Length; i++)
        {
            Array.Fill(part, i + 1);
            writer.Write(part);
        }
        writer.Complete();
        return path;
    }

    /// <summary>Mebibytes of files that are mapped into this process and in memory.</summary>
    private static long MappedMebibytes() => long.Parse(
        File.ReadLines("/proc/self/status").First(line => line.StartsWith("RssFile", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture) >> 10;
}
