using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>Base of the kernel tests: runs each fixture on the host with one thread, on the host with three, and on the simulator.</summary>
[TestFixture(DeviceKind.Host, 1)]
[TestFixture(DeviceKind.Host, 3)]
[TestFixture(DeviceKind.Simulator, 1)]
internal abstract class KernelTest(DeviceKind kind, int threads) : TensorTest
{
    [OneTimeSetUp]
    public void OpenDevice() => Device = Device.Open(kind, threads);

    [OneTimeTearDown]
    public void CloseDevice() => Device.Dispose();
}
