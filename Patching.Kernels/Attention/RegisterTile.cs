using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace Patching.Kernels;

/// <summary>
/// The inner loop of attention's matrix products: <c>C[R, N] (+)= A[R, K] B[K, N]</c> with up to six rows and four vectors of columns of
/// C held in registers. Each step of K loads N/lanes vectors of B and broadcasts R elements of A for R N/lanes multiply-adds: 24 for 10
/// loads in the full tile, few enough for the multiply-add units to be what limits it. A is read where it lies, by row or (with the
/// strides swapped) by column, so only B is ever packed.
/// </summary>
internal static unsafe class RegisterTile
{
    /// <summary>Most rows of a tile.</summary>
    public const int MaxRows = 6;

    /// <summary>
    /// Most vectors in a row of a tile: 6 x 4 accumulators, 4 vectors of B and a broadcast fit into 32 registers; with 16 registers it is
    /// 6 x 2.
    /// </summary>
    public static readonly int MaxVectors = Vector512.IsHardwareAccelerated || AdvSimd.IsSupported ? 4 : 2;

    /// <summary>Floats in one vector: all packed matrices have a multiple of this many columns.</summary>
    public static readonly int Lanes =
        Vector512.IsHardwareAccelerated ? Lanes16.Count : Vector256.IsHardwareAccelerated ? Lanes8.Count : Lanes4.Count;

    private static readonly delegate*<nint, float*, nint, nint, float*, nint, float*, nint, bool, void>[] Tiles =
        Vector512.IsHardwareAccelerated ? AllTiles<Lanes16, Vector512<float>>()
        : Vector256.IsHardwareAccelerated ? AllTiles<Lanes8, Vector256<float>>()
        : AllTiles<Lanes4, Vector128<float>>();

