using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// The kernels themselves. The number of rows is a type argument: its conditions are constants to the compiler, which drops the rows that
/// are not there and keeps every sum in a register (seen in the disassembly: no spills at 14 x 2 of 32 and 6 x 2 of 16 registers).
/// </content>
internal sealed unsafe partial class GemmTile
{
    private const int DotRows = 3;
    private const int DotColumns = 4;

    /// <summary>A number of rows known to the compiler.</summary>
    private interface IRows
    {
        static abstract int Count { get; }
    }

    private static GemmTile Create<TLanes, TVector>(int maxRows)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        => new(
            TLanes.Count,
            maxRows,
            [
                null,
                &MultiplyKernel<TLanes, TVector, Rows1>,
                &MultiplyKernel<TLanes, TVector, Rows2>,
                &MultiplyKernel<TLanes, TVector, Rows3>,
                &MultiplyKernel<TLanes, TVector, Rows4>,
                &MultiplyKernel<TLanes, TVector, Rows5>,
                &MultiplyKernel<TLanes, TVector, Rows6>,
                &MultiplyKernel<TLanes, TVector, Rows7>,
                &MultiplyKernel<TLanes, TVector, Rows8>,
                &MultiplyKernel<TLanes, TVector, Rows9>,
                &MultiplyKernel<TLanes, TVector, Rows10>,
                &MultiplyKernel<TLanes, TVector, Rows11>,
                &MultiplyKernel<TLanes, TVector, Rows12>,
                &MultiplyKernel<TLanes, TVector, Rows13>,
                &MultiplyKernel<TLanes, TVector, Rows14>,
            ],
            [
                null,
                &DotKernel<TLanes, TVector, Rows1>,
                &DotKernel<TLanes, TVector, Rows2>,
                &DotKernel<TLanes, TVector, Rows3>,
            ]);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyKernel<TLanes, TVector, TRows>(long k, float* a, float* b, float* tile, TileRequests* requests)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, IRows
    {
        // Row r of the tile is the pair (left r, right r).
        TVector l0 = TLanes.Zero, r0 = TLanes.Zero;
        TVector l1 = TLanes.Zero, r1 = TLanes.Zero;
        TVector l2 = TLanes.Zero, r2 = TLanes.Zero;
        TVector l3 = TLanes.Zero, r3 = TLanes.Zero;
        TVector l4 = TLanes.Zero, r4 = TLanes.Zero;
        TVector l5 = TLanes.Zero, r5 = TLanes.Zero;
        TVector l6 = TLanes.Zero, r6 = TLanes.Zero;
        TVector l7 = TLanes.Zero, r7 = TLanes.Zero;
        TVector l8 = TLanes.Zero, r8 = TLanes.Zero;
        TVector l9 = TLanes.Zero, r9 = TLanes.Zero;
        TVector l10 = TLanes.Zero, r10 = TLanes.Zero;
        TVector l11 = TLanes.Zero, r11 = TLanes.Zero;
        TVector l12 = TLanes.Zero, r12 = TLanes.Zero;
        TVector l13 = TLanes.Zero, r13 = TLanes.Zero;
        byte* stream = requests->Stream;
        long streamStep = requests->StreamStep, count = requests->Count, pairs = k / 2, pairsPerLine = Math.Max(pairs / Math.Max(count, 1), 1);
        float** lines = requests->Lines;
        while (pairs > 0)
        {
            long turns = pairs;
            if (count > 0)
            {
                count--;
                HostMemory.Prefetch(*lines++);
                turns = Math.Min(pairs, pairsPerLine);
            }
            pairs -= turns;
            // Two k in a turn: a core that is shared between two threads starts three instructions a cycle for each of them, and then every
            // one beside the multiplications counts.
            do
            {
                HostMemory.PrefetchSecondLevel(stream);
                stream += streamStep;
                TVector left = TLanes.Load(b), right = TLanes.Load(b + TLanes.Count);
                AddRow<TLanes, TVector>(a, left, right, ref l0, ref r0);
                if (TRows.Count > 1) AddRow<TLanes, TVector>(a + 1, left, right, ref l1, ref r1);
                if (TRows.Count > 2) AddRow<TLanes, TVector>(a + 2, left, right, ref l2, ref r2);
                if (TRows.Count > 3) AddRow<TLanes, TVector>(a + 3, left, right, ref l3, ref r3);
                if (TRows.Count > 4) AddRow<TLanes, TVector>(a + 4, left, right, ref l4, ref r4);
                if (TRows.Count > 5) AddRow<TLanes, TVector>(a + 5, left, right, ref l5, ref r5);
                if (TRows.Count > 6) AddRow<TLanes, TVector>(a + 6, left, right, ref l6, ref r6);
                if (TRows.Count > 7) AddRow<TLanes, TVector>(a + 7, left, right, ref l7, ref r7);
                if (TRows.Count > 8) AddRow<TLanes, TVector>(a + 8, left, right, ref l8, ref r8);
                if (TRows.Count > 9) AddRow<TLanes, TVector>(a + 9, left, right, ref l9, ref r9);
                if (TRows.Count > 10) AddRow<TLanes, TVector>(a + 10, left, right, ref l10, ref r10);
                if (TRows.Count > 11) AddRow<TLanes, TVector>(a + 11, left, right, ref l11, ref r11);
                if (TRows.Count > 12) AddRow<TLanes, TVector>(a + 12, left, right, ref l12, ref r12);
                if (TRows.Count > 13) AddRow<TLanes, TVector>(a + 13, left, right, ref l13, ref r13);
                left = TLanes.Load(b + 2 * TLanes.Count);
                right = TLanes.Load(b + 3 * TLanes.Count);
                AddRow<TLanes, TVector>(a + TRows.Count, left, right, ref l0, ref r0);
                if (TRows.Count > 1) AddRow<TLanes, TVector>(a + TRows.Count + 1, left, right, ref l1, ref r1);
                if (TRows.Count > 2) AddRow<TLanes, TVector>(a + TRows.Count + 2, left, right, ref l2, ref r2);
                if (TRows.Count > 3) AddRow<TLanes, TVector>(a + TRows.Count + 3, left, right, ref l3, ref r3);
                if (TRows.Count > 4) AddRow<TLanes, TVector>(a + TRows.Count + 4, left, right, ref l4, ref r4);
                if (TRows.Count > 5) AddRow<TLanes, TVector>(a + TRows.Count + 5, left, right, ref l5, ref r5);
                if (TRows.Count > 6) AddRow<TLanes, TVector>(a + TRows.Count + 6, left, right, ref l6, ref r6);
                if (TRows.Count > 7) AddRow<TLanes, TVector>(a + TRows.Count + 7, left, right, ref l7, ref r7);
                if (TRows.Count > 8) AddRow<TLanes, TVector>(a + TRows.Count + 8, left, right, ref l8, ref r8);
                if (TRows.Count > 9) AddRow<TLanes, TVector>(a + TRows.Count + 9, left, right, ref l9, ref r9);
                if (TRows.Count > 10) AddRow<TLanes, TVector>(a + TRows.Count + 10, left, right, ref l10, ref r10);
                if (TRows.Count > 11) AddRow<TLanes, TVector>(a + TRows.Count + 11, left, right, ref l11, ref r11);
                if (TRows.Count > 12) AddRow<TLanes, TVector>(a + TRows.Count + 12, left, right, ref l12, ref r12);
                if (TRows.Count > 13) AddRow<TLanes, TVector>(a + TRows.Count + 13, left, right, ref l13, ref r13);
                a += 2 * TRows.Count;
                b += 4 * TLanes.Count;
            }
            while (--turns != 0);
        }
        if (k % 2 != 0)
        {
            TVector left = TLanes.Load(b), right = TLanes.Load(b + TLanes.Count);
            AddRow<TLanes, TVector>(a, left, right, ref l0, ref r0);
            if (TRows.Count > 1) AddRow<TLanes, TVector>(a + 1, left, right, ref l1, ref r1);
            if (TRows.Count > 2) AddRow<TLanes, TVector>(a + 2, left, right, ref l2, ref r2);
            if (TRows.Count > 3) AddRow<TLanes, TVector>(a + 3, left, right, ref l3, ref r3);
            if (TRows.Count > 4) AddRow<TLanes, TVector>(a + 4, left, right, ref l4, ref r4);
            if (TRows.Count > 5) AddRow<TLanes, TVector>(a + 5, left, right, ref l5, ref r5);
            if (TRows.Count > 6) AddRow<TLanes, TVector>(a + 6, left, right, ref l6, ref r6);
            if (TRows.Count > 7) AddRow<TLanes, TVector>(a + 7, left, right, ref l7, ref r7);
            if (TRows.Count > 8) AddRow<TLanes, TVector>(a + 8, left, right, ref l8, ref r8);
            if (TRows.Count > 9) AddRow<TLanes, TVector>(a + 9, left, right, ref l9, ref r9);
            if (TRows.Count > 10) AddRow<TLanes, TVector>(a + 10, left, right, ref l10, ref r10);
            if (TRows.Count > 11) AddRow<TLanes, TVector>(a + 11, left, right, ref l11, ref r11);
            if (TRows.Count > 12) AddRow<TLanes, TVector>(a + 12, left, right, ref l12, ref r12);
            if (TRows.Count > 13) AddRow<TLanes, TVector>(a + 13, left, right, ref l13, ref r13);
        }
        StoreRow<TLanes, TVector>(tile, 0, l0, r0);
        if (TRows.Count > 1) StoreRow<TLanes, TVector>(tile, 1, l1, r1);
        if (TRows.Count > 2) StoreRow<TLanes, TVector>(tile, 2, l2, r2);
        if (TRows.Count > 3) StoreRow<TLanes, TVector>(tile, 3, l3, r3);
        if (TRows.Count > 4) StoreRow<TLanes, TVector>(tile, 4, l4, r4);
        if (TRows.Count > 5) StoreRow<TLanes, TVector>(tile, 5, l5, r5);
        if (TRows.Count > 6) StoreRow<TLanes, TVector>(tile, 6, l6, r6);
        if (TRows.Count > 7) StoreRow<TLanes, TVector>(tile, 7, l7, r7);
        if (TRows.Count > 8) StoreRow<TLanes, TVector>(tile, 8, l8, r8);
        if (TRows.Count > 9) StoreRow<TLanes, TVector>(tile, 9, l9, r9);
        if (TRows.Count > 10) StoreRow<TLanes, TVector>(tile, 10, l10, r10);
        if (TRows.Count > 11) StoreRow<TLanes, TVector>(tile, 11, l11, r11);
        if (TRows.Count > 12) StoreRow<TLanes, TVector>(tile, 12, l12, r12);
        if (TRows.Count > 13) StoreRow<TLanes, TVector>(tile, 13, l13, r13);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddRow<TLanes, TVector>(float* a, TVector left, TVector right, ref TVector leftSum, ref TVector rightSum)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        TVector element = TLanes.Broadcast(a);
        leftSum = TLanes.MultiplyAdd(element, left, leftSum);
        rightSum = TLanes.MultiplyAdd(element, right, rightSum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreRow<TLanes, TVector>(float* tile, int row, TVector left, TVector right)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        TLanes.Store(left, tile + 2 * TLanes.Count * row);
        TLanes.Store(right, tile + 2 * TLanes.Count * row + TLanes.Count);
    }

    /// <summary>One to three rows of x against four of w; <paramref name="k"/> is a multiple of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void DotKernel<TLanes, TVector, TRows>(long k, float* x, float* w, long stride, float* tile, long tileStride)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, IRows
    {
        TVector s00 = TLanes.Zero, s01 = TLanes.Zero, s02 = TLanes.Zero, s03 = TLanes.Zero;
        TVector s10 = TLanes.Zero, s11 = TLanes.Zero, s12 = TLanes.Zero, s13 = TLanes.Zero;
        TVector s20 = TLanes.Zero, s21 = TLanes.Zero, s22 = TLanes.Zero, s23 = TLanes.Zero;
        float* w2 = w + 2 * stride;
        for (long i = 0; i < k; i += TLanes.Count)
        {
            TVector x0 = TLanes.Load(x + i);
            TVector x1 = TRows.Count > 1 ? TLanes.Load(x + stride + i) : x0;
            TVector x2 = TRows.Count > 2 ? TLanes.Load(x + 2 * stride + i) : x0;
            TVector y0 = TLanes.Load(w + i);
            s00 = TLanes.MultiplyAdd(x0, y0, s00);
            if (TRows.Count > 1) s10 = TLanes.MultiplyAdd(x1, y0, s10);
            if (TRows.Count > 2) s20 = TLanes.MultiplyAdd(x2, y0, s20);
            TVector y1 = TLanes.Load(w + stride + i);
            s01 = TLanes.MultiplyAdd(x0, y1, s01);
            if (TRows.Count > 1) s11 = TLanes.MultiplyAdd(x1, y1, s11);
            if (TRows.Count > 2) s21 = TLanes.MultiplyAdd(x2, y1, s21);
            TVector y2 = TLanes.Load(w2 + i);
            s02 = TLanes.MultiplyAdd(x0, y2, s02);
            if (TRows.Count > 1) s12 = TLanes.MultiplyAdd(x1, y2, s12);
            if (TRows.Count > 2) s22 = TLanes.MultiplyAdd(x2, y2, s22);
            TVector y3 = TLanes.Load(w2 + stride + i);
            s03 = TLanes.MultiplyAdd(x0, y3, s03);
            if (TRows.Count > 1) s13 = TLanes.MultiplyAdd(x1, y3, s13);
            if (TRows.Count > 2) s23 = TLanes.MultiplyAdd(x2, y3, s23);
        }
        StoreSums<TLanes, TVector>(tile, s00, s01, s02, s03);
        if (TRows.Count > 1) StoreSums<TLanes, TVector>(tile + tileStride, s10, s11, s12, s13);
        if (TRows.Count > 2) StoreSums<TLanes, TVector>(tile + 2 * tileStride, s20, s21, s22, s23);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreSums<TLanes, TVector>(float* tile, TVector s0, TVector s1, TVector s2, TVector s3)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        tile[0] = TLanes.Sum(s0);
        tile[1] = TLanes.Sum(s1);
        tile[2] = TLanes.Sum(s2);
        tile[3] = TLanes.Sum(s3);
    }

    private readonly struct Rows1 : IRows
    {
        public static int Count => 1;
    }

    private readonly struct Rows2 : IRows
    {
        public static int Count => 2;
    }

    private readonly struct Rows3 : IRows
    {
        public static int Count => 3;
    }

    private readonly struct Rows4 : IRows
    {
        public static int Count => 4;
    }

    private readonly struct Rows5 : IRows
    {
        public static int Count => 5;
    }

    private readonly struct Rows6 : IRows
    {
        public static int Count => 6;
    }

    private readonly struct Rows7 : IRows
    {
        public static int Count => 7;
    }

    private readonly struct Rows8 : IRows
    {
        public static int Count => 8;
    }

    private readonly struct Rows9 : IRows
    {
        public static int Count => 9;
    }

    private readonly struct Rows10 : IRows
    {
        public static int Count => 10;
    }

    private readonly struct Rows11 : IRows
    {
        public static int Count => 11;
    }

    private readonly struct Rows12 : IRows
    {
        public static int Count => 12;
    }

    private readonly struct Rows13 : IRows
    {
        public static int Count => 13;
    }

    private readonly struct Rows14 : IRows
    {
        public static int Count => 14;
    }
}
