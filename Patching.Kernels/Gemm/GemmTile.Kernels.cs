using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// The kernels themselves. The numbers of rows and vectors are type arguments: conditions on them are constants to the compiler, which drops
/// what is not there and keeps every sum in a register (seen in the disassembly: no spills at 14 x 2 and 9 x 3 of 32 and 6 x 2 of 16).
/// </content>
internal sealed unsafe partial class GemmTile
{
    private const int DotRows = 3;
    private const int DotColumns = 4;

    /// <summary>A number known to the compiler.</summary>
    private interface INumber
    {
        static abstract int Count { get; }
    }

    private static GemmTile Create<TLanes, TVector, TPanel>(int maxRows)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TPanel : struct, INumber
        => new(
            TLanes.Count,
            TPanel.Count,
            maxRows,
            [
                MultiplyKernels<TLanes, TVector, Number1, TPanel>(),
                MultiplyKernels<TLanes, TVector, Number2, TPanel>(),
                MultiplyKernels<TLanes, TVector, Number3, TPanel>(),
            ],
            [
                null,
                &DotKernel<TLanes, TVector, Number1>,
                &DotKernel<TLanes, TVector, Number2>,
                &DotKernel<TLanes, TVector, Number3>,
            ]);

    /// <summary>The kernels of one width, by rows; compiled when first called.</summary>
    private static delegate*<long, float*, float*, float*, TileRequests*, void>[] MultiplyKernels<TLanes, TVector, TWidth, TPanel>()
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TWidth : struct, INumber
        where TPanel : struct, INumber
        =>
        [
            null,
            &MultiplyKernel<TLanes, TVector, Number1, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number2, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number3, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number4, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number5, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number6, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number7, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number8, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number9, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number10, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number11, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number12, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number13, TWidth, TPanel>,
            &MultiplyKernel<TLanes, TVector, Number14, TWidth, TPanel>,
        ];

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyKernel<TLanes, TVector, TRows, TWidth, TPanel>(long k, float* a, float* b, float* tile, TileRequests* requests)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, INumber
        where TWidth : struct, INumber
        where TPanel : struct, INumber
    {
        // Row i of the tile is the vectors li, mi, ri. More rows than nine leave no registers for a third vector.
        TVector none = TLanes.Zero;
        TVector l0 = TLanes.Zero, m0 = TLanes.Zero, r0 = TLanes.Zero;
        TVector l1 = TLanes.Zero, m1 = TLanes.Zero, r1 = TLanes.Zero;
        TVector l2 = TLanes.Zero, m2 = TLanes.Zero, r2 = TLanes.Zero;
        TVector l3 = TLanes.Zero, m3 = TLanes.Zero, r3 = TLanes.Zero;
        TVector l4 = TLanes.Zero, m4 = TLanes.Zero, r4 = TLanes.Zero;
        TVector l5 = TLanes.Zero, m5 = TLanes.Zero, r5 = TLanes.Zero;
        TVector l6 = TLanes.Zero, m6 = TLanes.Zero, r6 = TLanes.Zero;
        TVector l7 = TLanes.Zero, m7 = TLanes.Zero, r7 = TLanes.Zero;
        TVector l8 = TLanes.Zero, m8 = TLanes.Zero, r8 = TLanes.Zero;
        TVector l9 = TLanes.Zero, m9 = TLanes.Zero;
        TVector l10 = TLanes.Zero, m10 = TLanes.Zero;
        TVector l11 = TLanes.Zero, m11 = TLanes.Zero;
        TVector l12 = TLanes.Zero, m12 = TLanes.Zero;
        TVector l13 = TLanes.Zero, m13 = TLanes.Zero;
        byte* stream = requests->Stream;
        long streamStep = requests->StreamStep, count = requests->Count, pairs = k / 2, pairsPerLine = Math.Max(pairs / Math.Max(count, 1), 1);
        float** lines = requests->Lines;
        int panel = TPanel.Count * TLanes.Count;
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
            // Two k in a turn: where two threads share a core, each is given three instructions a cycle, and then every one beside the
            // multiplications counts.
            do
            {
                HostMemory.PrefetchSecondLevel(stream);
                stream += streamStep;
                TVector first = TLanes.Load(b);
                TVector second = TWidth.Count > 1 ? TLanes.Load(b + TLanes.Count) : first;
                TVector third = TWidth.Count > 2 ? TLanes.Load(b + 2 * TLanes.Count) : first;
                AddRow<TLanes, TVector, TWidth>(a, first, second, third, ref l0, ref m0, ref r0);
                if (TRows.Count > 1) AddRow<TLanes, TVector, TWidth>(a + 1, first, second, third, ref l1, ref m1, ref r1);
                if (TRows.Count > 2) AddRow<TLanes, TVector, TWidth>(a + 2, first, second, third, ref l2, ref m2, ref r2);
                if (TRows.Count > 3) AddRow<TLanes, TVector, TWidth>(a + 3, first, second, third, ref l3, ref m3, ref r3);
                if (TRows.Count > 4) AddRow<TLanes, TVector, TWidth>(a + 4, first, second, third, ref l4, ref m4, ref r4);
                if (TRows.Count > 5) AddRow<TLanes, TVector, TWidth>(a + 5, first, second, third, ref l5, ref m5, ref r5);
                if (TRows.Count > 6) AddRow<TLanes, TVector, TWidth>(a + 6, first, second, third, ref l6, ref m6, ref r6);
                if (TRows.Count > 7) AddRow<TLanes, TVector, TWidth>(a + 7, first, second, third, ref l7, ref m7, ref r7);
                if (TRows.Count > 8) AddRow<TLanes, TVector, TWidth>(a + 8, first, second, third, ref l8, ref m8, ref r8);
                if (TRows.Count > 9) AddRow<TLanes, TVector, TWidth>(a + 9, first, second, third, ref l9, ref m9, ref none);
                if (TRows.Count > 10) AddRow<TLanes, TVector, TWidth>(a + 10, first, second, third, ref l10, ref m10, ref none);
                if (TRows.Count > 11) AddRow<TLanes, TVector, TWidth>(a + 11, first, second, third, ref l11, ref m11, ref none);
                if (TRows.Count > 12) AddRow<TLanes, TVector, TWidth>(a + 12, first, second, third, ref l12, ref m12, ref none);
                if (TRows.Count > 13) AddRow<TLanes, TVector, TWidth>(a + 13, first, second, third, ref l13, ref m13, ref none);
                first = TLanes.Load(b + panel);
                second = TWidth.Count > 1 ? TLanes.Load(b + panel + TLanes.Count) : first;
                third = TWidth.Count > 2 ? TLanes.Load(b + panel + 2 * TLanes.Count) : first;
                AddRow<TLanes, TVector, TWidth>(a + TRows.Count, first, second, third, ref l0, ref m0, ref r0);
                if (TRows.Count > 1) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 1, first, second, third, ref l1, ref m1, ref r1);
                if (TRows.Count > 2) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 2, first, second, third, ref l2, ref m2, ref r2);
                if (TRows.Count > 3) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 3, first, second, third, ref l3, ref m3, ref r3);
                if (TRows.Count > 4) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 4, first, second, third, ref l4, ref m4, ref r4);
                if (TRows.Count > 5) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 5, first, second, third, ref l5, ref m5, ref r5);
                if (TRows.Count > 6) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 6, first, second, third, ref l6, ref m6, ref r6);
                if (TRows.Count > 7) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 7, first, second, third, ref l7, ref m7, ref r7);
                if (TRows.Count > 8) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 8, first, second, third, ref l8, ref m8, ref r8);
                if (TRows.Count > 9) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 9, first, second, third, ref l9, ref m9, ref none);
                if (TRows.Count > 10) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 10, first, second, third, ref l10, ref m10, ref none);
                if (TRows.Count > 11) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 11, first, second, third, ref l11, ref m11, ref none);
                if (TRows.Count > 12) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 12, first, second, third, ref l12, ref m12, ref none);
                if (TRows.Count > 13) AddRow<TLanes, TVector, TWidth>(a + TRows.Count + 13, first, second, third, ref l13, ref m13, ref none);
                a += 2 * TRows.Count;
                b += 2 * panel;
            }
            while (--turns != 0);
        }
        if (k % 2 != 0)
        {
            TVector first = TLanes.Load(b);
            TVector second = TWidth.Count > 1 ? TLanes.Load(b + TLanes.Count) : first;
            TVector third = TWidth.Count > 2 ? TLanes.Load(b + 2 * TLanes.Count) : first;
            AddRow<TLanes, TVector, TWidth>(a, first, second, third, ref l0, ref m0, ref r0);
            if (TRows.Count > 1) AddRow<TLanes, TVector, TWidth>(a + 1, first, second, third, ref l1, ref m1, ref r1);
            if (TRows.Count > 2) AddRow<TLanes, TVector, TWidth>(a + 2, first, second, third, ref l2, ref m2, ref r2);
            if (TRows.Count > 3) AddRow<TLanes, TVector, TWidth>(a + 3, first, second, third, ref l3, ref m3, ref r3);
            if (TRows.Count > 4) AddRow<TLanes, TVector, TWidth>(a + 4, first, second, third, ref l4, ref m4, ref r4);
            if (TRows.Count > 5) AddRow<TLanes, TVector, TWidth>(a + 5, first, second, third, ref l5, ref m5, ref r5);
            if (TRows.Count > 6) AddRow<TLanes, TVector, TWidth>(a + 6, first, second, third, ref l6, ref m6, ref r6);
            if (TRows.Count > 7) AddRow<TLanes, TVector, TWidth>(a + 7, first, second, third, ref l7, ref m7, ref r7);
            if (TRows.Count > 8) AddRow<TLanes, TVector, TWidth>(a + 8, first, second, third, ref l8, ref m8, ref r8);
            if (TRows.Count > 9) AddRow<TLanes, TVector, TWidth>(a + 9, first, second, third, ref l9, ref m9, ref none);
            if (TRows.Count > 10) AddRow<TLanes, TVector, TWidth>(a + 10, first, second, third, ref l10, ref m10, ref none);
            if (TRows.Count > 11) AddRow<TLanes, TVector, TWidth>(a + 11, first, second, third, ref l11, ref m11, ref none);
            if (TRows.Count > 12) AddRow<TLanes, TVector, TWidth>(a + 12, first, second, third, ref l12, ref m12, ref none);
            if (TRows.Count > 13) AddRow<TLanes, TVector, TWidth>(a + 13, first, second, third, ref l13, ref m13, ref none);
        }
        StoreRow<TLanes, TVector, TWidth>(tile, l0, m0, r0);
        if (TRows.Count > 1) StoreRow<TLanes, TVector, TWidth>(tile + panel, l1, m1, r1);
        if (TRows.Count > 2) StoreRow<TLanes, TVector, TWidth>(tile + 2 * panel, l2, m2, r2);
        if (TRows.Count > 3) StoreRow<TLanes, TVector, TWidth>(tile + 3 * panel, l3, m3, r3);
        if (TRows.Count > 4) StoreRow<TLanes, TVector, TWidth>(tile + 4 * panel, l4, m4, r4);
        if (TRows.Count > 5) StoreRow<TLanes, TVector, TWidth>(tile + 5 * panel, l5, m5, r5);
        if (TRows.Count > 6) StoreRow<TLanes, TVector, TWidth>(tile + 6 * panel, l6, m6, r6);
        if (TRows.Count > 7) StoreRow<TLanes, TVector, TWidth>(tile + 7 * panel, l7, m7, r7);
        if (TRows.Count > 8) StoreRow<TLanes, TVector, TWidth>(tile + 8 * panel, l8, m8, r8);
        if (TRows.Count > 9) StoreRow<TLanes, TVector, TWidth>(tile + 9 * panel, l9, m9, none);
        if (TRows.Count > 10) StoreRow<TLanes, TVector, TWidth>(tile + 10 * panel, l10, m10, none);
        if (TRows.Count > 11) StoreRow<TLanes, TVector, TWidth>(tile + 11 * panel, l11, m11, none);
        if (TRows.Count > 12) StoreRow<TLanes, TVector, TWidth>(tile + 12 * panel, l12, m12, none);
        if (TRows.Count > 13) StoreRow<TLanes, TVector, TWidth>(tile + 13 * panel, l13, m13, none);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddRow<TLanes, TVector, TWidth>(
        float* a, TVector first, TVector second, TVector third, ref TVector left, ref TVector middle, ref TVector right)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TWidth : struct, INumber
    {
        TVector element = TLanes.Broadcast(a);
        left = TLanes.MultiplyAdd(element, first, left);
        if (TWidth.Count > 1) middle = TLanes.MultiplyAdd(element, second, middle);
        if (TWidth.Count > 2) right = TLanes.MultiplyAdd(element, third, right);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreRow<TLanes, TVector, TWidth>(float* row, TVector left, TVector middle, TVector right)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TWidth : struct, INumber
    {
        TLanes.Store(left, row);
        if (TWidth.Count > 1) TLanes.Store(middle, row + TLanes.Count);
        if (TWidth.Count > 2) TLanes.Store(right, row + 2 * TLanes.Count);
    }

    /// <summary>One to three rows of x against four of w; <paramref name="k"/> is a multiple of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void DotKernel<TLanes, TVector, TRows>(long k, float* x, float* w, long stride, float* tile, long tileStride)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TRows : struct, INumber
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

    private readonly struct Number1 : INumber
    {
        public static int Count => 1;
    }

    private readonly struct Number2 : INumber
    {
        public static int Count => 2;
    }

    private readonly struct Number3 : INumber
    {
        public static int Count => 3;
    }

    private readonly struct Number4 : INumber
    {
        public static int Count => 4;
    }

    private readonly struct Number5 : INumber
    {
        public static int Count => 5;
    }

    private readonly struct Number6 : INumber
    {
        public static int Count => 6;
    }

    private readonly struct Number7 : INumber
    {
        public static int Count => 7;
    }

    private readonly struct Number8 : INumber
    {
        public static int Count => 8;
    }

    private readonly struct Number9 : INumber
    {
        public static int Count => 9;
    }

    private readonly struct Number10 : INumber
    {
        public static int Count => 10;
    }

    private readonly struct Number11 : INumber
    {
        public static int Count => 11;
    }

    private readonly struct Number12 : INumber
    {
        public static int Count => 12;
    }

    private readonly struct Number13 : INumber
    {
        public static int Count => 13;
    }

    private readonly struct Number14 : INumber
    {
        public static int Count => 14;
    }
}
