using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// A convolution and the batch normalisation behind it, the piece that all of a ResNet is made of: <c>z = conv(x)</c>, <c>y = relu(norm(z) + residual)</c>, where
/// residual and relu are optional.
/// </summary>
internal static class NormalizedConvolution
{
    /// <summary>Computes the piece. Writes <c>y</c> and everything in <paramref name="saved"/>.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">Output [N', O].</param>
    /// <param name="x">Input [N, I].</param>
    /// <param name="weights">The piece's weights; with statistics of the batch its running statistics are moved.</param>
    /// <param name="saved">Buffers of this piece.</param>
    /// <param name="work">Buffers shared by all.</param>
    /// <param name="residual">[N', O], or no tensor.</param>
    /// <param name="relu">Whether negative outputs become 0.</param>
    public static void Forward(
        Device device, Tensor y, Tensor x, ConvolutionParameters weights, ConvolutionActivations saved, ResNetWorkspace work, Tensor residual = default, bool relu = true)
    {
        Tensor z = saved.Convolved.Exists ? saved.Convolved : y;
        Convolve(device, z, x, weights, saved.Shape, work.Windows);
        if (work.Measures)
            BatchNorm.Measure(
                device, saved.Mean, saved.Rstd, weights.RunningMean, weights.RunningVariance, z, ResNetConfig.BatchNormEpsilon, ResNetConfig.BatchNormMomentum, work.NormScratch);
        else
            BatchNorm.Recall(device, saved.Mean, saved.Rstd, weights.RunningMean, weights.RunningVariance, ResNetConfig.BatchNormEpsilon);
        BatchNorm.Forward(device, y, z, saved.Mean, saved.Rstd, weights.Gamma, weights.Beta, residual, relu);
    }

    /// <summary>Computes <c>y = relu(norm(z))</c> once more from what <see cref="Forward"/> saved.</summary>
    public static void Repeat(Device device, Tensor y, ConvolutionParameters weights, ConvolutionActivations saved) =>
        BatchNorm.Forward(device, y, saved.Convolved, saved.Mean, saved.Rstd, weights.Gamma, weights.Beta, residual: default, relu: true);

    /// <summary>Writes the gradient of the input, where wanted, and accumulates those of the weights.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[N, I], written, or accumulated into with <paramref name="accumulate"/>; or no tensor.</param>
    /// <param name="dz">[N', O], overwritten; may be <paramref name="dy"/> where no gradient of the residual is wanted.</param>
    /// <param name="dresidual">[N', O], written, or no tensor; may be <paramref name="dy"/>.</param>
    /// <param name="dy">[N', O].</param>
    /// <param name="y">[N', O], the output, where relu was applied; else no tensor.</param>
    /// <param name="x">[N, I].</param>
    /// <param name="weights">The piece's weights.</param>
    /// <param name="gradients">Their gradients.</param>
    /// <param name="saved">Buffers of this piece.</param>
    /// <param name="work">Buffers shared by all.</param>
    /// <param name="accumulate">Whether to add to <paramref name="dx"/>; windows of one pixel only.</param>
    public static void Backward(
        Device device, Tensor dx, Tensor dz, Tensor dresidual, Tensor dy, Tensor y, Tensor x, ConvolutionParameters weights, ConvolutionParameters gradients,
        ConvolutionActivations saved, ResNetWorkspace work, bool accumulate = false)
    {
        BatchNorm.Backward(
            device, dz, dresidual, gradients.Gamma, gradients.Beta, dy, y, saved.Convolved, weights.Gamma, saved.Mean, saved.Rstd, work.Measures, work.NormScratch);
        if (saved.Layout.IsPointwise)
        {
            LinearLayer.BackwardWeight(device, gradients.Kernel, dz, x, default);
            if (dx.Exists) Gemm.BackwardInput(device, dx, dz, weights.Kernel.Weight, accumulate);
            return;
        }
        if (accumulate) throw new ArgumentException("gradients of windows cannot be added to others");
        foreach (Piece piece in Pieces(saved.Shape, work.Windows))
        {
            Tensor dzPiece = piece.OfOutput(dz);
            Convolution.Unfold(device, piece.Windows, piece.OfInput(x), piece.Shape);
            LinearLayer.BackwardWeight(device, gradients.Kernel, dzPiece, piece.Windows, default);
            if (!dx.Exists) continue;
            // The windows have been used; their gradient takes their place.
            Gemm.BackwardInput(device, piece.Windows, dzPiece, weights.Kernel.Weight);
            Convolution.Fold(device, piece.OfInput(dx), piece.Windows, piece.Shape);
        }
    }

