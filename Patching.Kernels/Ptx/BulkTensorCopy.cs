using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Copies by the copy engine (the Tensor Memory Accelerator, sm_90): one thread asks for a rectangle of a matrix that a <see cref="TensorMap"/> describes, and it
/// appears in shared memory while everybody does something else. What of the rectangle lies outside of the matrix becomes zero, but its bytes count.
/// The engine sees shared memory through another path than the threads (the asynchronous proxy): see <see cref="AsyncProxy"/>.
/// </summary>
internal static class BulkTensorCopy
{
    /// <summary>Address of a map that is a parameter of the kernel: the engine reads it where it is.</summary>
    [IntrinsicImplementation, Ptx("mov.b64 $r, $p0; cvta.param.u64 $r, $r;")]
    public static ulong Address(TensorMap parameter) => throw NoEngine();

    /// <summary>Has a map ready for the first copy.</summary>
    [IntrinsicImplementation, Ptx("prefetch.tensormap [$0];")]
    public static void Prefetch(ulong map) => throw NoEngine();

    /// <summary>Starts to copy a rectangle.</summary>
    /// <param name="sharedAddress">Where to, aligned to 1024 bytes where the map swizzles.</param>
    /// <param name="map">From <see cref="Address"/>.</param>
    /// <param name="column">Its first column.</param>
    /// <param name="row">Its first row.</param>
    /// <param name="barrier">The <see cref="Mbarrier"/> that counts the bytes.</param>
    [IntrinsicImplementation,
        Ptx("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {$2, $3}], [$4];")]
    public static void Load(uint sharedAddress, ulong map, int column, int row, uint barrier) => throw NoEngine();

    private static NotSupportedException NoEngine() => new("the copy engine has no emulation on the simulator");
}
