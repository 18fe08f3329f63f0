using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernels. Unfolding writes eight neighbouring columns of a patch at once, 16 bytes of bfloat16. Where patches and images are multiples of eight pixels wide,
/// these are eight neighbouring pixels, three reads of 8 bytes; elsewhere (patches of 14 pixels) they may cross lines, channels and patches, and each pixel is read by
/// itself from what the first-level cache holds. The table of normalised values sits in shared memory. Per pixel and channel 1 byte in and 2 out.
/// Assembling moves a token per warp; its gradient gives each 128 columns of a position to a group whose warps share the batch and add up in order.
/// </content>
public static partial class PatchEmbedding
{
    private const int Threads = 256;
    private const int Warps = Threads / WarpReduction.Lanes;
    private const int PieceLength = 8;
    private const int PiecesPerThread = 4;
    private const int TableLength = 3 * 256;

    private static readonly CudaKernel UnfoldCudaKernel = new(UnfoldPieces, Threads);
    private static readonly CudaKernel AssembleCudaKernel = new(AssembleRows, Threads);
    private static readonly CudaKernel AssembleBackwardCudaKernel = new(AssembleBackwardColumns, Threads);

    private static void UnfoldCuda(Device device, Tensor patches, Tensor images, Tensor table, int size, int patchSize)
    {
        bool isBFloat = patches.Type == ElementType.BFloat16;
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<byte>, ArrayView<byte>, ArrayView<float>, UnfoldShape>>(UnfoldCudaKernel)(
            device.Stream, FlatLaunch.Groups(patches.Count, Threads * PiecesPerThread * PieceLength, Threads), patches.Pieces<byte>(), images.Bytes, table.Floats,
            new UnfoldShape
            {
                Size = size,
                PatchSize = patchSize,
                Grid = size / patchSize,
                Count = checked((int)patches.Count),
                IsBFloat = isBFloat ? 1 : 0,
                Pieces = FlatLaunch.Pieces(patches.Count, PieceLength, patches.IsAligned(16)),
                InWindows = size % PieceLength == 0 && patchSize % PieceLength == 0 && images.IsAligned(8) ? 1 : 0,
            });
    }

    private static void AssembleCuda(Device device, Tensor tokens, Tensor patchEmbeddings, Tensor classToken, Tensor positions, int length)
    {
        device.Load<Action<AcceleratorStream, KernelConfig, NumberMatrix, NumberMatrix, NumberMatrix, NumberMatrix, int, int, int>>(AssembleCudaKernel)(
            device.Stream, new KernelConfig((tokens.Rows + Warps - 1) / Warps, Threads), new NumberMatrix(tokens), new NumberMatrix(patchEmbeddings),
            new NumberMatrix(classToken.Reshape(1, tokens.Columns)), new NumberMatrix(positions), tokens.Rows, length, tokens.Columns);
    }

    private static void AssembleBackwardCuda(
        Device device, Tensor dpatchEmbeddings, Tensor dclassToken, Tensor dpositions, Tensor dtokens, int batch, int length)
    {
        int width = dtokens.Columns;
        KernelConfig config = new(new Index3D(length, (width + 4 * WarpReduction.Lanes - 1) / (4 * WarpReduction.Lanes), 1), new Index3D(Threads, 1, 1));
        device.Load<Action<AcceleratorStream, KernelConfig, NumberMatrix, NumberMatrix, NumberMatrix, NumberMatrix, int, int, int>>(AssembleBackwardCudaKernel)(
            device.Stream, config, new NumberMatrix(dpatchEmbeddings), new NumberMatrix(dclassToken.Reshape(1, width)), new NumberMatrix(dpositions),
            new NumberMatrix(dtokens), batch, length, width);
    }

