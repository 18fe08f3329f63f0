using System.ComponentModel;
using System.Diagnostics;
using NUnit.Framework;
using Patching.Benchmarks.Gpu;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Benchmarks;

/// <summary>The GPU benchmarks, tried out on the processor beside a peer of three lines of shell; and what the report makes of measurements.</summary>
internal sealed class GpuCommandTests
{
    private string folder = "";

    [SetUp]
    public void CreateFolder() => folder = Directory.CreateTempSubdirectory("patching-gpu-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(folder, recursive: true);

    [Test]
    public void EngineAndPeerTakeTurns()
    {
        string script = Path.Combine(folder, "peer.sh"), log = Path.Combine(folder, "jobs");
        File.WriteAllText(script, $"while read job; do echo \"$job\" >> {log}; echo '{{\"ok\": true, \"seconds\": 0.5, \"peak_bytes\": 1e9, \"torch\": \"none\"}}'; done");
        int code = GpuCommand.Run(
            ["--device", "cpu", "--models", "tiny", "--batch", "2", "--classes", "5", "--rounds", "3", "--seconds", "0", "--only", "optimizer,inference,step",
             "--python", "/bin/sh", "--peer", script, "--out", folder]);
        Assert.That(code, Is.Zero);
        GpuMeasurement[] rows = [.. File.ReadLines(Path.Combine(folder, "measurements.jsonl")).Select(GpuMeasurement.Parse)];
        GpuMeasurement[] step = [.. rows.Where(row => row.Section == "step")];
        Assert.That(step.Select(row => row.Engine), Is.EqualTo(["patching", "torch eager", "torch compiled"]));
        foreach (GpuMeasurement row in step) Assert.That(row.Seconds, Has.Count.EqualTo(3), row.Engine);
        Assert.That(step[0].Median, Is.GreaterThan(0));
        Assert.That((step[1].Median, step[1].PeakBytes), Is.EqualTo((0.5, 1e9)));
        string[] jobs =
        [
            .. File.ReadLines(log).Where(line => line.Contains("\"step\"", StringComparison.Ordinal))
                .Select(line => line.Contains("eager", StringComparison.Ordinal) ? "eager" : "compiled"),
        ];
        Assert.That(jobs, Is.EqualTo(["eager", "compiled", "eager", "compiled", "eager", "compiled"]));
        Assert.That(File.ReadAllText(Path.Combine(folder, "report.md")), Does.Contain("| fine-tune step, tiny | PyTorch eager bf16 |"));
    }

    [Test]
    public void WithoutPeerOnlyItsNumbersAreMissing()
    {
        int code = GpuCommand.Run(
            ["--device", "cpu", "--models", "tiny", "--batch", "2", "--rounds", "1", "--seconds", "0", "--only", "kernels,accuracy,losses,attention", "--python", "no-such-python",
             "--peer", "peer.py", "--out", folder]);
        Assert.That(code, Is.Zero);
        string report = File.ReadAllText(Path.Combine(folder, "report.md"));
        Assert.That(report, Does.Contain("no peer: no-such-python cannot be started").And.Contain("| attention forward and backward, tiny | PyTorch SDPA | - | >= 1.00 | not measured |"));
        Assert.That(report, Does.Contain("| tiny forward | patching |"));
    }

    [Test]
    public void EveryKernelIsHandedToTheDriver()
    {
        using StandInDriver? driver = StandInDriver.UsesHardware ? null : StandInDriver.Visible();
        int code = GpuCommand.Run(["--only", "kernels", "--peer", "none", "--out", folder]);
        GpuMeasurement[] kernels = [.. File.ReadLines(Path.Combine(folder, "measurements.jsonl")).Select(GpuMeasurement.Parse).Where(row => row.Section == "kernels")];
        Assert.That(kernels.Where(row => row.Failure is not null).Select(row => $"{row.Name}: {row.Failure}"), Is.Empty);
        Assert.That(code, Is.Zero);
        // The stand-in is a GPU of capability 9.0, which runs all of them.
        if (driver is not null) Assert.That(kernels.Select(row => row.Name), Is.EquivalentTo(CudaKernel.All.Select(kernel => kernel.Name)));
    }

    [Test]
    public void BothKindsOfTensorCoresAreMeasured()
    {
        if (StandInDriver.UsesHardware) Assert.Ignore("runs on real hardware, not on the stand-in driver");
        using StandInDriver driver = StandInDriver.Visible();
        using Device device = Device.Open(DeviceKind.Cuda);
        using PeerProcess none = new("python3", null, "cpu");
        List<TensorCores> prepared = [];
        GpuWork work = new("gemm", "tiny", "nothing", 1, null, Prepare, []) { ByTensorCores = true };
        GpuOptions options = GpuOptions.Parse(["--rounds", "2", "--seconds", "0"]);
        IReadOnlyList<GpuMeasurement> rows = work.Measure(device, none, options);
        Assert.That(rows.Select(row => (row.Engine, row.Seconds.Count)), Is.EqualTo([("patching", 2), ("patching mma.sync", 2), ("patching wgmma", 2)]));
        Assert.That(prepared, Is.EqualTo([TensorCores.Best, TensorCores.MmaSync, TensorCores.Wgmma]));
        Assert.That(device.TensorCores, Is.EqualTo(TensorCores.Best));
        rows = (work with { ByTensorCores = false }).Measure(device, none, options);
        Assert.That(rows.Select(row => row.Engine), Is.EqualTo(["patching"]));

        PreparedWork Prepare(Device on)
        {
            prepared.Add(on.TensorCores);
            return new PreparedWork(() => { }, 1, null, []);
        }
    }

    /// <summary>
    /// Our gradients in both precisions against PyTorch's own in double precision. PyTorch's autocast rounds about the same tensors to bfloat16 as we do; ours may
    /// be at most twice as far off.
    /// </summary>
    [Test]
    [Explicit("needs a python3 with PyTorch, and executes two training steps instruction by instruction")]
    public void GradientsAreThoseOfPyTorch()
    {
        if (PythonWithTorch() is not { } python)
        {
            Assert.Ignore("no python3 with PyTorch here");
            return;
        }
        using StandInDriver? driver = StandInDriver.UsesHardware ? null : StandInDriver.Visible();
        string script = Repository.Above("eng", "peer_torch.py") ?? Repository.Above("peer_torch.py")!;
        int code = GpuCommand.Run(
            ["--only", "accuracy", "--models", "tiny", "--python", python, "--peer", script, "--peer-device", "cpu", "--out", folder]);
        Assert.That(code, Is.Zero);
        GpuMeasurement[] rows = [.. File.ReadLines(Path.Combine(folder, "measurements.jsonl")).Select(GpuMeasurement.Parse).Where(row => row.Section == "accuracy")];
        Assert.That(rows.Where(row => row.Failure is not null).Select(row => row.Failure), Is.Empty);
        double Error(string engine) => rows.Single(row => row.Engine == engine).Values![0];
        TestContext.Out.WriteLine($"fp32 {Error("patching fp32"):e2}, bf16 {Error("patching bf16"):e2}, PyTorch's autocast {Error("torch bf16 autocast"):e2}");
        Assert.That(Error("patching fp32"), Is.LessThan(1e-5));
        Assert.That(Error("patching bf16"), Is.InRange(1e-4, 2 * Error("torch bf16 autocast")));
    }

    private static string? PythonWithTorch() => ((string[])["python3", "/usr/bin/python3"]).FirstOrDefault(python =>
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(python) { ArgumentList = { "-c", "import torch" }, RedirectStandardError = true })!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    });

    [Test]
    public void OutOfTimeIsSaid()
    {
        Assert.That(GpuCommand.Run(["--device", "cpu", "--models", "tiny", "--minutes", "0", "--only", "step", "--peer", "none", "--out", folder]), Is.Zero);
        Assert.That(File.ReadAllText(Path.Combine(folder, "report.md")), Does.Contain("Out of time, not measured: step tiny batch 128."));
    }

    [Test]
    public void TheReportComparesWithWhatIsWanted()
    {
        GpuMeasurement Row(string section, string model, string name, string engine, double milliseconds) =>
            new() { Section = section, Model = model, Name = name, Engine = engine, Seconds = [milliseconds / 1e3, milliseconds / 1e3, 1] };
        GpuMeasurement Error(string engine, double error) => new() { Section = "accuracy", Model = "A", Engine = engine, Values = [error] };
        string file = Path.Combine(folder, "a.jsonl"), output = Path.Combine(folder, "report.md");
        GpuMeasurement[] rows =
        [
            Row("gemm", "A", "x", "patching", 2), Row("gemm", "A", "x", "torch", 1), Row("gemm", "A", "y", "patching", 1), Row("gemm", "A", "y", "torch", 2), Row("gemm", "A", "y", "patching wgmma", 1),
            Row("step", "A", "batch 1", "patching", 4) with { PeakBytes = 5e9 }, Row("step", "A", "batch 1", "torch eager", 6) with { PeakBytes = 1e10 },
            Row("step", "A", "batch 1", "torch compiled", 3), Row("copy", "", "1 GiB", "torch", 1) with { Bytes = 2e9 },
            Row("interpolate", "A", "all parameters", "patching", 1) with { Bytes = 1.9e9 }, Error("patching bf16", 0.03), Error("torch bf16 autocast", 0.02),
        ];
        File.WriteAllLines(file, rows.Select(row => row.ToJson()));
        Assert.That(GpuCommand.Report([file, "--out", output]), Is.Zero);
        string[] expected =
        [
            "| bf16 GEMM, A, geometric mean of layers and forms | cuBLAS | 1.00 | >= 0.70 | reached |",
            "| bf16 GEMM, A, geometric mean of layers and forms, patching wgmma | cuBLAS | 2.00 | >= 0.95 | reached |",
            "| fine-tune step, A | PyTorch eager bf16 | 1.50 | >= 1.20 | reached |",
            "| fine-tune step, A | PyTorch compiled bf16 | 0.75 | >= 1.00 | not reached |",
            "| interpolation, A | copy bandwidth | 0.95 | >= 0.90 | reached |",
            "| memory of the step, A | PyTorch eager | 0.50 | <= 0.60 | reached |",
            "| error of the gradient, A | PyTorch bf16 autocast | 1.50 | <= 2.00 | reached |",
        ];
        string report = File.ReadAllText(output);
        foreach (string line in expected) Assert.That(report, Does.Contain(line));
    }

    [Test]
    public void AMachineWithoutAGpuIsToldSo()
    {
        // No stand-in is visible here.
        if (Device.CudaIsAvailable()) Assert.Ignore("there is a GPU here");
        Assert.That(GpuCommand.Run(["--only", "copy", "--peer", "none", "--out", folder]), Is.EqualTo(2));
    }

    [Test]
    public void BadUsageIsRefused()
    {
        Assert.That(GpuCommand.Run(["--only", "everything"]), Is.EqualTo(2));
        Assert.That(GpuCommand.Run(["--rounds", "0"]), Is.EqualTo(2));
        Assert.That(GpuCommand.Run(["--rounds"]), Is.EqualTo(2));
        Assert.That(GpuCommand.Report([]), Is.EqualTo(2));
        Assert.That(GpuCommand.Report([Path.Combine(folder, "missing")]), Is.EqualTo(2));
    }
}
