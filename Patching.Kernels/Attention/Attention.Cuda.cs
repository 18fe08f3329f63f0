using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// Launches of the tensor-core kernels (bf16, sm_80 and later). docs/attention.md, "On tensor cores", has the layouts and the arithmetic.
/// A group works on rows of one head, 16 per warp, and meets the other side (keys, or queries) in tiles of 64 rows that <c>cp.async</c>
/// brings into shared memory. Kernels exist for rows of 64, 80 and 128 numbers; smaller heads are padded with zeros while they are copied.
/// One tile suffices up to T = 64: kernels of their own.
/// </content>
public static partial class Attention
{
    /// <summary>Rows of a tile in shared memory.</summary>
    private const int TileRows = 64;

    /// <summary>Rows of a warp.</summary>
    private const int WarpRows = 16;

    // So many that two groups fit a multiprocessor with the registers they take.
    private const int MostWarpsForward = 7;
    private const int MostWarpsBackward = 6;
    private const int MostWarpsOfWideRows = 4;

    private const float Log2OfE = 1.44269504f;
    private const float LogOf2 = 0.693147181f;

    private static readonly int[] Widths = [64, 80, 128];

    private static readonly CudaKernel[] ForwardKernels = Kernels(
        Forward64, Forward80, Forward128, ForwardBytes, MostWarpsForward, groups64: 2);
    private static readonly CudaKernel[] OneTileForwardKernels = Kernels(
        OneTileForward64, OneTileForward80, OneTileForward128, OneTileForwardBytes, TileRows / WarpRows);
    private static readonly CudaKernel[] QueryGradientKernels = Kernels(
        QueryGradient64, QueryGradient80, QueryGradient128, QueryGradientBytes, MostWarpsBackward);
    private static readonly CudaKernel[] KeyValueGradientKernels = Kernels(
        KeyValueGradient64, KeyValueGradient80, KeyValueGradient128, KeyValueGradientBytes, MostWarpsBackward);
    private static readonly CudaKernel[] OneTileBackwardKernels = Kernels(
        OneTileBackward64, OneTileBackward80, OneTileBackward128, OneTileBackwardBytes, TileRows / WarpRows);

    private static void ForwardCuda(Device device, Tensor y, Tensor logSumExp, Tensor qkv, AttentionShape shape, bool causal)
    {
        int kernel = RequireCuda(device, shape, y, qkv);
        // An absent tensor still needs a valid view; the flag keeps the kernel from touching it.
        ArrayView<float> saved = logSumExp.Exists ? logSumExp.Floats : y.Pieces<float>();
        bool oneTile = shape.Tokens <= TileRows;
        int warps = Warps(shape.Tokens, Widths[kernel], MostWarpsForward);
        KernelConfig config = Config(
            shape, warps, oneTile ? OneTileForwardBytes(Widths[kernel], warps) : ForwardBytes(Widths[kernel], warps));
        device.Load<Action<
            AcceleratorStream, KernelConfig, ArrayView<Word4>, ArrayView<float>, ArrayView<Word4>, AttentionShape, int, int>>(
            (oneTile ? OneTileForwardKernels : ForwardKernels)[kernel])(
            device.Stream, config, Rows(y), saved, Rows(qkv), shape, causal ? 1 : 0, logSumExp.Exists ? 1 : 0);
    }

    private static void BackwardCuda(
        Device device, Tensor dqkv, Tensor dy, Tensor y, Tensor qkv, Tensor logSumExp, Tensor delta, AttentionShape shape, bool causal)
    {
        int kernel = RequireCuda(device, shape, dqkv, dy, y, qkv);
        int width = Widths[kernel], warps = Warps(shape.Tokens, width, MostWarpsBackward), mask = causal ? 1 : 0;
        KernelConfig config;
        if (shape.Tokens <= TileRows)
        {
            config = Config(shape, warps, OneTileBackwardBytes(width, warps));
            device.Load<Action<
                AcceleratorStream, KernelConfig, ArrayView<Word4>, ArrayView<Word4>, ArrayView<Word4>, ArrayView<Word4>, ArrayView<float>,
                AttentionShape, int>>(OneTileBackwardKernels[kernel])(
                device.Stream, config, Rows(dqkv), Rows(dy), Rows(y), Rows(qkv), logSumExp.Floats, shape, mask);
            return;
        }
        // The kernel for queries has dy and y at hand and leaves delta for the other one.
        config = Config(shape, warps, QueryGradientBytes(width, warps));
        device.Load<Action<
            AcceleratorStream, KernelConfig, ArrayView<Word4>, ArrayView<float>, ArrayView<Word4>, ArrayView<Word4>, ArrayView<Word4>,
            ArrayView<float>, AttentionShape, int>>(QueryGradientKernels[kernel])(
            device.Stream, config, Rows(dqkv), delta.Floats, Rows(dy), Rows(y), Rows(qkv), logSumExp.Floats, shape, mask);
        config = Config(shape, warps, KeyValueGradientBytes(width, warps));
        device.Load<Action<
            AcceleratorStream, KernelConfig, ArrayView<Word4>, ArrayView<Word4>, ArrayView<Word4>, ArrayView<float>, ArrayView<float>,
            AttentionShape, int>>(KeyValueGradientKernels[kernel])(
            device.Stream, config, Rows(dqkv), Rows(dy), Rows(qkv), logSumExp.Floats, delta.Floats, shape, mask);
    }