    private static void UnfoldPieces(ArrayView<byte> patches, ArrayView<byte> images, ArrayView<float> table, UnfoldShape shape)
    {
        ArrayView<float> values = SharedMemory.Allocate<float>(TableLength);
        for (int i = Group.IdxX; i < TableLength; i += Threads) values[i] = table[i];
        Group.Barrier();
        for (int piece = FlatLaunch.FirstLoose(0); piece < shape.Pieces; piece += FlatLaunch.AllThreads)
        {
            PixelPosition pixel = PixelPosition.Of(piece * PieceLength, shape);
            Float4 low, high;
            if (shape.InWindows != 0)
                LoadWindow(images, values, pixel, out low, out high);
            else
                LoadPixels(images, values, pixel, shape, out low, out high);
            if (shape.IsBFloat != 0)
            {
                GlobalMemoryAccess.StoreWord4(ref patches[piece * 16L], BFloatPacking.Join(BFloatPacking.Pack(low), BFloatPacking.Pack(high)), 0, 1);
            }
            else
            {
                GlobalMemoryAccess.StoreFloat4(ref patches[piece * 32L], low, 0, 1);
                GlobalMemoryAccess.StoreFloat4(ref patches[piece * 32L + 16], high, 0, 1);
            }
        }
        for (int i = FlatLaunch.FirstLoose(shape.Pieces * PieceLength); i < shape.Count; i += FlatLaunch.AllThreads)
        {
            PixelPosition pixel = PixelPosition.Of(i, shape);
            float value = values[pixel.Channel * 256 + images[pixel.Offset]];
            if (shape.IsBFloat != 0)
                GlobalMemoryAccess.StoreBFloat(ref patches[i * 2L], value);
            else
                GlobalMemoryAccess.StoreFloat(ref patches[i * 4L], value);
        }
    }

    /// <summary>Eight neighbouring pixels of one channel: every third of 24 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadWindow(ArrayView<byte> images, ArrayView<float> values, PixelPosition pixel, out Float4 low, out Float4 high)
    {
        long start = pixel.Offset - pixel.Channel;
        Word2 a = GlobalMemoryAccess.LoadWord2(ref images[start], default, 0, 1), b = GlobalMemoryAccess.LoadWord2(ref images[start + 8], default, 0, 1);
        Word2 c = GlobalMemoryAccess.LoadWord2(ref images[start + 16], default, 0, 1);
        // The words from this channel of the first pixel on.
        int shift = 8 * pixel.Channel, first = 256 * pixel.Channel;
        uint w0 = From(a.X, a.Y, shift), w1 = From(a.Y, b.X, shift), w2 = From(b.X, b.Y, shift), w3 = From(b.Y, c.X, shift), w4 = From(c.X, c.Y, shift);
        uint w5 = c.Y >> shift;
        low = new Float4(Value(values, first, w0), Value(values, first, w0 >> 24), Value(values, first, w1 >> 16), Value(values, first, w2 >> 8));
        high = new Float4(Value(values, first, w3), Value(values, first, w3 >> 24), Value(values, first, w4 >> 16), Value(values, first, w5 >> 8));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint From(uint word, uint next, int shift) => (uint)((word | ((ulong)next << 32)) >> shift);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Value(ArrayView<float> values, int first, uint pixel) => values[first + (int)(pixel & 0xFF)];

    /// <summary>Eight numbers one after the other, wherever their pixels are.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadPixels(
        ArrayView<byte> images, ArrayView<float> values, PixelPosition p0, UnfoldShape shape, out Float4 low, out Float4 high)
    {
        PixelPosition p1 = p0.Next(shape), p2 = p1.Next(shape), p3 = p2.Next(shape), p4 = p3.Next(shape), p5 = p4.Next(shape), p6 = p5.Next(shape);
        PixelPosition p7 = p6.Next(shape);
        byte b0 = images[p0.Offset], b1 = images[p1.Offset], b2 = images[p2.Offset], b3 = images[p3.Offset];
        byte b4 = images[p4.Offset], b5 = images[p5.Offset], b6 = images[p6.Offset], b7 = images[p7.Offset];
        low = new Float4(
            values[p0.Channel * 256 + b0], values[p1.Channel * 256 + b1], values[p2.Channel * 256 + b2], values[p3.Channel * 256 + b3]);
        high = new Float4(
            values[p4.Channel * 256 + b4], values[p5.Channel * 256 + b5], values[p6.Channel * 256 + b6], values[p7.Channel * 256 + b7]);
    }

