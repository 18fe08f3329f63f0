using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// A bottleneck block of CLIP's ResNets (He et al. 2016; Radford et al. 2021): with r the normalised convolutions,
/// <c>y = relu(norm(conv3(pool(r2(r1(x))))) + shortcut(x))</c>. A block that halves the image does it by average pooling, in the shortcut, too, and never by a stride,
/// which would alias (Zhang 2019).
/// </summary>
/// <remarks>
/// Backward keeps the inputs of the normalisations and of the block; what lies between them is computed again, at the cost of one pass over memory each.
/// </remarks>
internal static class Bottleneck
{
    /// <summary>Computes the block.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">Output [N', O]; not the input.</param>
    /// <param name="x">Input [N, I].</param>
    /// <param name="weights">The block's weights.</param>
    /// <param name="saved">Buffers of this block.</param>
    /// <param name="work">Buffers shared by all blocks.</param>
    public static void Forward(Device device, Tensor y, Tensor x, BottleneckParameters weights, BottleneckActivations saved, ResNetWorkspace work)
    {
        Sizes size = new(saved);
        Tensor reduced = size.Inner(work.Reduced), spatial = size.Inner(work.Spatial), residual = x;
        NormalizedConvolution.Forward(device, reduced, x, weights.Reduce, saved.Reduce, work);
        NormalizedConvolution.Forward(device, spatial, reduced, weights.Spatial, saved.Spatial, work);
        if (weights.Shortcut is { } shortcut)
        {
            residual = size.Output(work.Wide);
            NormalizedConvolution.Forward(device, residual, Pooled(device, size.PooledInput(work.PooledInput), x, size), shortcut, saved.Shortcut!, work, relu: false);
        }
        NormalizedConvolution.Forward(device, y, Pooled(device, size.PooledInner(work.Pooled), spatial, size), weights.Expand, saved.Expand, work, residual);
    }

    /// <summary>
    /// Turns the gradient of the output into that of the input and accumulates the gradients of the weights. Read it from bottom to top beside <see cref="Forward"/>.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dy">Gradient of the output [N', O]; overwritten.</param>
    /// <param name="free">Memory for a gradient of the input of another shape.</param>
    /// <param name="y">What <see cref="Forward"/> wrote.</param>
    /// <param name="x">Its input.</param>
    /// <param name="weights">The block's weights.</param>
    /// <param name="gradients">Their gradients.</param>
    /// <param name="saved">Buffers of this block.</param>
    /// <param name="work">Buffers shared by all blocks.</param>
    /// <returns>The gradient of the input [N, I], in the memory of <paramref name="dy"/> or of <paramref name="free"/>.</returns>
    public static Tensor Backward(
        Device device, Tensor dy, Tensor free, Tensor y, Tensor x, BottleneckParameters weights, BottleneckParameters gradients, BottleneckActivations saved,
        ResNetWorkspace work)
    {
        Sizes size = new(saved);
        Tensor reduced = size.Inner(work.Reduced), spatial = size.Inner(work.Spatial), dReduced = size.Inner(work.DReduced), dSpatial = size.Inner(work.DSpatial);
        NormalizedConvolution.Repeat(device, reduced, weights.Reduce, saved.Reduce);
        NormalizedConvolution.Repeat(device, spatial, weights.Spatial, saved.Spatial);
        Tensor pooled = Pooled(device, size.PooledInner(work.Pooled), spatial, size), dPooled = size.Stride == 1 ? dSpatial : size.PooledInner(work.DPooled);

        // From here on dy is the gradient of the sum, which is also that of the residual.
        NormalizedConvolution.Backward(device, dPooled, size.Output(work.Wide), dy, dy, y, pooled, weights.Expand, gradients.Expand, saved.Expand, work);
        if (size.Stride > 1) AveragePooling.Backward(device, dSpatial, dPooled, size.Input, size.Stride);
        NormalizedConvolution.Backward(
            device, dReduced, dSpatial, default, dSpatial, spatial, reduced, weights.Spatial, gradients.Spatial, saved.Spatial, work);
        if (weights.Shortcut is null)
        {
            NormalizedConvolution.Backward(
                device, dy, dReduced, default, dReduced, reduced, x, weights.Reduce, gradients.Reduce, saved.Reduce, work, accumulate: true);
            return dy;
        }
        Tensor dx = free.Prefix(x.Rows, x.Columns);
        NormalizedConvolution.Backward(device, dx, dReduced, default, dReduced, reduced, x, weights.Reduce, gradients.Reduce, saved.Reduce, work);
        BackwardShortcut(device, dx, dy, x, weights.Shortcut, gradients.Shortcut!, saved.Shortcut!, work, size);
        return dx;
    }