    /// <summary>Writes or accumulates one tile.</summary>
    /// <param name="rows">R, 1 to <see cref="MaxRows"/>.</param>
    /// <param name="vectors">N / <see cref="Lanes"/>, 1 to <see cref="MaxVectors"/>.</param>
    /// <param name="steps">K.</param>
    /// <param name="a">A[i, k] is at <c>a[i * aRow + k * aStep]</c>.</param>
    /// <param name="aRow">Distance of rows of A.</param>
    /// <param name="aStep">Distance of columns of A.</param>
    /// <param name="b">B[k, j] is at <c>b[k * bStep + j]</c>.</param>
    /// <param name="bStep">Distance of rows of B.</param>
    /// <param name="c">C[i, j] is at <c>c[i * cRow + j]</c>.</param>
    /// <param name="cRow">Distance of rows of C.</param>
    /// <param name="accumulate">Whether the product is added to what C holds.</param>
    public static void Multiply(
        int rows, int vectors, nint steps, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint cRow, bool accumulate) =>
        Tiles[(rows - 1) * 4 + vectors - 1](steps, a, aRow, aStep, b, bStep, c, cRow, accumulate);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TLanes, TVector, TRows, TVectors>(
        nint steps, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint cRow, bool accumulate)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TRows : struct, ICount
        where TVectors : struct, ICount
    {
        TVector c00 = default, c01 = default, c02 = default, c03 = default, c10 = default, c11 = default, c12 = default, c13 = default;
        TVector c20 = default, c21 = default, c22 = default, c23 = default, c30 = default, c31 = default, c32 = default, c33 = default;
        TVector c40 = default, c41 = default, c42 = default, c43 = default, c50 = default, c51 = default, c52 = default, c53 = default;
        if (accumulate)
        {
            Load<TLanes, TVector, TVectors>(c, ref c00, ref c01, ref c02, ref c03);
            if (TRows.Value > 1) Load<TLanes, TVector, TVectors>(c + cRow, ref c10, ref c11, ref c12, ref c13);
            if (TRows.Value > 2) Load<TLanes, TVector, TVectors>(c + 2 * cRow, ref c20, ref c21, ref c22, ref c23);
            if (TRows.Value > 3) Load<TLanes, TVector, TVectors>(c + 3 * cRow, ref c30, ref c31, ref c32, ref c33);
            if (TRows.Value > 4) Load<TLanes, TVector, TVectors>(c + 4 * cRow, ref c40, ref c41, ref c42, ref c43);
            if (TRows.Value > 5) Load<TLanes, TVector, TVectors>(c + 5 * cRow, ref c50, ref c51, ref c52, ref c53);
        }
        float* a1 = a + aRow, a2 = a1 + aRow, a3 = a2 + aRow, a4 = a3 + aRow, a5 = a4 + aRow;
        for (nint at = 0, end = steps * aStep; at < end; at += aStep)
        {
            TVector b0 = default, b1 = default, b2 = default, b3 = default;
            Load<TLanes, TVector, TVectors>(b, ref b0, ref b1, ref b2, ref b3);
            MultiplyAdd<TLanes, TVector, TVectors>(a + at, b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
            if (TRows.Value > 1) MultiplyAdd<TLanes, TVector, TVectors>(a1 + at, b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
            if (TRows.Value > 2) MultiplyAdd<TLanes, TVector, TVectors>(a2 + at, b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
            if (TRows.Value > 3) MultiplyAdd<TLanes, TVector, TVectors>(a3 + at, b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
            if (TRows.Value > 4) MultiplyAdd<TLanes, TVector, TVectors>(a4 + at, b0, b1, b2, b3, ref c40, ref c41, ref c42, ref c43);
            if (TRows.Value > 5) MultiplyAdd<TLanes, TVector, TVectors>(a5 + at, b0, b1, b2, b3, ref c50, ref c51, ref c52, ref c53);
            b += bStep;
        }
        Store<TLanes, TVector, TVectors>(c, c00, c01, c02, c03);
        if (TRows.Value > 1) Store<TLanes, TVector, TVectors>(c + cRow, c10, c11, c12, c13);
        if (TRows.Value > 2) Store<TLanes, TVector, TVectors>(c + 2 * cRow, c20, c21, c22, c23);
        if (TRows.Value > 3) Store<TLanes, TVector, TVectors>(c + 3 * cRow, c30, c31, c32, c33);
        if (TRows.Value > 4) Store<TLanes, TVector, TVectors>(c + 4 * cRow, c40, c41, c42, c43);
        if (TRows.Value > 5) Store<TLanes, TVector, TVectors>(c + 5 * cRow, c50, c51, c52, c53);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load<TLanes, TVector, TVectors>(float* source, ref TVector v0, ref TVector v1, ref TVector v2, ref TVector v3)
        where TLanes : struct, ILanes<TVector>
        where TVectors : struct, ICount
    {
        v0 = TLanes.Load(source);
        if (TVectors.Value > 1) v1 = TLanes.Load(source + TLanes.Count);
        if (TVectors.Value > 2) v2 = TLanes.Load(source + 2 * TLanes.Count);
        if (TVectors.Value > 3) v3 = TLanes.Load(source + 3 * TLanes.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TLanes, TVector, TVectors>(float* destination, TVector v0, TVector v1, TVector v2, TVector v3)
        where TLanes : struct, ILanes<TVector>
        where TVectors : struct, ICount
    {
        TLanes.Store(v0, destination);
        if (TVectors.Value > 1) TLanes.Store(v1, destination + TLanes.Count);
        if (TVectors.Value > 2) TLanes.Store(v2, destination + 2 * TLanes.Count);
        if (TVectors.Value > 3) TLanes.Store(v3, destination + 3 * TLanes.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyAdd<TLanes, TVector, TVectors>(
        float* a, TVector b0, TVector b1, TVector b2, TVector b3, ref TVector c0, ref TVector c1, ref TVector c2, ref TVector c3)
        where TLanes : struct, ILanes<TVector>
        where TVectors : struct, ICount
    {
        TVector x = TLanes.Broadcast(a);
        c0 = TLanes.MultiplyAdd(x, b0, c0);
        if (TVectors.Value > 1) c1 = TLanes.MultiplyAdd(x, b1, c1);
        if (TVectors.Value > 2) c2 = TLanes.MultiplyAdd(x, b2, c2);
        if (TVectors.Value > 3) c3 = TLanes.MultiplyAdd(x, b3, c3);
    }

    private static delegate*<nint, float*, nint, nint, float*, nint, float*, nint, bool, void>[] AllTiles<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var tiles = new delegate*<nint, float*, nint, nint, float*, nint, float*, nint, bool, void>[MaxRows * 4];
        AddRow<TLanes, TVector, One>(tiles);
        AddRow<TLanes, TVector, Two>(tiles);
        AddRow<TLanes, TVector, Three>(tiles);
        AddRow<TLanes, TVector, Four>(tiles);
        AddRow<TLanes, TVector, Five>(tiles);
        AddRow<TLanes, TVector, Six>(tiles);
        return tiles;
    }

    private static void AddRow<TLanes, TVector, TRows>(delegate*<nint, float*, nint, nint, float*, nint, float*, nint, bool, void>[] tiles)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TRows : struct, ICount
    {
        int first = (TRows.Value - 1) * 4;
        tiles[first] = &Tile<TLanes, TVector, TRows, One>;
        tiles[first + 1] = &Tile<TLanes, TVector, TRows, Two>;
        tiles[first + 2] = &Tile<TLanes, TVector, TRows, Three>;
        tiles[first + 3] = &Tile<TLanes, TVector, TRows, Four>;
    }

    /// <summary>A number that the runtime knows while it compiles: branches on it cost nothing and unused accumulators vanish.</summary>
    private interface ICount
    {
        static abstract int Value { get; }
    }

    private readonly struct One : ICount
    {
        public static int Value => 1;
    }

    private readonly struct Two : ICount
    {
        public static int Value => 2;
    }

    private readonly struct Three : ICount
    {
        public static int Value => 3;
    }

    private readonly struct Four : ICount
    {
        public static int Value => 4;
    }

    private readonly struct Five : ICount
    {
        public static int Value => 5;
    }

    private readonly struct Six : ICount
    {
        public static int Value => 6;
    }
}
