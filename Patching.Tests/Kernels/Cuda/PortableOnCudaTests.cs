using ILGPU;
using ILGPU.Runtime;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>The portable kernels on a CUDA device: that the whole path from launcher to interpreter works, and that single precision can be had on any GPU.</summary>
internal sealed class PortableOnCudaTests : CudaKernelTest
{
    private static readonly CudaKernel Reversing = new(ReverseKernel, ReverseThreads, dynamicSharedBytes: SharedFloats * sizeof(float));
    private const int ReverseThreads = 128, SharedFloats = 25_000;

    private static IEnumerable<TestCaseData> Checks =>
        from check in GemmChecks.All(true).Concat(AttentionChecks.All(true)).Concat(LayerNormChecks.All(true)).Concat(ActivationChecks.All(true))
            .Concat(EmbeddingChecks.All(true)).Concat(LossChecks.All(true)).Concat(OptimizerChecks.All(true)).Concat(ResNetChecks.All(true))
        select new TestCaseData(check).SetArgDisplayNames(check.Kernel, check.Shape);

    [TestCaseSource(nameof(Checks))]
    public void EveryFamilyPassesItsSelfTest(SelfTestCheck check)
    {
        using Trial trial = new(Device, new Random(1));
        check.Run(trial);
        Assert.That(trial.Failure, Is.Null);
        Assert.That(trial.Result(check, null).Error, Is.Not.NaN);
    }

    [Test]
    public void DynamicSharedMemoryBeyond48KiB()
    {
        float[] x = Normal(ReverseThreads);
        Tensor y = Poisoned(ReverseThreads), tx = Tensor(x, ReverseThreads);
        Device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>>>(Reversing)(
            Device.Stream, new KernelConfig(1, ReverseThreads, SharedMemoryConfig.RequestDynamic<float>(SharedFloats)), y.Floats, tx.Floats);
        Assert.That(Contents(y), Is.EqualTo(x.Reverse()));
        if (Driver is null) return;
        Assert.That(Driver.Calls.Single(call => call.Name == "cuFuncSetAttribute").Arguments, Does.EndWith("attribute 8, 100000"));
        Assert.That(Launches.Single().DynamicSharedBytes, Is.EqualTo(100_000));
    }

    [Test]
    public void MoreDynamicSharedMemoryThanAskedForIsRefused()
    {
        Tensor y = Poisoned(ReverseThreads);
        var launch = Device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>>>(Reversing);
        Assert.That(
            () => launch(Device.Stream, new KernelConfig(1, ReverseThreads, SharedMemoryConfig.RequestDynamic<float>(SharedFloats + 1)), y.Floats, y.Floats),
            Throws.TypeOf<DeviceException>().With.Message.Contains("PortableOnCudaTests.ReverseKernel").And.Message.Contains("invalid argument"));
    }

    [Test]
    public void LaunchingAllocatesNothing()
    {
        Tensor y = Poisoned(8), x = Tensor(Normal(8), 8);
        var launch = Device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>>>(Reversing);
        Assert.That(Device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>>>(Reversing), Is.SameAs(launch));
        Activation.Forward(Device, y, x, ActivationKind.Gelu);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
            _ = Device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>>>(Reversing);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    // Through shared memory, its last and its first words.
    private static void ReverseKernel(ArrayView<float> y, ArrayView<float> x)
    {
        ArrayView<float> shared = SharedMemory.GetDynamic<float>();
        int thread = Group.IdxX;
        shared[thread < ReverseThreads / 2 ? thread : SharedFloats - ReverseThreads + thread] = x[thread];
        Group.Barrier();
        int mirror = ReverseThreads - 1 - thread;
        y[thread] = shared[mirror < ReverseThreads / 2 ? mirror : SharedFloats - ReverseThreads + mirror];
    }
}
