using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// What a classifier says about each row of logits <c>z</c> over K classes, whose right class is l: the predicted class, the rank of the right one, and how sure the
/// prediction is, <c>softmax(z)[class]</c>. Class k beats class j if its logit is larger, or equal and k comes first; a number beats NaN. The predicted class is the one
/// that none beats (a row of nothing but NaN gives 0), the rank of l is the number of classes that beat it: 0 where the prediction is right, below n where l is among the
/// first n.
/// </summary>
public static partial class Prediction
{
    /// <summary>Writes class, rank and confidence of each row.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="classes">Integers, [B], written: the predicted classes.</param>
    /// <param name="ranks">Integers, [B], written: ranks of the right classes, 0 to K - 1; K where the label is outside [0, K).</param>
    /// <param name="confidences">
    /// [B], written: softmax at the predicted class, <c>1 / sum exp(z - max z)</c>, so logits of any size give a number above 0 and at most 1. NaN where a row has NaN or
    /// plus infinity, or nothing but minus infinity: softmax is not defined there.
    /// </param>
    /// <param name="logits">[B, K].</param>
    /// <param name="labels">Integers, [B]: the right classes.</param>
    public static void Forward(Device device, Tensor classes, Tensor ranks, Tensor confidences, Tensor logits, Tensor labels)
    {
        Require.Count(classes, "classes", logits.Rows);
        Require.Count(ranks, "ranks", logits.Rows);
        Require.Count(confidences, "confidences", logits.Rows);
        Require.Count(labels, "labels", logits.Rows);
        if (device.IsHost)
            ForwardHost(device.Threads, classes, ranks, confidences, logits, labels);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<int>, ArrayView<int>, ArrayView<float>, ArrayView<float>, ArrayView<int>, int>(ForwardKernel))(
                Require.Extent(logits.Rows), classes.Ints, ranks.Ints, confidences.Floats, logits.Floats, labels.Ints, logits.Columns);
    }
}
