using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The kernels for the tensor cores of sm_90a and their launches; what they compute is in <c>Gemm.WgmmaProduct.cs</c>. They take what the aligned kernels of
/// <c>Gemm.Cuda.cs</c> take. A launch has at most one group per multiprocessor.
/// </content>
public static partial class Gemm
{
    private static CudaKernel WithWgmma(Delegate kernel, TileSize tile) => new(kernel, WgmmaThreads, tile.WgmmaForm.SharedBytes, needsHopper: true);

    private static KernelConfig WgmmaConfiguration(Device device, TiledShape shape, WgmmaForm form) => new(
        Math.Min(shape.Tiles, device.ResidentGroups), WgmmaThreads, SharedMemoryConfig.RequestDynamic<byte>(form.SharedBytes));

    // The rectangles of CopyOperand.
    private static TensorMap Map(Device device, Tensor matrix, bool along, int lines) =>
        TensorMap.Create(device, matrix, along ? lines : WgmmaForm.Depth);

    private static void LaunchWgmma(
        Device device, CudaKernel kernel, WgmmaForm form, ProductSize size,
        Tensor a, Tensor b, Tensor output, Tensor bias, Tensor saved, Tensor added, FinishParts parts)
    {
        TiledShape shape = TiledShape.Create(new(size.M, size.N, size.K, ProductSize.CountOf(size.K, WgmmaForm.Depth)), form);
        var launch = device.Load<Action<AcceleratorStream, KernelConfig, TensorMap, TensorMap, ArrayView<ushort>, ArrayView<float>,
            ArrayView<ushort>, ArrayView<ushort>, TiledShape, FinishParts>>(kernel);
        launch(
            device.Stream, WgmmaConfiguration(device, shape, form), Map(device, a, form.AAlong, form.Rows), Map(device, b, form.BAlong, form.Columns),
            output.Pieces<ushort>(), Either(bias, output).Pieces<float>(), Either(saved, output).Pieces<ushort>(), Either(added, output).Pieces<ushort>(),
            shape, parts);
    }

    private static void LaunchWgmmaWeight(
        Device device, CudaKernel kernel, WgmmaForm form, ProductShape product, Tensor dy, Tensor x, Tensor weights, Tensor biases, int hasBias, int isDivided)
    {
        TiledShape shape = TiledShape.Create(product, form);
        var launch = device.Load<Action<AcceleratorStream, KernelConfig, TensorMap, TensorMap, ArrayView<ushort>, ArrayView<float>,
            TiledShape, int, int>>(kernel);
        launch(
            device.Stream, WgmmaConfiguration(device, shape, form), Map(device, dy, form.AAlong, form.Rows), Map(device, x, form.BAlong, form.Columns),
            weights.Pieces<ushort>(), biases.Floats, shape, hasBias, isDivided);
    }

    private static void WgmmaWideForwardKernel(
        TensorMap x, TensorMap w, ArrayView<ushort> y, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> residual,
        TiledShape shape, FinishParts parts) => WgmmaTiles(
            BulkTensorCopy.Address(x), BulkTensorCopy.Address(w), shape,
            new TileTarget { Output = y, Bias = bias, Saved = preActivation, Added = residual, Parts = parts },
            new(128, 256, IsAlternating: false, TransposeA: 0, TransposeB: 0));

    private static void WgmmaAlternatingForwardKernel(
        TensorMap x, TensorMap w, ArrayView<ushort> y, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> residual,
        TiledShape shape, FinishParts parts) => WgmmaTiles(
            BulkTensorCopy.Address(x), BulkTensorCopy.Address(w), shape,
            new TileTarget { Output = y, Bias = bias, Saved = preActivation, Added = residual, Parts = parts },
            new(128, 128, IsAlternating: true, TransposeA: 0, TransposeB: 0));

    private static void WgmmaWideBackwardInputKernel(
        TensorMap dy, TensorMap w, ArrayView<ushort> dx, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> added,
        TiledShape shape, FinishParts parts) => WgmmaTiles(
            BulkTensorCopy.Address(dy), BulkTensorCopy.Address(w), shape,
            new TileTarget { Output = dx, Bias = bias, Saved = preActivation, Added = added, Parts = parts, IsBackward = true },
            new(128, 256, IsAlternating: false, TransposeA: 0, TransposeB: 1));

    private static void WgmmaAlternatingBackwardInputKernel(
        TensorMap dy, TensorMap w, ArrayView<ushort> dx, ArrayView<float> bias, ArrayView<ushort> preActivation, ArrayView<ushort> added,
        TiledShape shape, FinishParts parts) => WgmmaTiles(
            BulkTensorCopy.Address(dy), BulkTensorCopy.Address(w), shape,
            new TileTarget { Output = dx, Bias = bias, Saved = preActivation, Added = added, Parts = parts, IsBackward = true },
            new(128, 128, IsAlternating: true, TransposeA: 0, TransposeB: 1));

    private static void WgmmaWideBackwardWeightKernel(
        TensorMap dy, TensorMap x, ArrayView<ushort> dw, ArrayView<float> dbias, TiledShape shape, int hasBias, int isDivided) => WgmmaTiles(
            BulkTensorCopy.Address(dy), BulkTensorCopy.Address(x), shape, WeightTarget(dw, dbias, hasBias, isDivided),
            new(128, 256, IsAlternating: false, TransposeA: 1, TransposeB: 1));

    private static void WgmmaAlternatingBackwardWeightKernel(
        TensorMap dy, TensorMap x, ArrayView<ushort> dw, ArrayView<float> dbias, TiledShape shape, int hasBias, int isDivided) => WgmmaTiles(
            BulkTensorCopy.Address(dy), BulkTensorCopy.Address(x), shape, WeightTarget(dw, dbias, hasBias, isDivided),
            new(128, 128, IsAlternating: true, TransposeA: 1, TransposeB: 1));

    private static TileTarget WeightTarget(ArrayView<ushort> dw, ArrayView<float> dbias, int hasBias, int isDivided) => new()
    {
        Output = dw,
        Bias = dbias,
        Saved = dw,
        Added = dw,
        Parts = new(NoActivation, HasBias: 0, HasSaved: 0, isDivided != 0 ? NothingAdded : FloatsAdded, Rounded: 0),
        IsBackward = true,
        HasSums = hasBias != 0,
    };
}