    /// <summary>Whether any of the tensors asks for the tensor-core kernels.</summary>
    private static bool IsBFloat16(params ReadOnlySpan<Tensor> tensors)
    {
        foreach (Tensor tensor in tensors)
        {
            if (tensor.Type == ElementType.BFloat16) return true;
        }
        return false;
    }

    /// <summary>Checks that the kernels can take the call; returns the number of the narrowest kernel that holds a row.</summary>
    private static int RequireCuda(Device device, AttentionShape shape, params ReadOnlySpan<Tensor> tensors)
    {
        if (device.Kind != DeviceKind.Cuda)
            throw new ArgumentException($"attention in bfloat16 needs a CUDA device, not {device.Name}; use single precision");
        foreach (Tensor tensor in tensors)
        {
            if (tensor.Type != ElementType.BFloat16)
                throw new ArgumentException($"attention in bfloat16: all matrices must be BFloat16, not {tensor}");
        }
        if (shape.HeadSize % 8 != 0 || shape.HeadSize > Widths[^1])
        {
            throw new ArgumentException(
                $"attention in bfloat16: the head size must be a multiple of 8 up to {Widths[^1]}, not {shape.HeadSize}; "
                    + "use single precision");
        }
        return Array.FindIndex(Widths, width => width >= shape.HeadSize);
    }

    /// <summary>
    /// Warps of a group: among what fits, the number that leaves the fewest of a head's ceil(T / 16) blocks of 16 rows over, and the
    /// largest of those, because a tile is copied once per group. T = 257 has 17 blocks: three groups of 6 cover 18, five groups of 4 would
    /// cover 20.
    /// </summary>
    private static int Warps(int tokens, int width, int most)
    {
        int blocks = (tokens + WarpRows - 1) / WarpRows, best = Math.Min(blocks, 4);
        for (int warps = best + 1; warps <= MostWarps(width, most); warps++)
        {
            if (Padded(warps) <= Padded(best)) best = warps;
        }
        return best;

        int Padded(int warps) => (blocks + warps - 1) / warps * warps;
    }

    private static int MostWarps(int width, int most) => width > 80 ? MostWarpsOfWideRows : most;

    /// <summary>One group per head and block of rows; the blocks of a head are neighbours: the L2 cache has its tiles.</summary>
    private static KernelConfig Config(AttentionShape shape, int warps, int sharedBytes)
    {
        int rows = warps * WarpRows, groups = checked(shape.Pairs * ((shape.Tokens + rows - 1) / rows));
        return new KernelConfig(groups, 32 * warps, SharedMemoryConfig.RequestDynamic<byte>(sharedBytes));
    }

    /// <summary>A matrix in pieces of 16 bytes; kernels count them in 32 bits.</summary>
    private static ArrayView<Word4> Rows(Tensor tensor)
    {
        ArrayView<Word4> pieces = tensor.Pieces<Word4>();
        if (pieces.Length > int.MaxValue)
            throw new ArgumentException($"{tensor} is too large for attention: more than 2^31 pieces of 16 bytes");
        return pieces;
    }

    // Shared memory of a group in bytes; the first term aligns the start.

    private static int ForwardBytes(int width, int warps) => SwizzledRows.Alignment + 2 * width * (WarpRows * warps + 4 * TileRows);

    private static int OneTileForwardBytes(int width, int warps) => SwizzledRows.Alignment + 2 * width * 3 * TileRows;

    private static int QueryGradientBytes(int width, int warps) =>
        SwizzledRows.Alignment + 2 * width * (2 * WarpRows * warps + 4 * TileRows);

    private static int KeyValueGradientBytes(int width, int warps) =>
        SwizzledRows.Alignment + 2 * width * (2 * WarpRows * warps + 4 * TileRows) + 4 * TileRows * sizeof(float);

    private static int OneTileBackwardBytes(int width, int warps) =>
        SwizzledRows.Alignment + 2 * width * 5 * TileRows + 2 * TileRows * sizeof(float);

    private static CudaKernel[] Kernels(
        Delegate width64, Delegate width80, Delegate width128, Func<int, int, int> bytes, int most, int groups64 = 1)
    {
        Delegate[] methods = [width64, width80, width128];
        return [.. methods.Zip(Widths, (method, width) =>
        {
            int warps = MostWarps(width, most);
            return new CudaKernel(method, 32 * warps, bytes(width, warps), width == 64 ? groups64 : 1);
        })];
    }
}
