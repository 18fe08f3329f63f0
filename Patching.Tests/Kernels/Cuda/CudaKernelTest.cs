using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>
/// Base of the tests of the CUDA engine. The device is a real <see cref="DeviceKind.Cuda"/> one over the stand-in driver: public launchers, ILGPU's compiler, the
/// driver's calls and the kernels' PTX are all executed, the last by the interpreter, and whatever that objects to (a race, a read of memory nobody wrote, a misaligned
/// address) fails the test. With PATCHING_TEST_GPU=1 the same tests run on the machine's GPU instead.
/// </summary>
[TestFixture]
internal abstract class CudaKernelTest : TensorTest
{
    private bool isBroken;

    /// <summary>The driver behind the device; null on real hardware.</summary>
    protected StandInDriver? Driver { get; private set; }

    /// <summary>The kernels that the test has launched so far, with what the interpreter counted; empty on real hardware.</summary>
    protected IReadOnlyList<StandInLaunch> Launches => Driver?.Launches ?? [];

    [OneTimeSetUp]
    public void OpenDevice()
    {
        if (!StandInDriver.UsesHardware) Driver = StandInDriver.Visible();
        Device = Device.Open(DeviceKind.Cuda);
    }

    [OneTimeTearDown]
    public void CloseDevice()
    {
        // Null where the stand-in cannot be loaded.
        Device?.Dispose();
        Driver?.Dispose();
        if (!isBroken) Assert.That(Driver?.Leaks ?? [], Is.Empty, "not given back");
    }

    [SetUp]
    public void Begin()
    {
        if (isBroken)
        {
            // After a fault the context answers nothing but errors, as on hardware.
            Device.Dispose();
            Driver?.Dispose();
            OpenDevice();
            isBroken = false;
        }
        Driver?.Clear();
    }

    [TearDown]
    public void CheckFault()
    {
        if (Driver?.LastFault is not { } fault) return;
        isBroken = true;
        Assert.Fail(fault.Message);
    }
}
