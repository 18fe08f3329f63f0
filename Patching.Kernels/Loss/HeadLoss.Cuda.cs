using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernel: a group does everything for four images, so that the head is read twice per four images and nothing but the logits (scratch) leaves the group
/// in between. The four images are the components of a register quadruple: a number of the head, read once, serves all four.
/// <list type="number">
/// <item>Unit features to shared memory, <c>units[j, q]</c> = the four images' column 4 q + j.</item>
/// <item>Logits: a warp takes four classes at a time, its lanes divide the columns, and 16 shuffles leave each of the 16 sums to one pair of lanes.</item>
/// <item>Largest logit, sum of exponentials and loss: the threads divide the classes.</item>
/// <item>Gradient: the logits' gradients of 256 classes at a time to shared memory; each warp has 128 columns and a share of the classes.</item>
/// <item>The shares add up in order; the part along the feature is taken off and the rest divided by its length.</item>
/// </list>
/// </content>
public static partial class HeadLoss
{
    // Widest feature whose four images' values and gradients fit 48 KiB of shared memory.
    private const int WidestFusedRow = 1280;
    private const int WidestQuads = WidestFusedRow / 4;
    private const int Images = 4;
    private const int Threads = 384;
    private const int Warps = Threads / WarpReduction.Lanes;
    private const int TileClasses = 256;
    private const float Log2E = 1.44269504f;
    private const float Ln2 = 0.69314718f;

    private static readonly CudaKernel ForwardCudaKernel = new(FourImages, Threads);

    private static void ForwardCuda(
        Device device, Tensor losses, Tensor dFeatures, Tensor features, Tensor head, Tensor labels, float smoothing, Tensor scratch, float scale)
    {
        if (features.Columns > WidestFusedRow)
            throw new ArgumentException($"features: at most {WidestFusedRow} columns beside bfloat16 tensors, got {features}; use single precision");
        int batch = features.Rows;
        device.Load<Action<
            AcceleratorStream, KernelConfig, ArrayView<float>, NumberMatrix, NumberMatrix, NumberMatrix, ArrayView<int>, ArrayView<float>, LossOptions>>(
            ForwardCudaKernel)(
            device.Stream, new KernelConfig((batch + Images - 1) / Images, Threads), losses.Floats, new NumberMatrix(dFeatures), new NumberMatrix(features),
            new NumberMatrix(head), labels.Ints, scratch.Floats,
            new LossOptions
            {
                Batch = batch,
                Classes = head.Rows,
                Columns = features.Columns,
                Quads = (features.Columns + 3) / 4,
                Smoothing = smoothing,
                Scale = scale,
            });
    }