    /// <summary>Numbers of windows that are laid out at a time: those of a few images, so that they stay in the caches, but never less than one image.</summary>
    public static int WindowsLength(ConvolutionLayout layout, int batch)
    {
        if (layout.IsPointwise) return 0;
        return checked(ImagesAtOnce(layout.Shape(batch), MostWindowNumbers) * layout.Shape(1).OutputRows * layout.Shape(1).WindowLength);
    }

    // 8 MiB: a last-level cache's share of a core or two.
    private const int MostWindowNumbers = 2 << 20;

    private static void Convolve(Device device, Tensor z, Tensor x, ConvolutionParameters weights, ConvolutionShape shape, Tensor windows)
    {
        if (shape is { Window: 1, Stride: 1 })
        {
            weights.Kernel.Forward(device, z, x);
            return;
        }
        foreach (Piece piece in Pieces(shape, windows))
        {
            Convolution.Unfold(device, piece.Windows, piece.OfInput(x), piece.Shape);
            weights.Kernel.Forward(device, piece.OfOutput(z), piece.Windows);
        }
    }

    private static int ImagesAtOnce(ConvolutionShape shape, long numbers)
    {
        ConvolutionShape one = shape with { Batch = 1 };
        return (int)Math.Clamp(numbers / ((long)one.OutputRows * one.WindowLength), 1, shape.Batch);
    }

    private static IEnumerable<Piece> Pieces(ConvolutionShape shape, Tensor windows)
    {
        int images = ImagesAtOnce(shape, windows.Count);
        for (int first = 0; first < shape.Batch; first += images)
        {
            ConvolutionShape part = shape with { Batch = Math.Min(images, shape.Batch - first) };
            yield return new Piece(first, part, windows.Prefix(part.OutputRows, part.WindowLength));
        }
    }

    /// <summary>Some images of a batch.</summary>
    private readonly record struct Piece(int First, ConvolutionShape Shape, Tensor Windows)
    {
        public Tensor OfInput(Tensor x) => x.SliceRows(First * Shape.Size * Shape.Size, Shape.InputRows);

        public Tensor OfOutput(Tensor y) => y.SliceRows(First * Shape.OutputSize * Shape.OutputSize, Shape.OutputRows);
    }
}

/// <summary>The tensors of one convolution and its normalisation inside a parameter set: weights, or their gradients.</summary>
internal sealed class ConvolutionParameters(ParameterSet set, ConvolutionLayout layout)
{
    /// <summary>The convolution as a matrix [O, k k I].</summary>
    public LinearLayer Kernel { get; } = new(set, $"{layout.Convolution}.weight", bias: null);

    public Tensor Gamma { get; } = set[$"{layout.Norm}.weight"];

    public Tensor Beta { get; } = set[$"{layout.Norm}.bias"];

    public Tensor RunningMean { get; } = set[$"{layout.Norm}.running_mean"];

    public Tensor RunningVariance { get; } = set[$"{layout.Norm}.running_var"];
}

/// <summary>What one convolution and its normalisation keep between forward and backward.</summary>
internal sealed record ConvolutionActivations
{
    private ConvolutionActivations(ConvolutionLayout layout, int batch)
    {
        Layout = layout;
        Shape = layout.Shape(batch);
    }

    public ConvolutionLayout Layout { get; }

    public ConvolutionShape Shape { get; private init; }

    /// <summary>z [N', O]; no tensor for inference, where it lies in the place of the output.</summary>
    public Tensor Convolved { get; init; }

    /// <summary>Means that z was normalised with [O].</summary>
    public Tensor Mean { get; init; }

    /// <summary>Reciprocal standard deviations that z was normalised with [O].</summary>
    public Tensor Rstd { get; init; }

    public static ConvolutionActivations Take(Arena arena, ConvolutionLayout layout, int batch, bool training) => new(layout, batch)
    {
        Mean = arena.Take($"{layout.Norm}.mean", layout.Outputs),
        Rstd = arena.Take($"{layout.Norm}.rstd", layout.Outputs),
        Convolved = training ? arena.Take(layout.Convolution, checked(batch * layout.OutputPixels), layout.Outputs) : default,
    };

    /// <summary>The same memory for a smaller batch.</summary>
    public ConvolutionActivations Shrink(int batch) => this with
    {
        Shape = Layout.Shape(batch),
        Convolved = Convolved.Exists ? Convolved.Prefix(batch * Layout.OutputPixels, Layout.Outputs) : default,
    };
}
