using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The bfloat16 implementation for CUDA: kernels and how they are launched. Each of the three products has a kernel for each <see cref="TileSize"/> and one for
/// rows that are not aligned to 16 bytes. What they compute is in <c>Gemm.CudaProduct.cs</c> (<c>mma.sync</c>) and <c>Gemm.WgmmaProduct.cs</c>, and in
/// <c>Gemm.CudaFinish.cs</c>.
/// </content>
public static partial class Gemm
{
    private static readonly CudaKernel[] ForwardTiles = Tiles(
        WideForwardKernel, LargeForwardKernel, SmallForwardKernel, AnyForwardKernel, WgmmaWideForwardKernel, WgmmaAlternatingForwardKernel);

    private static readonly CudaKernel[] BackwardInputTiles = Tiles(
        WideBackwardInputKernel, LargeBackwardInputKernel, SmallBackwardInputKernel, AnyBackwardInputKernel,
        WgmmaWideBackwardInputKernel, WgmmaAlternatingBackwardInputKernel);

    private static CudaKernel[] Tiles(Delegate wide, Delegate large, Delegate small, Delegate any, Delegate wgmmaWide, Delegate wgmmaAlternating) =>
    [
        Tiled(wide, TileSize.Wide), Tiled(large, TileSize.Large), Tiled(small, TileSize.Small),
        WithWgmma(wgmmaWide, TileSize.WgmmaWide), WithWgmma(wgmmaAlternating, TileSize.WgmmaAlternating),
        Tiled(any, TileSize.Small),
    ];

    private static CudaKernel Tiled(Delegate kernel, TileSize tile) => new(kernel, tile.Form.Threads, tile.Form.SharedBytes, tile.Together);

    /// <summary>The kernel for a size, and its tile.</summary>
    /// <param name="device">Where it runs.</param>
    /// <param name="kernels">Those of a product, in the order of <see cref="TileSize.All"/>; last the one for rows that are not aligned.</param>
    /// <param name="size">The product.</param>
    /// <param name="aligned">Whether rows are aligned to 16 bytes; if not, there is only one kernel.</param>
    /// <param name="tile">The tile, or none for the best.</param>
    private static (CudaKernel Kernel, TileSize Tile) Choose(Device device, CudaKernel[] kernels, ProductSize size, bool aligned, TileSize? tile)
    {
        if (!aligned) return (kernels[^1], TileSize.Small);
        tile ??= size.BestTile(device.UsableTensorCores);
        return (kernels.Zip(TileSize.All).First(pair => pair.Second == tile).First, tile);
    }

    /// <summary>See <see cref="Forward(Device, Tensor, Tensor, Tensor, in GemmEpilogue)"/>.</summary>
    /// <param name="device">A CUDA device.</param>
    /// <param name="y">[N, O], bfloat16 or single precision.</param>
    /// <param name="x">[N, I], bfloat16.</param>
    /// <param name="w">[O, I], bfloat16.</param>
    /// <param name="epilogue">Bias and residual in single precision, pre-activation bfloat16.</param>
    /// <param name="tile">The tile; what suits the size where it is not said.</param>
    internal static void ForwardCuda(Device device, Tensor y, Tensor x, Tensor w, in GemmEpilogue epilogue, TileSize? tile = null)
    {
        RequireType(x, "x", ElementType.BFloat16);
        RequireType(w, "w", ElementType.BFloat16);
        RequireType(epilogue.Bias, "bias", ElementType.Float32);
        RequireType(epilogue.PreActivation, "preActivation", ElementType.BFloat16);
        RequireType(epilogue.Residual, "residual", ElementType.Float32);
        FinishParts parts = new(
            epilogue.Activation is { } kind ? (int)kind : NoActivation,
            Flag(epilogue.Bias), Flag(epilogue.PreActivation), epilogue.Residual.Exists ? FloatsAdded : NothingAdded, Rounded(y, "y"));
        ProductSize size = new(y.Rows, y.Columns, x.Columns);
        bool aligned = x.Columns % 8 == 0 && y.Columns % 4 == 0;
        (CudaKernel kernel, tile) = Choose(device, ForwardTiles, size, aligned, tile);
        if (tile.UsesWgmma)
            LaunchWgmma(device, kernel, tile.WgmmaForm, size, x, w, y, epilogue.Bias, epilogue.PreActivation, epilogue.Residual, parts);
        else
            Launch(device, kernel, tile, size, x, w, y, epilogue.Bias, epilogue.PreActivation, epilogue.Residual, parts);
    }

    /// <summary>See <see cref="BackwardInput"/>.</summary>
    internal static void BackwardInputCuda(
        Device device, Tensor dx, Tensor dy, Tensor w, bool accumulate, Tensor preActivation, ActivationKind kind, TileSize? tile = null)
    {
        RequireType(dy, "dy", ElementType.BFloat16);
        RequireType(w, "w", ElementType.BFloat16);
        RequireType(preActivation, "preActivation", ElementType.BFloat16);
        int rounded = Rounded(dx, "dx"), added = !accumulate ? NothingAdded : rounded != 0 ? BFloatsAdded : FloatsAdded;
        ProductSize size = new(dx.Rows, dx.Columns, dy.Columns);
        bool aligned = dy.Columns % 8 == 0 && dx.Columns % 8 == 0;
        FinishParts parts = new((int)kind, HasBias: 0, Flag(preActivation), added, rounded);
        (CudaKernel kernel, tile) = Choose(device, BackwardInputTiles, size, aligned, tile);
        if (tile.UsesWgmma)
            LaunchWgmma(device, kernel, tile.WgmmaForm with { TransposeB = 1 }, size, dy, w, dx, default, preActivation, dx, parts);
        else
            Launch(device, kernel, tile, size, dy, w, dx, default, preActivation, dx, parts);
    }