    private static void FourImages(
        ArrayView<float> losses, NumberMatrix dFeatures, NumberMatrix features, NumberMatrix head, ArrayView<int> labels, ArrayView<float> logits,
        LossOptions options)
    {
        ArrayView<Float4> units = SharedMemory.Allocate<Float4>(4 * WidestQuads);
        ArrayView<Float4> gradients = SharedMemory.Allocate<Float4>(Images * WidestQuads);
        ArrayView<Float4> tile = SharedMemory.Allocate<Float4>(TileClasses);
        ArrayView<Float4> slots = SharedMemory.Allocate<Float4>(Warps);
        int firstImage = Grid.IdxX * Images, q = Group.IdxX;

        // Images that a short last group lacks are the batch's last one again, except that nothing of theirs is written.
        ImageRows rows = new(firstImage, options.Batch);
        Columns columns = default;
        if (q < options.Quads) columns = Columns.Transposed(features.Load(rows.A, 4 * q), features.Load(rows.B, 4 * q), features.Load(rows.C, 4 * q), features.Load(rows.D, 4 * q));
        Float4 inverse = ReciprocalRoot(GroupSum(slots, columns.Dot(columns)));
        columns = columns.Times(inverse);
        if (q < options.Quads) columns.Store(units, q);
        Group.Barrier();

        StoreLogits(logits, head, units, firstImage, options);
        Group.Barrier();

        Float4 largest = Largest(logits, rows, slots, options);
        Exponentials(logits, rows, largest, options, out Float4 sum, out Float4 below);
        sum = GroupSum(slots, sum);
        below = GroupSum(slots, below);
        if (Group.IdxX < Images && firstImage + Group.IdxX < options.Batch)
            StoreLoss(losses, logits, labels, firstImage + Group.IdxX, Pick(largest, Group.IdxX), Pick(sum, Group.IdxX), Pick(below, Group.IdxX), options);

        HeadGradient(gradients, tile, logits, head, labels, rows, largest, sum, options);

        Columns d = default;
        if (q < options.Quads)
        {
            d = Columns.Transposed(
                gradients[q], gradients[WidestQuads + q], gradients[2 * WidestQuads + q], gradients[3 * WidestQuads + q]);
        }
        Float4 radial = GroupSum(slots, columns.Dot(d));
        if (q >= options.Quads) return;
        Columns tangential = d.MinusProduct(columns, radial).Times(inverse);
        Columns byImage = Columns.Transposed(tangential.A, tangential.B, tangential.C, tangential.D);
        dFeatures.Store(firstImage, 4 * q, byImage.A);
        if (firstImage + 1 < options.Batch) dFeatures.Store(firstImage + 1, 4 * q, byImage.B);
        if (firstImage + 2 < options.Batch) dFeatures.Store(firstImage + 2, 4 * q, byImage.C);
        if (firstImage + 3 < options.Batch) dFeatures.Store(firstImage + 3, 4 * q, byImage.D);
    }

    private static void StoreLogits(ArrayView<float> logits, NumberMatrix head, ArrayView<Float4> units, int firstImage, LossOptions options)
    {
        int lane = Warp.LaneIdx, last = options.Classes - 1;
        for (int k = Group.IdxX / WarpReduction.Lanes * 4; k < options.Classes; k += Warps * 4)
        {
            int k1 = Math.Min(k + 1, last), k2 = Math.Min(k + 2, last), k3 = Math.Min(k + 3, last);
            Float4 s0 = default, s1 = default, s2 = default, s3 = default;
            for (int q = lane; q < options.Quads; q += WarpReduction.Lanes)
            {
                Columns w = Columns.Load(head, k, k1, k2, k3, 4 * q);
                Columns u = new(units[q], units[WidestQuads + q], units[2 * WidestQuads + q], units[3 * WidestQuads + q]);
                s0 = u.PlusProduct(w.A, s0);
                s1 = u.PlusProduct(w.B, s1);
                s2 = u.PlusProduct(w.C, s2);
                s3 = u.PlusProduct(w.D, s3);
            }
            float logit = ShareSums(s0, s1, s2, s3, lane);
            int image = firstImage + (lane & 4) / 2 + (lane & 2) / 2, label = k + (lane & 16) / 8 + (lane & 8) / 8;
            if ((lane & 1) == 0 && label < options.Classes && image < options.Batch) logits[(long)image * options.Classes + label] = logit;
        }
    }

    /// <summary>
    /// Sixteen sums over the warp, halved with each exchange: a lane sends the half it gives up and adds what it receives to the half it keeps. Bits 4 and 3 of the
    /// lane choose the class, bits 2 and 1 the image.
    /// </summary>
    private static float ShareSums(Float4 s0, Float4 s1, Float4 s2, Float4 s3, int lane)
    {
        bool upper = (lane & 16) != 0;
        Float4 a = Quad.Add(Select(upper, s2, s0), ShuffleXor(Select(upper, s0, s2), 16));
        Float4 b = Quad.Add(Select(upper, s3, s1), ShuffleXor(Select(upper, s1, s3), 16));
        upper = (lane & 8) != 0;
        a = Quad.Add(Select(upper, b, a), ShuffleXor(Select(upper, a, b), 8));
        upper = (lane & 4) != 0;
        float x = (upper ? a.Z : a.X) + Warp.ShuffleXor(upper ? a.X : a.Z, 4), y = (upper ? a.W : a.Y) + Warp.ShuffleXor(upper ? a.Y : a.W, 4);
        upper = (lane & 2) != 0;
        float sum = (upper ? y : x) + Warp.ShuffleXor(upper ? x : y, 2);
        return sum + Warp.ShuffleXor(sum, 1);
    }

