using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>The stand-in driver itself: that it is seen only when asked for, and that it notices what it should.</summary>
[TestFixture]
internal sealed class StandInDriverTests
{
    [Test]
    public void TheDeviceIsSeenOnlyWhileATestAsksForIt()
    {
        using (StandInDriver driver = StandInDriver.Visible())
        {
            Assert.That(Device.CudaIsAvailable(), Is.True);
            using Device device = Device.OpenBest();
            Assert.That(device.Kind, Is.EqualTo(DeviceKind.Cuda));
            Assert.That(device.Name, Is.EqualTo("Stand-in H100"));
            Assert.That(device.MemoryBytes, Is.EqualTo(80L << 30));
        }
        Assert.That(Device.CudaIsAvailable(), Is.False);
        using Device host = Device.OpenBest(1);
        Assert.That(host.Kind, Is.EqualTo(DeviceKind.Host));
    }

    [Test]
    public void MemoryKeepsItsContentsAndIsGivenBack()
    {
        using StandInDriver driver = StandInDriver.Visible();
        using (Device device = Device.Open(DeviceKind.Cuda))
        {
            Tensor a = default, b = default;
            using Arena arena = Arena.Allocate(device, "test", layout =>
            {
                a = layout.Take("a", 3, 5);
                b = layout.Take("b", 3, 5);
            });
            Assert.That(a.ToArray(), Is.All.Zero);
            float[] values = [.. Enumerable.Range(0, 15).Select(i => i * 0.5f)];
            a.CopyFrom(values);
            b.CopyFrom(a);
            a.Clear();
            Assert.That(b.ToArray(), Is.EqualTo(values));
            Assert.That(a.ToArray(), Is.All.Zero);
            Assert.That(device.FreeBytes, Is.EqualTo(device.MemoryBytes - arena.Bytes));
        }
        Assert.That(driver.Leaks, Is.Empty);
    }

    [Test]
    public void MemoryThatIsNotGivenBackIsReported()
    {
        using StandInDriver driver = StandInDriver.Visible();
        Device device = Device.Open(DeviceKind.Cuda);
        Arena arena = Arena.Allocate(device, "test", layout => layout.Take("a", 100));
        Assert.That(driver.Leaks, Has.Member("512 bytes of Device memory").And.Member("context"));
        arena.Dispose();
        device.Dispose();
        Assert.That(driver.Leaks, Is.Empty);
    }

    [Test]
    public void NothingHappensOnTheNullStream()
    {
        using StandInDriver driver = StandInDriver.Visible();
        using Device device = Device.Open(DeviceKind.Cuda);
        using Arena arena = Arena.Allocate(device, "test", layout => layout.Take("a", 100));
        Assert.That(driver.Calls.Select(call => call.Name), Has.Member("cuMemsetD8Async"));
        Assert.That(driver.Calls.Select(call => call.Arguments), Has.None.EndsWith("stream 0"));
    }

    [Test]
    public void TheDriverIsFoundMoreThanOnce()
    {
        for (int i = 0; i < 3; i++)
        {
            using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = $"GPU {i}" });
            using Device device = Device.Open(DeviceKind.Cuda);
            Assert.That(device.Name, Is.EqualTo($"GPU {i}"));
            Assert.That(device.Details, Is.EqualTo($"GPU {i}, compute capability 9.0, driver for CUDA 12.8"));
        }
    }
}
