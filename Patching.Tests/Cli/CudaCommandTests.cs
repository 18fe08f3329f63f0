using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Clip;
using Patching.Model.Weights;
using Patching.Tests.Ptx;

namespace Patching.Tests.Cli;

/// <summary>The whole procedure on a CUDA device, through the real command line; the device is the stand-in driver or, with PATCHING_TEST_GPU=1, the machine's.</summary>
internal sealed class CudaCommandTests
{
    private StandInDriver? driver;
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld()
    {
        if (!StandInDriver.UsesHardware) driver = StandInDriver.Visible();
        world = new TinyWorld();
    }

    [TearDown]
    public void RemoveWorld()
    {
        world?.Dispose();
        driver?.Dispose();
    }

    [Test]
    public void PatchRunsInMixedPrecision()
    {
        string results = world["results.jsonl"], save = world["cuda"];
        string[] alphas = ["--alpha", "0.5", "1"], common = ["--epochs", "1", "--batch-size", "12", "--warmup_length", "1"];
        Outcome cuda = TinyWorld.Do(world.Patch([.. alphas, .. common, "--device", "cuda", "--precision", "bf16", "--save", save, "--results-db", results]));
        Assert.That(driver?.LastFault, Is.Null);
        Outcome host = TinyWorld.Do(world.Patch([.. alphas, .. common]));
        Assert.That(cuda.OutputLines, Has.Length.EqualTo(host.OutputLines.Length));

        JsonElement[] lines = [.. File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(lines, Has.Length.EqualTo(2));
        foreach (JsonElement line in lines)
        {
            Assert.That(line.GetProperty("precision").GetString(), Is.EqualTo("bf16"));
            Assert.That(line.GetProperty("finetune").GetProperty("precision").GetString(), Is.EqualTo("bf16"));
            if (driver is not null) Assert.That(line.GetProperty("device").GetString(), Is.EqualTo("Stand-in H100"));
        }
        AssertSameDirection(Path.Combine(world.Save, "alpha=1"), Path.Combine(save, "alpha=1"));

        // The state on disk is that of any other run: the same command finds it complete, another precision is another fine-tune.
        Outcome again = TinyWorld.Do(world.Patch([.. alphas, .. common, "--device", "cuda", "--save", save]));
        Assert.That(again.Error, Does.Contain("training found complete"), "bf16 is the default on such a device");
        Assert.That(again.Output, Is.EqualTo(cuda.Output));
        Outcome other = TinyWorld.Run(world.Patch(["--alpha", "0.25", .. common, "--device", "cuda", "--precision", "fp32", "--save", save]));
        Assert.That((other.Code, other.ErrorLines.Length), Is.EqualTo((2, 1)));
        Assert.That(other.Error, Does.Contain("precision"));
    }

    [Test]
    public void InfoNamesTheDevice()
    {
        string info = TinyWorld.Do("info").Output;
        Assert.That(info, Does.Match("cuda +.*, compute capability [0-9.]+, driver for CUDA [0-9.]+, .* MiB"));
    }

    // AdamW's first steps have the size of the learning rate in the direction of the gradient's sign, so weights with a small gradient may go either way.
    private void AssertSameDirection(string host, string cuda)
    {
        using ClipCheckpoint start = ClipCheckpoint.Open(world.Model), expected = ClipCheckpoint.Open(host), actual = ClipCheckpoint.Open(cuda);
        double dot = 0, a = 0, b = 0;
        foreach (ParameterSpec spec in ParameterTable.Vision(start.Config))
        {
            float[] zero = new float[spec.Length], one = new float[spec.Length], other = new float[spec.Length];
            start.Read(spec, zero);
            expected.Read(spec, one);
            actual.Read(spec, other);
            for (int i = 0; i < zero.Length; i++)
            {
                double x = one[i] - zero[i], y = other[i] - zero[i];
                (dot, a, b) = (dot + x * y, a + x * x, b + y * y);
            }
        }
        Assert.That(dot / Math.Sqrt(a * b), Is.GreaterThan(0.98), "cosine of the two updates");
    }
}