    private static Float4 Largest(ArrayView<float> logits, ImageRows rows, ArrayView<Float4> slots, LossOptions options)
    {
        Float4 largest = new(float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity);
        for (int k = Group.IdxX; k < options.Classes; k += Threads) largest = Max(largest, Logits(logits, rows, k, options.Classes));
        largest = Max(largest, ShuffleXor(largest, 16));
        largest = Max(largest, ShuffleXor(largest, 8));
        largest = Max(largest, ShuffleXor(largest, 4));
        largest = Max(largest, ShuffleXor(largest, 2));
        largest = Max(largest, ShuffleXor(largest, 1));
        if (Warp.LaneIdx == 0) slots[Group.IdxX / WarpReduction.Lanes] = largest;
        Group.Barrier();
        for (int warp = 0; warp < Warps; warp++) largest = Max(largest, slots[warp]);
        Group.Barrier();
        return largest;
    }

    private static void Exponentials(ArrayView<float> logits, ImageRows rows, Float4 largest, LossOptions options, out Float4 sum, out Float4 below)
    {
        sum = default;
        below = default;
        for (int k = Group.IdxX; k < options.Classes; k += Threads)
        {
            Float4 under = Quad.Fma(-1, Logits(logits, rows, k, options.Classes), largest);
            sum = Quad.Add(sum, Exp(under));
            below = Quad.Add(below, under);
        }
    }

    private static void StoreLoss(
        ArrayView<float> losses, ArrayView<float> logits, ArrayView<int> labels, int image, float largest, float sum, float below, LossOptions options)
    {
        int label = labels[image];
        float loss = float.NaN;
        if (label >= 0 && label < options.Classes)
        {
            float logSum = PtxMath.Log2(sum) * Ln2;
            loss = (1 - options.Smoothing) * (logSum + (largest - logits[(long)image * options.Classes + label]));
            // Without smoothing a logit of minus infinity elsewhere must not matter.
            if (options.Smoothing > 0) loss += options.Smoothing * (logSum + below / options.Classes);
        }
        losses[image] = loss;
    }

    /// <summary><c>W^T dz</c> into <paramref name="gradients"/>, [image, q]: four columns of one image to an element.</summary>
    private static void HeadGradient(
        ArrayView<Float4> gradients, ArrayView<Float4> tile, ArrayView<float> logits, NumberMatrix head, ArrayView<int> labels, ImageRows rows, Float4 largest,
        Float4 sum, LossOptions options)
    {
        // Each panel is 128 columns; what warps are left over divide the classes among them.
        int panels = (options.Quads + WarpReduction.Lanes - 1) / WarpReduction.Lanes, shares = Warps / panels;
        int warp = Group.IdxX / WarpReduction.Lanes, share = warp / panels, q = warp % panels * WarpReduction.Lanes + Warp.LaneIdx;
        bool takesPart = share < shares && q < options.Quads;
        LogitGradient gradient = new(labels, rows, largest, sum, options);
        Columns d = default;
        for (int first = 0; first < options.Classes; first += TileClasses)
        {
            int count = Math.Min(TileClasses, options.Classes - first);
            if (Group.IdxX < count)
                tile[Group.IdxX] = gradient.Of(Logits(logits, rows, first + Group.IdxX, options.Classes), first + Group.IdxX, options);
            Group.Barrier();
            for (int k = share; k < count && takesPart; k += 4 * shares)
            {
                int k1 = k + shares, k2 = k1 + shares, k3 = k2 + shares, last = count - 1;
                Columns w = Columns.Load(
                    head, first + k, first + Math.Min(k1, last), first + Math.Min(k2, last), first + Math.Min(k3, last), 4 * q);
                d = d.PlusOuter(tile[k], w.A);
                if (k1 < count) d = d.PlusOuter(tile[k1], w.B);
                if (k2 < count) d = d.PlusOuter(tile[k2], w.C);
                if (k3 < count) d = d.PlusOuter(tile[k3], w.D);
            }
            Group.Barrier();
        }
        for (int turn = 0; turn < shares; turn++)
        {
            if (turn == share && q < options.Quads)
            {
                if (turn > 0)
                    d = d.Plus(new Columns(gradients[q], gradients[WidestQuads + q], gradients[2 * WidestQuads + q], gradients[3 * WidestQuads + q]));
                d.Store(gradients, q);
            }
            Group.Barrier();
        }
    }

