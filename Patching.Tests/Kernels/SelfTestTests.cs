using NUnit.Framework;
using Patching.Cli.Commands;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Kernels;

internal sealed class SelfTestTests
{
    [Test]
    public void PassesOnDevicesThatEveryMachineHas([Values(DeviceKind.Host, DeviceKind.Simulator)] DeviceKind kind)
    {
        SelfTestResult[] results = [.. SelfTest.Run(() => Device.Open(kind, 2), Random.Shared.Next())];
        Assert.That(results.Where(result => !result.Passed), Is.Empty);
        Assert.That(results.Select(result => result.Kernel.Split('.')[0]).Distinct().Count(), Is.EqualTo(18), "families");
        Assert.That(results.Where(result => double.IsNaN(result.Error) || result.Time == TimeSpan.Zero), Is.Empty);
    }

    /// <summary>In both precisions, launchers, graphs of PTX and all; with PATCHING_TEST_GPU=1 on the machine's GPU.</summary>
    [Test]
    public void PassesOnCuda()
    {
        using StandInDriver? driver = StandInDriver.UsesHardware ? null : StandInDriver.Visible();
        List<SelfTestResult> results = [];
        foreach (SelfTestResult result in SelfTest.Run(() => Device.Open(DeviceKind.Cuda), Random.Shared.Next(), small: driver is not null))
        {
            results.Add(result);
            // After a fault the driver answers nothing but errors.
            if (driver?.LastFault is { } fault) Assert.Fail($"{result.Kernel} {result.Shape}: {fault.Message}");
        }
        Assert.That(string.Join('\n', results.Where(result => !result.Passed).Select(result => $"{result.Kernel} {result.Shape}: {result.Failure}")), Is.Empty);
        Assert.That(results.Count(result => result.Kernel.Contains("bf16", StringComparison.Ordinal)), Is.GreaterThan(30));
    }

    [Test]
    public void SameSeedSameInputs()
    {
        double[] Errors(int seed) => [.. SelfTest.Run(Host, seed, _ => [Check("a", Noise), Check("b", Noise)]).Select(result => result.Error)];
        Assert.That(Errors(7), Is.EqualTo(Errors(7)));
        Assert.That(Errors(7), Is.Not.EqualTo(Errors(8)));
        Assert.That(Errors(7)[0], Is.Not.EqualTo(Errors(7)[1]));
    }

    [Test]
    public void WrongResultsAreFound()
    {
        SelfTestCheck[] checks =
        [
            Check("right", trial => trial.Compare("y", [1f, 2f], [1, 2], [1, 2])),
            Check("one element slightly off", trial => trial.Compare("y", [1f, 2.00001f], [1, 2], [1, 2])),
            Check("never written", trial => trial.CompareExactly("y", trial.Poisoned(2), [1f, 2f])),
            Check("NaN among good ones", trial => trial.Compare("y", [float.NaN, 2f], [1, 2], [1, 2])),
            Check("infinite", trial => trial.Compare("y", [1f, float.PositiveInfinity], [1, 2], [1, 2])),
            Check("wrong index", trial => trial.CompareExactly("y", trial.Tensor([3], 1), [4])),
            Check("second output", trial =>
            {
                trial.Compare("y", [1f], [1], [1]);
                trial.Compare("z", [1f], [2], [2]);
            }),
            Check("forgot to compare", _ => { }),
        ];
        SelfTestResult[] results = [.. SelfTest.Run(Host, 1, _ => checks)];
        Assert.That(results.Where(result => result.Passed).Select(result => result.Kernel), Is.EqualTo(new[] { "right" }));
        Assert.That(results[6].Failure, Does.StartWith("z:"));
        Assert.That(results[6].Error, Is.EqualTo(1));
    }

    [Test]
    public void AKernelThatThrowsIsOneRowAndTheRestRunsOnAnotherDevice()
    {
        List<Device> opened = [];
        Device Open()
        {
            opened.Add(Host());
            return opened[^1];
        }
        SelfTestCheck[] checks =
        [
            Check("good", Noise),
            Check("bad", _ => throw new InvalidOperationException("outer", new NotSupportedException("no such\ninstruction"))),
            Check("good again", Noise),
        ];
        SelfTestResult[] results = [.. SelfTest.Run(Open, 1, _ => checks)];
        Assert.That(results.Select(result => result.Passed), Is.EqualTo(new[] { true, false, true }));
        Assert.That(results[1].Failure, Is.EqualTo("NotSupportedException: no such instruction"));
        Assert.That(opened, Has.Count.EqualTo(2));
    }

    [Test]
    public void ADeviceThatCannotBeOpenedAgainFailsTheRest()
    {
        int opened = 0;
        Device Open() => opened++ == 0 ? Host() : throw new DeviceException("gone");
        SelfTestResult[] results = [.. SelfTest.Run(Open, 1, _ => [Check("bad", _ => throw new InvalidOperationException("x")), Check("good", Noise)])];
        Assert.That(results.Select(result => result.Failure), Is.EqualTo(new[] { "InvalidOperationException: x", "DeviceException: gone" }));
        Assert.That(() => SelfTest.Run(() => throw new DeviceException("none"), 1).ToArray(), Throws.InstanceOf<DeviceException>());
    }

    [Test]
    public void TheCommandPrintsATableAndItsExitCodeTells()
    {
        SelfTestResult good = new("Gemm.Forward", "1x2x3", 1e-7, 2e-7, TimeSpan.FromMilliseconds(1.5), null);
        SelfTestResult bad = new("Prediction.Forward", "4x5", double.NaN, double.NaN, TimeSpan.Zero, "no such instruction");
        using StringWriter passed = new(), failed = new();
        Assert.That(SelftestCommand.Print([good], passed), Is.Zero);
        Assert.That(SelftestCommand.Print([good, bad, good], failed), Is.EqualTo(1));
        Assert.That(passed.ToString(), Does.Contain("1.0e-07").And.Contain("1.500 ms").And.Contain("all 1 checks passed"));
        Assert.That(failed.ToString(), Does.Contain("FAILED: no such instruction").And.Contain("1 of 3 checks FAILED"));
    }

    private static Device Host() => Device.Open(DeviceKind.Host, 1);

    private static SelfTestCheck Check(string name, Action<Trial> run) => new(name, "", run);

    /// <summary>A check that passes, with an error that depends on the inputs.</summary>
    private static void Noise(Trial trial)
    {
        float[] x = trial.Normal(100);
        double[] exact = [.. x.Select(v => (double)v * v)], plain = [.. x.Select(v => (double)(v * v))];
        trial.Compare("y", [.. x.Select(v => v * v)], exact, plain);
    }
}
