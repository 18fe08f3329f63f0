using ILGPU;
using ILGPU.Runtime;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Ptx;
using Device = Patching.Kernels.Device;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>What users read when a driver, a GPU or its memory is not what the engine needs: one line that says what is there, what is needed and what to do.</summary>
[TestFixture]
internal sealed class CudaErrorTests
{
    private static readonly CudaKernel Copying = new(CopyKernel, 32);
    private static readonly CudaKernel Hopper = new(CopyKernel, 32, needsHopper: true);
    private static readonly CudaKernel Large = new(CopyKernel, 32, dynamicSharedBytes: 200 * 1024);

    [Test]
    public void NoDriver()
    {
        string library = CudaDriver.Library;
        CudaDriver.Library = "libno-such-driver.so";
        try
        {
            AssertRefused(null, "--device cuda: no NVIDIA driver is installed (libno-such-driver.so was not found); use --device cpu");
        }
        finally
        {
            CudaDriver.Library = library;
        }
    }

    [Test]
    public void NoGpu()
    {
        // The stand-in driver is there, its device is hidden.
        StandInDriver.Visible().Dispose();
        AssertRefused(null, "--device cuda: the NVIDIA driver sees no GPU; use --device cpu");
    }

    [Test]
    public void OldDriver() => AssertRefused(
        new StandInGpu { DriverVersion = 11080 },
        "--device cuda: the NVIDIA driver is too old: it supports CUDA 11.8, the kernels need 12.0 (driver 525 or newer); use --device cpu");

