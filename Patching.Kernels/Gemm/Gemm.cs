namespace Patching.Kernels;

/// <summary>
/// The matrix products of a linear layer <c>y = x wT + bias</c> and of its gradients. N rows, I inputs, O outputs, all matrices dense and
/// row-major:
/// <code>
/// Forward         y[N,O]   = act(x[N,I] w[O,I]T + bias) + residual      both operands run along I ("NT")
/// BackwardInput   dx[N,I]  = dy[N,O] w[O,I]                             ("NN")
/// BackwardWeight  dw[O,I] += dy[N,O]T x[N,I],  dbias += column sums     both operands run across the sum ("TN")
/// </code>
/// Nine tenths of a transformer's arithmetic happens here. <c>Gemm.Portable.cs</c> says what is computed, <c>Gemm.Host.cs</c> how a
/// processor does it fast, <c>Gemm.Cuda.cs</c> how tensor cores do: for matrices of bfloat16 numbers, on CUDA only. Sums are formed in a
/// fixed order that depends on the shapes only: results are the same bits for any number of threads.
/// </summary>
public static partial class Gemm
{
    /// <summary>Writes <c>y = act(x wT + bias) + residual</c>; the parts that <paramref name="epilogue"/> leaves out are skipped.</summary>
    /// <param name="device">Where the tensors live.</param>
    /// <param name="y">[N, O], written. Must not overlap the inputs, except that it may be the residual when there is neither an activation
    /// nor a pre-activation.</param>
    /// <param name="x">[N, I].</param>
    /// <param name="w">[O, I].</param>
    /// <param name="epilogue">What happens to the sums.</param>
    public static void Forward(Device device, Tensor y, Tensor x, Tensor w, in GemmEpilogue epilogue = default)
    {
        CheckForward(y, x, w.Rows, w.Columns, epilogue);
        Require.Matrix(w, "w", w.Rows, w.Columns);
        if (UsesTensorCores(device, x, w, y))
            ForwardCuda(device, y, x, w, epilogue);
        else if (device.IsHost)
            ForwardHost(device.Threads, GemmTile.Best, y, x, w, epilogue);
        else if (UsesFloatTiles(device, y))
            ForwardFloat(device, y, x, w, epilogue);
        else
            ForwardPortable(device, y, x, w, epilogue);
    }

    /// <summary>The same with a weight matrix that <see cref="Pack"/> prepared.</summary>
    /// <inheritdoc cref="Forward(Device, Tensor, Tensor, Tensor, in GemmEpilogue)"/>
    public static void Forward(Device device, Tensor y, Tensor x, PackedWeight w, in GemmEpilogue epilogue = default)
    {
        CheckForward(y, x, w.Outputs, w.Inputs, epilogue);
        if (device.IsHost)
            ForwardHost(device.Threads, GemmTile.Best, y, x, w, epilogue);
        else
            Forward(device, y, x, w.Memory.Prefix(w.Outputs, w.Inputs), epilogue);
    }

    /// <summary>
    /// Writes <c>dx = dy w</c>, or accumulates <c>dx += dy w</c>, or with a saved pre-activation writes <c>dx = (dy w)
    /// act'(preActivation)</c>: the gradient on the near side of the activation that produced this layer's input.
    /// </summary>
    /// <param name="device">Where the tensors live.</param>
    /// <param name="dx">[N, I], written or accumulated into. Must not overlap the inputs.</param>
    /// <param name="dy">[N, O].</param>
    /// <param name="w">[O, I].</param>
    /// <param name="accumulate">Whether to add to <paramref name="dx"/>; not together with <paramref name="preActivation"/>.</param>
    /// <param name="preActivation">[N, I] as saved by the forward pass, or none.</param>
    /// <param name="kind">The activation that was applied to <paramref name="preActivation"/>.</param>
    public static void BackwardInput(
        Device device,
        Tensor dx,
        Tensor dy,
        Tensor w,
        bool accumulate = false,
        Tensor preActivation = default,
        ActivationKind kind = ActivationKind.QuickGelu)
    {
        Require.Matrix(w, "w", w.Rows, w.Columns);
        Require.Matrix(dy, "dy", dy.Rows, w.Rows);
        Require.Matrix(dx, "dx", dy.Rows, w.Columns);
        if (preActivation.Exists) Require.Matrix(preActivation, "preActivation", dy.Rows, w.Columns);
        if (accumulate && preActivation.Exists)
            throw new ArgumentException("dx cannot be accumulated into and multiplied by the activation's derivative");
        if (UsesTensorCores(device, dy, w, dx))
            BackwardInputCuda(device, dx, dy, w, accumulate, preActivation, kind);
        else if (device.IsHost)
            BackwardInputHost(device.Threads, GemmTile.Best, dx, dy, w, accumulate, preActivation, kind);
        else if (UsesFloatTiles(device, dx))
            BackwardInputFloat(device, dx, dy, w, accumulate, preActivation, kind);
        else
            BackwardInputPortable(device, dx, dy, w, accumulate, preActivation, kind);
    }

