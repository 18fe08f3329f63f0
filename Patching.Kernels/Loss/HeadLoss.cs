namespace Patching.Kernels;

/// <summary>
/// The classification head and its loss in one call: unit features <c>u = f / |f|</c>, logits <c>z = W u</c> with the frozen head W, softmax cross-entropy with label
/// smoothing of every image (<see cref="CrossEntropy"/>), and the gradient of the mean loss with respect to the features, <c>df = (W^T dz - u (u . W^T dz)) / |f|</c>.
/// CUDA has one kernel for all of it; elsewhere it is <see cref="L2Normalize"/>, <see cref="Gemm"/> and <see cref="CrossEntropy"/> one after the other.
/// </summary>
public static partial class HeadLoss
{
    // Pieces of the scratch tensor start at multiples of 256 bytes.
    private const int PieceStep = 64;

    /// <summary>Elements of the scratch tensor of <see cref="Forward"/>, single precision, for batches of up to <paramref name="batch"/> images.</summary>
    public static int ScratchLength(int batch, int classes, int width) =>
        checked((int)(Piece((long)batch * width) + Piece(batch) + Piece((long)batch * classes)));

    /// <summary>Writes the loss of every image and the gradient of their mean. A label outside [0, K) makes its image's loss and gradient NaN.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="losses">[B], written; not averaged.</param>
    /// <param name="dFeatures">[B, E], single precision or, on CUDA, bfloat16; written.</param>
    /// <param name="features">[B, E], not changed.</param>
    /// <param name="head">[K, E]; on CUDA single precision or bfloat16.</param>
    /// <param name="labels">Integers, [B].</param>
    /// <param name="smoothing">Label smoothing in [0, 1]: the share of the target spread evenly over all classes.</param>
    /// <param name="scratch">At least <see cref="ScratchLength"/> elements, overwritten.</param>
    /// <param name="meanOver">Images that the mean is over, where these are only a part of a batch; 0 is B.</param>
    public static void Forward(
        Device device, Tensor losses, Tensor dFeatures, Tensor features, Tensor head, Tensor labels, float smoothing, Tensor scratch, int meanOver = 0)
    {
        float scale = 1f / (meanOver == 0 ? features.Rows : meanOver);
        if (!(smoothing is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(smoothing), smoothing, "label smoothing must be between 0 and 1");
        int batch = features.Rows, width = features.Columns, classes = head.Rows;
        Require.Count(losses, "losses", batch);
        Require.Matrix(dFeatures, "dFeatures", batch, width);
        Require.Matrix(head, "head", classes, width);
        Require.Count(labels, "labels", batch);
        if (scratch.Count < ScratchLength(batch, classes, width))
            throw new ArgumentException($"scratch: expected at least {ScratchLength(batch, classes, width)} elements, got {scratch}");
        bool isRounded = ElementType.BFloat16 == dFeatures.Type || ElementType.BFloat16 == head.Type || ElementType.BFloat16 == features.Type;
        if (isRounded) Require.Cuda(device, "HeadLoss");
        if (device.Kind == DeviceKind.Cuda && (isRounded || width <= WidestFusedRow))
            ForwardCuda(device, losses, dFeatures, features, head, labels, smoothing, scratch, scale);
        else
            ForwardByParts(device, losses, dFeatures, features, head, labels, smoothing, scratch, scale);
    }

    private static void ForwardByParts(
        Device device, Tensor losses, Tensor dFeatures, Tensor features, Tensor head, Tensor labels, float smoothing, Tensor scratch, float scale)
    {
        int batch = features.Rows, width = features.Columns, classes = head.Rows;
        Tensor unit = Cut(scratch, 0, batch, width);
        Tensor inverseNorm = Cut(scratch, Piece((long)batch * width), batch, 1);
        Tensor logits = Cut(scratch, Piece((long)batch * width) + Piece(batch), batch, classes);
        L2Normalize.Forward(device, unit, inverseNorm, features);
        Gemm.Forward(device, logits, unit, head);
        // The gradients of the logits and of the unit features take the place of what they are gradients of.
        CrossEntropy.Forward(device, losses, logits, logits, labels, smoothing, scale);
        Gemm.BackwardInput(device, dFeatures, logits, head);
        L2Normalize.Backward(device, dFeatures, dFeatures, unit, inverseNorm);
    }

    private static Tensor Cut(Tensor scratch, long first, int rows, int columns) =>
        scratch.Reshape(checked((int)scratch.Count), 1).SliceRows(checked((int)first), checked(rows * columns)).Reshape(rows, columns);

    private static long Piece(long count) => (count + PieceStep - 1) / PieceStep * PieceStep;
}