    /// <summary>The sums over the group, in a fixed order; every thread receives them.</summary>
    private static Float4 GroupSum(ArrayView<Float4> slots, Float4 values)
    {
        Float4 sum = WarpReduction.Sum(values);
        if (Warp.LaneIdx == 0) slots[Group.IdxX / WarpReduction.Lanes] = sum;
        Group.Barrier();
        sum = slots[0];
        for (int warp = 1; warp < Warps; warp++) sum = Quad.Add(sum, slots[warp]);
        Group.Barrier();
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Logits(ArrayView<float> logits, ImageRows rows, int label, int classes) => new(
        logits[(long)rows.A * classes + label], logits[(long)rows.B * classes + label], logits[(long)rows.C * classes + label],
        logits[(long)rows.D * classes + label]);

    /// <summary><c>exp(-x)</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Exp(Float4 x) => new(PtxMath.Exp2(-Log2E * x.X), PtxMath.Exp2(-Log2E * x.Y), PtxMath.Exp2(-Log2E * x.Z), PtxMath.Exp2(-Log2E * x.W));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 ReciprocalRoot(Float4 x) => new(
        PtxMath.Reciprocal(RoundedMath.SquareRoot(x.X)), PtxMath.Reciprocal(RoundedMath.SquareRoot(x.Y)), PtxMath.Reciprocal(RoundedMath.SquareRoot(x.Z)),
        PtxMath.Reciprocal(RoundedMath.SquareRoot(x.W)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Max(Float4 a, Float4 b) => new(a.X > b.X ? a.X : b.X, a.Y > b.Y ? a.Y : b.Y, a.Z > b.Z ? a.Z : b.Z, a.W > b.W ? a.W : b.W);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Select(bool condition, Float4 a, Float4 b) =>
        new(condition ? a.X : b.X, condition ? a.Y : b.Y, condition ? a.Z : b.Z, condition ? a.W : b.W);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 ShuffleXor(Float4 x, int mask) =>
        new(Warp.ShuffleXor(x.X, mask), Warp.ShuffleXor(x.Y, mask), Warp.ShuffleXor(x.Z, mask), Warp.ShuffleXor(x.W, mask));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Pick(Float4 x, int index) => index < 2 ? (index == 0 ? x.X : x.Y) : (index == 2 ? x.Z : x.W);

    /// <summary>What the kernel must know besides its tensors.</summary>
    internal struct LossOptions
    {
        public int Batch;
        public int Classes;
        public int Columns;
        public int Quads;
        public float Smoothing;
        public float Scale;
    }

    /// <summary>The rows of a group's images.</summary>
    private readonly struct ImageRows(int first, int batch)
    {
        public readonly int A = first;
        public readonly int B = Math.Min(first + 1, batch - 1);
        public readonly int C = Math.Min(first + 2, batch - 1);
        public readonly int D = Math.Min(first + 3, batch - 1);
    }

    /// <summary>The gradient of four images' mean loss with respect to their logits of one class.</summary>
    private readonly struct LogitGradient(ArrayView<int> labels, ImageRows rows, Float4 largest, Float4 sum, LossOptions options)
    {
        private readonly int a = labels[rows.A];
        private readonly int b = labels[rows.B];
        private readonly int c = labels[rows.C];
        private readonly int d = labels[rows.D];
        private readonly Float4 largest = largest;
        private readonly Float4 inverse = new(1 / sum.X, 1 / sum.Y, 1 / sum.Z, 1 / sum.W);
        private readonly float others = options.Smoothing / options.Classes;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Float4 Of(Float4 logits, int label, LossOptions options)
        {
            Float4 p = Quad.Multiply(Exp(Quad.Fma(-1, logits, largest)), inverse);
            return new Float4(Of(p.X, a, label, options), Of(p.Y, b, label, options), Of(p.Z, c, label, options), Of(p.W, d, label, options));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Of(float p, int target, int label, LossOptions options)
        {
            float gradient = options.Scale * (p - (label == target ? others + (1 - options.Smoothing) : others));
            return target >= 0 && target < options.Classes ? gradient : float.NaN;
        }
    }

    /// <summary>Sixteen numbers: four columns of four images, four images of four columns, or four columns of four classes.</summary>
    private readonly record struct Columns(Float4 A, Float4 B, Float4 C, Float4 D)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Columns Transposed(Float4 a, Float4 b, Float4 c, Float4 d) => new(
            new Float4(a.X, b.X, c.X, d.X), new Float4(a.Y, b.Y, c.Y, d.Y), new Float4(a.Z, b.Z, c.Z, d.Z), new Float4(a.W, b.W, c.W, d.W));

        /// <summary>Four rows' columns; the four reads follow each other without a branch where they can.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Columns Load(NumberMatrix x, int a, int b, int c, int d, int column)
        {
            if (!x.InFours) return new(x.Load(a, column), x.Load(b, column), x.Load(c, column), x.Load(d, column));
            if (x.IsBFloat) return new(x.LoadBFloats(a, column), x.LoadBFloats(b, column), x.LoadBFloats(c, column), x.LoadBFloats(d, column));
            return new(x.LoadFloats(a, column), x.LoadFloats(b, column), x.LoadFloats(c, column), x.LoadFloats(d, column));
        }

        /// <summary>To shared memory, each of the four quadruples to its own run.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Store(ArrayView<Float4> memory, int index)
        {
            memory[index] = A;
            memory[WidestQuads + index] = B;
            memory[2 * WidestQuads + index] = C;
            memory[3 * WidestQuads + index] = D;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Columns Plus(Columns x) => new(Quad.Add(A, x.A), Quad.Add(B, x.B), Quad.Add(C, x.C), Quad.Add(D, x.D));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Columns Times(Float4 x) => new(Quad.Multiply(A, x), Quad.Multiply(B, x), Quad.Multiply(C, x), Quad.Multiply(D, x));

        /// <summary>This less <c>x y</c>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Columns MinusProduct(Columns x, Float4 y)
        {
            Float4 minus = Quad.Multiply(y, -1);
            return new(Quad.Fma(x.A, minus, A), Quad.Fma(x.B, minus, B), Quad.Fma(x.C, minus, C), Quad.Fma(x.D, minus, D));
        }

        /// <summary>The products over the four quadruples added up, component by component.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Float4 Dot(Columns x) => Quad.Fma(A, x.A, Quad.Fma(B, x.B, Quad.Fma(C, x.C, Quad.Multiply(D, x.D))));

        /// <summary><c>sum + A w.X + B w.Y + C w.Z + D w.W</c>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Float4 PlusProduct(Float4 w, Float4 sum) => Quad.Fma(w.X, A, Quad.Fma(w.Y, B, Quad.Fma(w.Z, C, Quad.Fma(w.W, D, sum))));

        /// <summary>This plus <c>x.X w</c>, <c>x.Y w</c>, <c>x.Z w</c>, <c>x.W w</c>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Columns PlusOuter(Float4 x, Float4 w) => new(Quad.Fma(x.X, w, A), Quad.Fma(x.Y, w, B), Quad.Fma(x.Z, w, C), Quad.Fma(x.W, w, D));
    }
}
