using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Softmax cross-entropy with label smoothing s over K classes (Szegedy et al. 2016), one loss per row. With <c>p = softmax(z)</c> and
/// label l: <c>loss = -(1 - s) log p[l] - s mean(log p)</c>, <c>dz = scale (p - (1 - s) [k = l] - s / K)</c>. Everything is computed
/// relative to the row's largest logit, so logits of any size give finite results.
/// </summary>
public static partial class CrossEntropy
{
    /// <summary>
    /// Writes the losses and, where given, the gradient of the logits, which may be the logits themselves. A label outside [0, K) gives NaN
    /// in the loss and in the gradient's row and never reads outside the row.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="loss">[B], written; not averaged.</param>
    /// <param name="dlogits">[B, K], written, or no tensor.</param>
    /// <param name="logits">[B, K].</param>
    /// <param name="labels">Integers, [B].</param>
    /// <param name="smoothing">s in [0, 1]: the share of the target spread evenly over all classes.</param>
    /// <param name="gradientScale">Multiplies the gradient: 1 / B for the gradient of the mean loss.</param>
    public static void Forward(
        Device device, Tensor loss, Tensor dlogits, Tensor logits, Tensor labels, float smoothing, float gradientScale)
    {
        if (!(smoothing is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(smoothing), smoothing, "label smoothing must be between 0 and 1");
        Require.Count(loss, "loss", logits.Rows);
        Require.Count(labels, "labels", logits.Rows);
        if (dlogits.Exists) Require.Matrix(dlogits, "dlogits", logits.Rows, logits.Columns);
        if (device.IsHost)
            ForwardHost(device.Threads, loss, dlogits, logits, labels, smoothing, gradientScale);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<int>, int, int, float, float>(ForwardKernel))(
                Require.Extent(logits.Rows), loss.Floats, dlogits.Exists ? dlogits.Floats : logits.Floats, logits.Floats, labels.Ints,
                logits.Columns, dlogits.Exists ? 1 : 0, smoothing, gradientScale);
    }
}
