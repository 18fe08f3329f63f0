using System.Text;
using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Matrix products of a warpgroup (four warps, 128 threads, the first a multiple of four) on sm_90a: <c>wgmma</c> reads both operands from shared memory by
/// itself while the threads go on. All threads of the warpgroup must take part in every instruction here.
/// <para>
/// The sums live in registers that no other instruction may touch before the product is waited for. ILGPU moves its own registers around as it likes, so these
/// are named ones, declared once by <see cref="DeclareAccumulators"/> and addressed by number. With warp w (0 to 3) of the group, lane l, g = l / 4 and
/// t = l % 4, a product of n columns that begins at register f has
/// <code>
/// register f + 4 j + 2 h + e   is   row 16 w + g + 8 h, column 8 j + 2 t + e        j = 0 .. n / 8 - 1,   h, e = 0, 1
/// </code>
/// so four neighbouring registers are what <see cref="TensorCore.Multiply"/> has in a <see cref="Float4"/>, and a warp's 16 rows lie as in a
/// <see cref="WarpRow"/>. Source: PTX ISA, "Asynchronous warpgroup level matrix instructions".
/// </para>
/// </summary>
internal static class Wgmma
{
    /// <summary>Steps of the sum in one instruction.</summary>
    public const int Depth = 16;

    /// <summary>Rows of one instruction.</summary>
    public const int Rows = 64;

    /// <summary>Threads of a warpgroup.</summary>
    public const int Threads = 128;

    /// <summary>Declares so many registers (a constant) for sums. Once in a kernel, before its first branch.</summary>
    [IntrinsicImplementation, Ptx(".reg .f32 %sum<$i0>;")]
    public static void DeclareAccumulators(int count) => throw NeedsWarpgroup();

    /// <summary>
    /// Orders what the threads did to the sums' registers before the products that follow: before the first one, and again after every
    /// <see cref="Wait"/>.
    /// </summary>
    [IntrinsicImplementation, Ptx("wgmma.fence.sync.aligned;")]
    public static void Fence() => throw NeedsWarpgroup();

    /// <summary>Closes a group of products.</summary>
    [IntrinsicImplementation, Ptx("wgmma.commit_group.sync.aligned;")]
    public static void Commit() => throw NeedsWarpgroup();

    /// <summary>Waits until at most so many (a constant) of the latest groups are still computing.</summary>
    [IntrinsicImplementation, Ptx("wgmma.wait_group.sync.aligned $i0;")]
    public static void Wait(int groups) => throw NeedsWarpgroup();

    /// <summary>
    /// Starts <c>D = A B + D</c>, or <c>D = A B</c>, for 64 rows, <paramref name="columns"/> (8 to 256, a multiple of 8) and 16 steps of bfloat16 numbers.
    /// </summary>
    /// <param name="a"><see cref="MatrixDescriptor"/> of A, the same in all threads.</param>
    /// <param name="b">The same of B.</param>
    /// <param name="keep">0: the sums begin anew. The same in all threads.</param>
    /// <param name="first">Number of the first register of the sums; this and the following are constants.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="transposeA">0: the sum runs along the rows of A in memory; 1: across them.</param>
    /// <param name="transposeB">The same of B.</param>
    [IntrinsicImplementation, PtxWriter(typeof(Wgmma), nameof(MultiplyText))]
    public static void Multiply(ulong a, ulong b, int keep, int first, int columns, int transposeA, int transposeB) => throw NeedsWarpgroup();

    /// <summary>
    /// Writes this warp's 16 rows of 64 columns, the 32 sums from <paramref name="first"/> (a constant) on, which must have been waited for, to shared memory as
    /// <see cref="WarpRow.Stage"/> does: straight from their registers.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(Wgmma), nameof(StageText))]
    public static void Stage(int first, uint memory, uint place) => throw NeedsWarpgroup();

    /// <summary>The four sums from <paramref name="first"/> (a constant) on: 16 rows of 8 columns.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(Wgmma), nameof(ReadText))]
    public static Float4 Accumulator(int first) => throw NeedsWarpgroup();

    private static string MultiplyText(PtxCall call)
    {
        int first = call.Constant(3), columns = call.Constant(4);
        string sums = string.Join(", ", Enumerable.Range(first, columns / 2).Select(i => FormattableString.Invariant($"%sum{i}")));
        return FormattableString.Invariant(
            $"{{ .reg .pred %keep; setp.ne.s32 %keep, $2, 0; wgmma.mma_async.sync.aligned.m64n{columns}k16.f32.bf16.bf16 {{{sums}}}, $0, $1, %keep, 1, 1, $i5, $i6; }}");
    }

    private static string StageText(PtxCall call) =>
        WarpRow.StoreText(i => FormattableString.Invariant($"%sum{call.Constant(0) + i}"), "$1", "$2");

    private static string ReadText(PtxCall call)
    {
        StringBuilder text = new();
        for (int i = 0; i < call.Results; i++) text.Append(FormattableString.Invariant($"mov.f32 $r[{i}], %sum{call.Constant(0) + i}; "));
        return text.ToString();
    }

    private static NotSupportedException NeedsWarpgroup() => new("an instruction of a whole warpgroup has no emulation on the simulator");
}
