using System.Diagnostics;
using System.Globalization;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>Valid files with random damage, the same damage in every run: whatever comes out is values or an <see cref="InputException"/>, soon and in little memory.</summary>
internal sealed class CheckpointFuzzTests
{
    private const long AllowedBytes = 64 << 20;

    // More seconds, more damage: the sequence is the same, only longer.
    private static readonly double Seconds =
        double.TryParse(Environment.GetEnvironmentVariable("PATCHING_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out double seconds) ? seconds : 2;

    [TestCase("archive")]
    [TestCase("script")]
    [TestCase("stream")]
    [TestCase("pickle")]
    [TestCase("safetensors")]
    [TestCase("index")]
    [TestCase("resnet")]
    public void Damage_is_refused_or_harmless(string kind)
    {
        using var folder = new TemporaryFolder();
        (string path, string damaged) = Write(folder, kind);
        byte[] good = File.ReadAllBytes(damaged);
        Assert.That(Survives(path), Is.True, "the file is good before it is damaged");
        var random = new Random(7);
        var clock = Stopwatch.StartNew();
        int refused = 0, rounds = 0;
        while (clock.Elapsed.TotalSeconds < Seconds)
        {
            byte[] bad = Damage(good, random, kind);
            File.WriteAllBytes(damaged, bad);
            long before = GC.GetAllocatedBytesForCurrentThread();
            long start = clock.ElapsedMilliseconds;
            if (!Survives(path)) refused++;
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(AllowedBytes), $"round {rounds}");
            Assert.That(clock.ElapsedMilliseconds - start, Is.LessThan(20_000), $"round {rounds}");
            rounds++;
        }
        TestContext.Out.WriteLine($"{kind}: {refused} of {rounds} refused");
        Assert.That(refused, Is.GreaterThan(rounds / 10));
    }

    private static (string Path, string Damaged) Write(TemporaryFolder folder, string kind)
    {
        if (kind == "resnet")
        {
            File.Copy(Repository.Fixture("resnet", "model.safetensors"), folder["f.safetensors"]);
            return (folder["f.safetensors"], folder["f.safetensors"]);
        }
        TinyModel.Save(folder["m"]);
        if (kind == "index") ShardedTensorFileTests.Split(folder["m"]);
        if (kind == "index") return (folder["m"], folder["m", "model.safetensors.index.json"]);
        if (kind == "safetensors") return (folder["m"], folder["m", "model.safetensors"]);
        var writer = new TorchWriter(kind switch { "stream" => TorchForm.Stream, "pickle" => TorchForm.Pickle, _ => TorchForm.Archive });
        if (kind is "script" or "pickle") writer.Module(TorchFileTests.TinyTensors(SafetensorsType.F16), "clip.model", "CLIP", kind == "script");
        else writer.StateDict(TorchFileTests.TinyTensors(SafetensorsType.F16));
        File.WriteAllBytes(folder["f.pt"], writer.ToArray());
        return (folder["f.pt"], folder["f.pt"]);
    }

    /// <summary>Opens a model and reads all of it.</summary>
    private static bool Survives(string path)
    {
        try
        {
            using ClipCheckpoint checkpoint = ClipCheckpoint.Open(path);
            foreach (ParameterSpec spec in ParameterTable.All(checkpoint.Config)) TinyModel.Read(checkpoint, spec);
            return true;
        }
        catch (InputException error)
        {
            Assert.That(error.Message.AsSpan().IndexOfAny('\n', '\r'), Is.EqualTo(-1), "one line");
            return false;
        }
    }

    /// <summary>Bytes replaced, by others or by ones that matter to the format; pieces cut out, doubled, or the end cut off.</summary>
    private static byte[] Damage(byte[] good, Random random, string kind)
    {
        byte[] bad = [.. good];
        ReadOnlySpan<byte> telling = kind is "safetensors" or "index" or "resnet" ? "{}[]\",:-019e\\/."u8 : "(.0123}])RbcehjKJMXqtu\x80\x81\x85\x86\x87\x8A\xFF\x00\x7F"u8;
        // Most of a safetensors file is values; the header is at its beginning.
        int reach = kind is "safetensors" or "resnet" ? Math.Min(bad.Length, 4000) : bad.Length;
        for (int i = random.Next(1, 6); i > 0; i--)
            bad[random.Next(reach)] = random.Next(3) == 0 ? telling[random.Next(telling.Length)] : (byte)random.Next(256);
        int start = random.Next(reach), length = random.Next(1, 60);
        return random.Next(8) switch
        {
            0 => bad[..start],
            1 => [.. bad[..start], .. bad[Math.Min(bad.Length, start + length)..]],
            2 => [.. bad[..start], .. bad.AsSpan(start, Math.Min(length, bad.Length - start)), .. bad[start..]],
            _ => bad,
        };
    }
}