    /// <summary>Accumulates <c>dw += dyT x</c> and, where wanted, <c>dbias += column sums of dy</c>.</summary>
    /// <param name="device">Where the tensors live.</param>
    /// <param name="dw">[O, I], accumulated into.</param>
    /// <param name="dbias">[O], accumulated into, or none.</param>
    /// <param name="dy">[N, O].</param>
    /// <param name="x">[N, I].</param>
    /// <param name="workspace">At least <see cref="WorkspaceLength"/> single-precision numbers, overwritten, or none: speeds up bfloat16 tensors.</param>
    public static void BackwardWeight(Device device, Tensor dw, Tensor dbias, Tensor dy, Tensor x, Tensor workspace = default)
    {
        Require.Matrix(dy, "dy", x.Rows, dy.Columns);
        Require.Matrix(x, "x", dy.Rows, x.Columns);
        Require.Matrix(dw, "dw", dy.Columns, x.Columns);
        if (dbias.Exists) Require.Count(dbias, "dbias", dy.Columns);
        if (UsesTensorCores(device, dy, x, dw))
            BackwardWeightCuda(device, dw, dbias, dy, x, workspace);
        else if (device.IsHost)
            BackwardWeightHost(device.Threads, GemmTile.Best, dw, dbias, dy, x);
        else if (UsesFloatTiles(device, dw))
            BackwardWeightFloat(device, dw, dbias, dy, x);
        else
            BackwardWeightPortable(device, dw, dbias, dy, x);
    }

    /// <summary>
    /// Bytes of a packed [<paramref name="outputs"/>, <paramref name="inputs"/>] matrix: outputs are padded to whole panels of any vector
    /// width.
    /// </summary>
    public static long PackedBytes(int outputs, int inputs) =>
        ((long)outputs + GemmTile.WidestColumns - 1) / GemmTile.WidestColumns * GemmTile.WidestColumns * inputs * sizeof(float);

    /// <summary>Writes <paramref name="packed"/> from <paramref name="w"/> [O, I]; again after every change of the weights.</summary>
    public static void Pack(Device device, PackedWeight packed, Tensor w)
    {
        Require.Matrix(w, "w", packed.Outputs, packed.Inputs);
        Require.Count(packed.Memory, "packed", PackedBytes(packed.Outputs, packed.Inputs) / sizeof(float));
        if (device.IsHost)
            PackHost(device.Threads, GemmTile.Best, packed, w);
        else
            packed.Memory.Prefix(packed.Outputs, packed.Inputs).CopyFrom(w);
    }

    /// <summary>Whether the matrices are bfloat16, which only a CUDA device multiplies; every launcher says which tensors stay in single precision.</summary>
    private static bool UsesTensorCores(Device device, Tensor a, Tensor b, Tensor result)
    {
        if (a.Type != ElementType.BFloat16 && b.Type != ElementType.BFloat16 && result.Type != ElementType.BFloat16) return false;
        return device.Kind == DeviceKind.Cuda ? true : throw new ArgumentException($"bfloat16 matrices need a CUDA device, not {device.Name}");
    }

    private static unsafe void CheckForward(Tensor y, Tensor x, int outputs, int inputs, in GemmEpilogue epilogue)
    {
        Require.Matrix(x, "x", x.Rows, inputs);
        Require.Matrix(y, "y", x.Rows, outputs);
        if (epilogue.Bias.Exists) Require.Count(epilogue.Bias, "bias", outputs);
        if (epilogue.PreActivation.Exists) Require.Matrix(epilogue.PreActivation, "preActivation", x.Rows, outputs);
        if (!epilogue.Residual.Exists) return;
        Require.Matrix(epilogue.Residual, "residual", x.Rows, outputs);
        bool inPlace = y.Type == ElementType.Float32 && epilogue.Residual.HostFloats == y.HostFloats;
        if (inPlace && (epilogue.Activation is not null || epilogue.PreActivation.Exists))
            throw new ArgumentException("the residual can be y itself only when there is neither an activation nor a pre-activation");
    }
}