    [Test]
    public void OldGpuRunsOnlySinglePrecision()
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "Old V100", Capability = (7, 0) });
        using Device device = Device.Open(DeviceKind.Cuda);
        Assert.That(device.SupportsBFloat16, Is.False);
        AssertLoadFails(device, Copying, "Old V100 has compute capability 7.0, CudaErrorTests.CopyKernel needs 8.0 or later; use --precision fp32");
        using Arena arena = Arena.Allocate(device, "test", layout => layout.Take("x", 64));
        Activation.Forward(device, arena.Flat, arena.Flat, ActivationKind.QuickGelu);
        Assert.That(driver.Launches, Has.Count.EqualTo(1));
    }

    [Test]
    public void HopperInstructionsNeedExactlyHopper()
    {
        foreach ((int, int) capability in new[] { (8, 0), (8, 9), (10, 0) })
        {
            using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "GPU", Capability = capability });
            using Device device = Device.Open(DeviceKind.Cuda);
            Assert.That(device.SupportsBFloat16, Is.True);
            AssertLoadFails(
                device, Hopper, $"GPU has compute capability {capability.Item1}.{capability.Item2}, CudaErrorTests.CopyKernel needs 9.0; use --precision fp32");
        }
    }

    [TestCase(null, TensorCores.Best)]
    [TestCase("best", TensorCores.Best)]
    [TestCase("mma.sync", TensorCores.MmaSync)]
    [TestCase("wgmma", TensorCores.Wgmma)]
    public void TheEnvironmentChoosesTensorCores(string? value, TensorCores expected) => WithTensorCores(value, () =>
    {
        using StandInDriver driver = StandInDriver.Visible();
        using Device device = Device.Open(DeviceKind.Cuda);
        Assert.That(device.TensorCores, Is.EqualTo(expected));
    });

    [TestCase("imma", "PATCHING_TENSOR_CORES=imma: must be best, mma.sync or wgmma")]
    [TestCase("wgmma", "GPU has compute capability 8.0, wgmma needs 9.0; use mma.sync")]
    public void TensorCoresThatAreNotThereAreRefused(string value, string message) => WithTensorCores(value, () =>
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "GPU", Capability = (8, 0) });
        Assert.That(() => Device.Open(DeviceKind.Cuda), Throws.TypeOf<DeviceException>().With.Message.EqualTo(message));
        Assert.That(driver.Leaks, Is.Empty);
    });

    private static void WithTensorCores(string? value, Action test)
    {
        const string variable = "PATCHING_TENSOR_CORES";
        string? before = Environment.GetEnvironmentVariable(variable);
        Environment.SetEnvironmentVariable(variable, value);
        try
        {
            test();
        }
        finally
        {
            Environment.SetEnvironmentVariable(variable, before);
        }
    }

    [Test]
    public void TooLittleSharedMemory()
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "GPU", Capability = (8, 9), SharedBytesOptIn = 99 * 1024 });
        using Device device = Device.Open(DeviceKind.Cuda);
        AssertLoadFails(device, Large, "GPU has 99 KiB of shared memory per group, CudaErrorTests.CopyKernel needs 200; use --precision fp32");
    }

    [Test]
    public void TheCompilersFirstLineIsShown()
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "GPU", CompilerError = "ptxas application ptx input, line 7; error   : Unknown symbol\nmore\n" });
        using Device device = Device.Open(DeviceKind.Cuda);
        AssertLoadFails(
            device, Copying, "GPU: the driver (CUDA 12.8) refuses CudaErrorTests.CopyKernel: ptxas application ptx input, line 7; error   : Unknown symbol");
        using Arena arena = Arena.Allocate(device, "test", layout => layout.Take("x", 64));
        DeviceException error = Assert.Throws<DeviceException>(() => Activation.Forward(device, arena.Flat, arena.Flat, ActivationKind.QuickGelu))!;
        Assert.That(error.Message, Is.EqualTo("GPU: the driver (CUDA 12.8) refuses Activation.ForwardKernel: ptxas application ptx input, line 7; error   : Unknown symbol"));
    }

    [Test]
    public void OutOfMemoryNamesTheRole()
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "GPU", MemoryBytes = 64 << 20 });
        using Device device = Device.Open(DeviceKind.Cuda);
        using Arena parameters = Arena.Allocate(device, "parameters", layout => layout.Take("x", 4 << 20));
        DeviceException error = Assert.Throws<DeviceException>(() => Arena.Allocate(device, "activations", layout => layout.Take("x", 16 << 20)))!;
        Assert.That(error.Message, Is.EqualTo("not enough memory on GPU for activations: 64 MiB wanted, 48 MiB free; use a smaller --batch-size"));
    }

    [Test]
    public void AnAllocationMayFailAtAnyTime()
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { FailingAllocation = 2 });
        using (Device device = Device.Open(DeviceKind.Cuda))
        {
            using Arena first = Arena.Allocate(device, "first", layout => layout.Take("x", 16));
            Assert.Throws<DeviceException>(() => Arena.Allocate(device, "second", layout => layout.Take("x", 16)));
        }
        Assert.That(driver.Leaks, Is.Empty);
    }

    [Test]
    public void AFailingLaunchNamesItsKernel([Values] bool deferred)
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Name = "GPU", FailingLaunch = 2, Deferred = deferred });
        using Device device = Device.Open(DeviceKind.Cuda);
        // Nothing that is disposed on the way out may hide the failure.
        using Arena arena = Arena.Allocate(device, "test", layout => layout.Take("x", 64));
        Activation.Forward(device, arena.Flat, arena.Flat, ActivationKind.QuickGelu);
        DeviceException error = Assert.Throws<DeviceException>(() =>
        {
            LaunchBackward();
            device.Synchronize();
        })!;
        Assert.That(error.Message, Is.EqualTo(deferred
            ? "GPU: a kernel launched before failed: unspecified launch failure"
            : "GPU: launching Activation.Backward, or a kernel launched before it, failed: unspecified launch failure"));
        // The context is lost.
        Assert.That(LaunchBackward, Throws.TypeOf<DeviceException>().With.Message.Contains("Activation.Backward"));

        void LaunchBackward() => Activation.Backward(device, arena.Flat, arena.Flat, arena.Flat, ActivationKind.QuickGelu);
    }

    [Test]
    public void AFailedStartLeavesNothingThatFailsLater([Values(1, 2)] int stream)
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { FailingStream = stream });
        DeviceException error = Assert.Throws<DeviceException>(Open)!;
        Assert.That(error.Message, Does.StartWith("--device cuda: the GPU cannot be opened"));
        Assert.That(driver.Leaks, Has.None.EqualTo("context"));
        // Finalizers that throw end the process.
        GC.Collect();
        GC.WaitForPendingFinalizers();

        static void Open() => Device.Open(DeviceKind.Cuda).Dispose();
    }

    private static void AssertRefused(StandInGpu? gpu, string message)
    {
        if (StandInDriver.UsesHardware) Assert.Ignore("runs on real hardware, not on the stand-in driver");
        using StandInDriver? driver = gpu is null ? null : StandInDriver.Visible(gpu);
        Assert.That(Device.CudaIsAvailable(), Is.False);
        using Device best = Device.OpenBest(1);
        Assert.That(best.Kind, Is.EqualTo(DeviceKind.Host));
        DeviceException error = Assert.Throws<DeviceException>(() => Device.Open(DeviceKind.Cuda))!;
        Assert.That(error.Message, Is.EqualTo(message));
    }

    private static void AssertLoadFails(Device device, CudaKernel kernel, string message)
    {
        DeviceException error = Assert.Throws<DeviceException>(
            () => device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>>>(kernel))!;
        Assert.That(error.Message, Is.EqualTo(message));
    }

    private static void CopyKernel(ArrayView<float> y, ArrayView<float> x) => y[Group.IdxX] = x[Group.IdxX];
}