    private static void Launch(
        Device device, CudaKernel kernel, TileSize tile, ProductSize size,
        Tensor a, Tensor b, Tensor output, Tensor bias, Tensor saved, Tensor added, FinishParts parts)
    {
        ProductShape shape = new(size.M, size.N, size.K, size.Stages);
        var launch = device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<ushort>, ArrayView<ushort>, ArrayView<ushort>, ArrayView<float>,
            ArrayView<ushort>, ArrayView<ushort>, ProductShape, FinishParts>>(kernel);
        launch(
            device.Stream, Configuration(size, tile, 1), a.BFloats, b.BFloats, output.Pieces<ushort>(), Either(bias, output).Pieces<float>(),
            Either(saved, output).Pieces<ushort>(), Either(added, output).Pieces<ushort>(), shape, parts);
    }

    private static KernelConfig Configuration(ProductSize size, TileSize tile, int parts) => new(
        new Index3D(ProductSize.CountOf(size.N, tile.Columns), ProductSize.CountOf(size.M, tile.Rows), parts),
        new Index3D(tile.Form.Threads, 1, 1),
        SharedMemoryConfig.RequestDynamic<byte>(tile.Form.SharedBytes));

    // An absent tensor still needs a valid view; a flag says that it is not looked at.
    private static Tensor Either(Tensor optional, Tensor substitute) => optional.Exists ? optional : substitute;

    private static int Rounded(Tensor output, string name) => output.Type switch
    {
        ElementType.BFloat16 => 1,
        ElementType.Float32 => 0,
        _ => throw new ArgumentException($"{name}: {output} can be neither single precision nor bfloat16"),
    };

    private static void RequireType(Tensor tensor, string name, ElementType type)
    {
        if (tensor.Exists && tensor.Type != type) throw new ArgumentException($"{name}: expected {type} beside bfloat16 tensors, got {tensor}");
    }

    private static void WideForwardKernel(
        ArrayView<ushort> x, ArrayView<ushort> w, ArrayView<ushort> y, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> residual,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(128, 256, AAlong: true, BAlong: true, Aligned: true);
        Finish(Product(x, w, shape, form), y, bias, preActivation, residual, shape, parts, form, backward: false);
    }

    private static void LargeForwardKernel(
        ArrayView<ushort> x, ArrayView<ushort> w, ArrayView<ushort> y, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> residual,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(128, 128, AAlong: true, BAlong: true, Aligned: true);
        Finish(Product(x, w, shape, form), y, bias, preActivation, residual, shape, parts, form, backward: false);
    }

    private static void SmallForwardKernel(
        ArrayView<ushort> x, ArrayView<ushort> w, ArrayView<ushort> y, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> residual,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(64, 64, AAlong: true, BAlong: true, Aligned: true);
        Finish(Product(x, w, shape, form), y, bias, preActivation, residual, shape, parts, form, backward: false);
    }

    private static void AnyForwardKernel(
        ArrayView<ushort> x, ArrayView<ushort> w, ArrayView<ushort> y, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> residual,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(64, 64, AAlong: true, BAlong: true, Aligned: false);
        Finish(Product(x, w, shape, form), y, bias, preActivation, residual, shape, parts, form, backward: false);
    }

    private static void WideBackwardInputKernel(
        ArrayView<ushort> dy, ArrayView<ushort> w, ArrayView<ushort> dx, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> added,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(128, 256, AAlong: true, BAlong: false, Aligned: true);
        Finish(Product(dy, w, shape, form), dx, bias, preActivation, added, shape, parts, form, backward: true);
    }

    private static void LargeBackwardInputKernel(
        ArrayView<ushort> dy, ArrayView<ushort> w, ArrayView<ushort> dx, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> added,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(128, 128, AAlong: true, BAlong: false, Aligned: true);
        Finish(Product(dy, w, shape, form), dx, bias, preActivation, added, shape, parts, form, backward: true);
    }

    private static void SmallBackwardInputKernel(
        ArrayView<ushort> dy, ArrayView<ushort> w, ArrayView<ushort> dx, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> added,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(64, 64, AAlong: true, BAlong: false, Aligned: true);
        Finish(Product(dy, w, shape, form), dx, bias, preActivation, added, shape, parts, form, backward: true);
    }

    private static void AnyBackwardInputKernel(
        ArrayView<ushort> dy, ArrayView<ushort> w, ArrayView<ushort> dx, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> added,
        ProductShape shape, FinishParts parts)
    {
        ProductForm form = new(64, 64, AAlong: true, BAlong: false, Aligned: false);
        Finish(Product(dy, w, shape, form), dx, bias, preActivation, added, shape, parts, form, backward: true);
    }
}
