using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>Captured steps: what is recorded, what is launched, and what must not be part of one.</summary>
[TestFixture]
internal sealed class LaunchGraphTests
{
    [Test]
    public void ACapturedStepIsOneCall()
    {
        using StandInDriver driver = StandInDriver.Visible();
        using (Device device = Device.Open(DeviceKind.Cuda))
        {
            (Arena arena, Tensor x, Tensor y) = Allocate(device);
            using Arena owner = arena;
            Step(device, x, y);
            driver.Clear();
            using (LaunchGraph graph = device.Capture(() => Step(device, x, y)))
            {
                Assert.That(driver.Launches, Is.Empty, "capturing does not run");
                Assert.That(driver.Calls.Select(call => call.ToString()), Is.EqualTo(new[]
                {
                    "cuStreamBeginCapture stream 1", "cuStreamEndCapture stream 1, 4 nodes", "cuGraphInstantiate 4 nodes", "cuGraphDestroy",
                }));
                driver.Clear();
                graph.Launch();
                graph.Launch();
                Assert.That(driver.Calls.Where(call => call.Name[0] != '(').Select(call => call.ToString()), Is.EqualTo(new[]
                {
                    "cuGraphLaunch 4 nodes, stream 1", "cuGraphLaunch 4 nodes, stream 1",
                }));
                Assert.That(driver.Calls.Skip(1).Take(4).Select(call => call.Name), Is.EqualTo(new[]
                {
                    "(cuMemsetD8Async)", "(cuMemcpyAsync)", "(cuLaunchKernel)", "(cuLaunchKernel)",
                }));
                Assert.That(driver.Launches, Has.Count.EqualTo(4));
            }
        }
        Assert.That(driver.Leaks, Is.Empty);
    }

    [Test]
    public void ItSeesWhatMemoryHoldsAtItsLaunch([Values] DeviceKind kind)
    {
        using StandInDriver? driver = kind == DeviceKind.Cuda ? StandInDriver.Visible(new StandInGpu { Deferred = true }) : null;
        using Device device = Device.Open(kind, 1);
        (Arena arena, Tensor x, Tensor y) = Allocate(device);
        using Arena owner = arena;
        x.CopyFrom(Values(1));
        Step(device, x, y);
        using LaunchGraph graph = device.Capture(() => Step(device, x, y));
        for (int i = 2; i < 5; i++)
        {
            x.CopyFrom(Values(i));
            graph.Launch();
            float[] replayed = y.ToArray();
            Step(device, x, y);
            Assert.That(replayed, Is.EqualTo(y.ToArray()), $"launch {i}");
            Assert.That(replayed, Is.Not.EqualTo(Values(0)));
        }
    }

    [Test]
    public void ACaptureThatWaitsOrTouchesTheProcessorsMemoryIsRefused()
    {
        using StandInDriver driver = StandInDriver.Visible();
        using (Device device = Device.Open(DeviceKind.Cuda))
        {
            (Arena arena, Tensor x, Tensor y) = Allocate(device);
            using Arena owner = arena;
            using PinnedUpload upload = new(device, x);
            Action[] forbidden =
            [
                device.Synchronize,
                () => x.CopyFrom(Values(1)),
                () => _ = y.ToArray(),
                () => upload.Upload<float>(Values(1)),
                () => Arena.Allocate(device, "more", layout => layout.Take("x", 16)).Dispose(),
                () => Activation.Backward(device, y, y, x, ActivationKind.Gelu), // not loaded yet
                () => device.Capture(() => { }),
            ];
            foreach ((int i, Action action) in forbidden.Index())
            {
                Assert.That(() => device.Capture(action), Throws.InvalidOperationException, $"action {i}");
                // The device goes on.
                Step(device, x, y);
                device.Capture(() => Step(device, x, y)).Dispose();
            }
            Assert.That(() => device.Capture(() => throw new ArithmeticException()), Throws.TypeOf<ArithmeticException>());
            Step(device, x, y);
        }
        Assert.That(driver.Leaks, Is.Empty);
    }

    [Test]
    public void AFailingGraphIsReported()
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "GPU", FailingLaunch = 3 });
        using Device device = Device.Open(DeviceKind.Cuda);
        (Arena arena, Tensor x, Tensor y) = Allocate(device);
        using Arena owner = arena;
        Step(device, x, y);
        using LaunchGraph graph = device.Capture(() => Step(device, x, y));
        Assert.That(graph.Launch, Throws.TypeOf<DeviceException>().With.Message.EqualTo("GPU: launching the captured step failed: unspecified launch failure"));
    }

    private static void Step(Device device, Tensor x, Tensor y)
    {
        y.Clear();
        y.CopyFrom(x);
        Activation.Forward(device, y, y, ActivationKind.QuickGelu);
        Activation.Forward(device, y, y, ActivationKind.Gelu);
    }

    private static float[] Values(int seed) => [.. Enumerable.Range(0, 70).Select(i => MathF.Sin(seed * (i + 1)))];

    private static (Arena Arena, Tensor X, Tensor Y) Allocate(Device device)
    {
        Tensor x = default, y = default;
        Arena arena = Arena.Allocate(device, "test", layout =>
        {
            x = layout.Take("x", 70);
            y = layout.Take("y", 70);
        });
        return (arena, x, y);
    }
}