    private static void BackwardShortcut(
        Device device, Tensor dx, Tensor dy, Tensor x, ConvolutionParameters weights, ConvolutionParameters gradients, ConvolutionActivations saved,
        ResNetWorkspace work, Sizes size)
    {
        Tensor pooled = Pooled(device, size.PooledInput(work.PooledInput), x, size);
        if (size.Stride == 1)
        {
            NormalizedConvolution.Backward(device, dx, dy, default, dy, default, pooled, weights, gradients, saved, work, accumulate: true);
            return;
        }
        Tensor dPooled = size.PooledInput(work.DPooledInput);
        NormalizedConvolution.Backward(device, dPooled, dy, default, dy, default, pooled, weights, gradients, saved, work);
        AveragePooling.Backward(device, dx, dPooled, size.Input, size.Stride, accumulate: true);
    }

    /// <summary>The pooled image, or the image itself where nothing is pooled.</summary>
    private static Tensor Pooled(Device device, Tensor pooled, Tensor x, Sizes size)
    {
        if (size.Stride == 1) return x;
        AveragePooling.Forward(device, pooled, x, size.Input, size.Stride);
        return pooled;
    }

    /// <summary>Shapes of a block's buffers.</summary>
    private readonly struct Sizes(BottleneckActivations saved)
    {
        private readonly ConvolutionShape spatial = saved.Spatial.Shape;
        private readonly ConvolutionLayout reduce = saved.Reduce.Layout, expand = saved.Expand.Layout;

        public int Stride { get; } = saved.Layout.Stride;

        /// <summary>Rows and columns of the input.</summary>
        public int Input => spatial.Size;

        private int OutputRows => spatial.Batch * expand.OutputPixels;

        public Tensor Inner(Tensor buffer) => buffer.Prefix(spatial.InputRows, reduce.Outputs);

        public Tensor PooledInner(Tensor buffer) => Stride == 1 ? default : buffer.Prefix(OutputRows, reduce.Outputs);

        public Tensor PooledInput(Tensor buffer) => Stride == 1 ? default : buffer.Prefix(OutputRows, reduce.Inputs);

        public Tensor Output(Tensor buffer) => buffer.Prefix(OutputRows, expand.Outputs);
    }
}

/// <summary>The tensors of one block inside a parameter set: weights, or their gradients.</summary>
internal sealed class BottleneckParameters(ParameterSet set, BottleneckLayout layout)
{
    public ConvolutionParameters Reduce { get; } = new(set, layout.Reduce);

    public ConvolutionParameters Spatial { get; } = new(set, layout.Spatial);

    public ConvolutionParameters Expand { get; } = new(set, layout.Expand);

    public ConvolutionParameters? Shortcut { get; } = layout.Shortcut is null ? null : new(set, layout.Shortcut);

    public IEnumerable<LinearLayer> Layers =>
        Shortcut is null ? [Reduce.Kernel, Spatial.Kernel, Expand.Kernel] : [Reduce.Kernel, Spatial.Kernel, Expand.Kernel, Shortcut.Kernel];
}

/// <summary>What one block keeps between forward and backward, besides its input and output.</summary>
internal sealed record BottleneckActivations(
    BottleneckLayout Layout, ConvolutionActivations Reduce, ConvolutionActivations Spatial, ConvolutionActivations Expand, ConvolutionActivations? Shortcut)
{
    public static BottleneckActivations Take(Arena arena, BottleneckLayout layout, int batch, bool training) => new(
        layout, ConvolutionActivations.Take(arena, layout.Reduce, batch, training), ConvolutionActivations.Take(arena, layout.Spatial, batch, training),
        ConvolutionActivations.Take(arena, layout.Expand, batch, training),
        layout.Shortcut is null ? null : ConvolutionActivations.Take(arena, layout.Shortcut, batch, training));

    /// <summary>The same memory for a smaller batch.</summary>
    public BottleneckActivations Shrink(int batch) => new(Layout, Reduce.Shrink(batch), Spatial.Shrink(batch), Expand.Shrink(batch), Shortcut?.Shrink(batch));
}