    private static void AssembleRows(
        NumberMatrix tokens, NumberMatrix patchEmbeddings, NumberMatrix classToken, NumberMatrix positions, int rows, int length, int width)
    {
        int row = Grid.IdxX * Warps + Group.IdxX / WarpReduction.Lanes, image = row / length, token = row % length;
        if (row >= rows) return;
        for (int c = 4 * Warp.LaneIdx; c < width; c += 4 * WarpReduction.Lanes)
        {
            Float4 value = token == 0 ? classToken.Load(0, c) : patchEmbeddings.Load(row - image - 1, c);
            tokens.Store(row, c, Quad.Add(value, positions.Load(token, c)));
        }
    }

    private static void AssembleBackwardColumns(
        NumberMatrix dpatchEmbeddings, NumberMatrix dclassToken, NumberMatrix dpositions, NumberMatrix dtokens, int batch, int length, int width)
    {
        int token = Grid.IdxX, warp = Group.IdxX / WarpReduction.Lanes, c = 4 * (Grid.IdxY * WarpReduction.Lanes + Warp.LaneIdx);
        ArrayView<Float4> sums = SharedMemory.Allocate<Float4>(Threads);
        Float4 sum = default;
        for (int image = warp; image < batch && c < width; image += Warps)
        {
            Float4 d = dtokens.Load(image * length + token, c);
            sum = Quad.Add(sum, d);
            if (token > 0) dpatchEmbeddings.Store(image * (length - 1) + token - 1, c, d);
        }
        sums[Group.IdxX] = sum;
        Group.Barrier();
        if (warp != 0 || c >= width) return;
        for (int other = 1; other < Warps; other++) sum = Quad.Add(sum, sums[other * WarpReduction.Lanes + Warp.LaneIdx]);
        dpositions.Store(token, c, Quad.Add(dpositions.Load(token, c), sum));
        if (token == 0) dclassToken.Store(0, c, Quad.Add(dclassToken.Load(0, c), sum));
    }

    /// <summary>What the unfolding kernel must know besides its tensors.</summary>
    internal struct UnfoldShape
    {
        public int Size;
        public int PatchSize;
        public int Grid;
        public int Count;
        public int Pieces;
        public int IsBFloat;
        public int InWindows;
    }

    /// <summary>Where a number of the unfolded patches comes from.</summary>
    /// <param name="Offset">Its byte among the images.</param>
    /// <param name="Channel">Its channel.</param>
    /// <param name="X">Its column within the patch.</param>
    /// <param name="Y">Its line within the patch.</param>
    /// <param name="Index">Its place among the unfolded patches.</param>
    private readonly record struct PixelPosition(long Offset, int Channel, int X, int Y, int Index)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static PixelPosition Of(int index, UnfoldShape shape)
        {
            int area = shape.PatchSize * shape.PatchSize, row = index / (3 * area), column = index - row * (3 * area);
            int channel = column / area, within = column - channel * area, y = within / shape.PatchSize, x = within - y * shape.PatchSize;
            int line = row / shape.Grid, patch = row - line * shape.Grid, image = line / shape.Grid;
            long pixel = ((long)image * shape.Size + (line - image * shape.Grid) * shape.PatchSize + y) * shape.Size + patch * shape.PatchSize + x;
            return new PixelPosition(pixel * 3 + channel, channel, x, y, index);
        }

        /// <summary>The next number: mostly the next pixel of the line, sometimes the next line, seldom another channel or patch.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public PixelPosition Next(UnfoldShape shape)
        {
            if (X + 1 < shape.PatchSize) return new PixelPosition(Offset + 3, Channel, X + 1, Y, Index + 1);
            if (Y + 1 < shape.PatchSize) return new PixelPosition(Offset + 3L * (shape.Size - shape.PatchSize + 1), Channel, 0, Y + 1, Index + 1);
            return Of(Index + 1, shape);
        }
    }
}
