using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>Between the threads' own accesses to shared memory and those of the copy engine and the matrix unit.</summary>
internal static class AsyncProxy
{
    /// <summary>
    /// Makes what this thread has written to shared memory visible to <see cref="Wgmma"/> and <see cref="BulkTensorCopy"/>; a barrier must follow before another
    /// thread starts them.
    /// </summary>
    [IntrinsicImplementation, Ptx("fence.proxy.async.shared::cta;")]
    public static void Fence() => throw new NotSupportedException("the simulator has no asynchronous proxy");
}
