namespace Patching.Kernels;

/// <content>
/// The host implementation. What makes a processor fast at this is reuse: every element is loaded into registers once per tile
/// (<see cref="GemmTile"/>), into the nearest caches once per block (<see cref="GemmPlan"/>), in straight lines thanks to packing
/// (<see cref="GemmPanels"/>), and results are finished while they are still near (<see cref="GemmOutput"/>). <see cref="GemmJob"/> puts
/// the pieces together. The three forms differ only in how their operands lie in memory.
/// </content>
public static partial class Gemm
{
    // Up to this many rows a forward product reads the weights where they are: packing would touch them three times as often as the product
    // itself.
    private const int DirectRows = 24;

    internal static unsafe void ForwardHost(HostThreads threads, GemmTile tile, Tensor y, Tensor x, Tensor w, in GemmEpilogue epilogue)
    {
        GemmOutput output = Output(y, epilogue);
        if (x.Rows <= DirectRows)
        {
            ForwardDirect(threads, tile, output, x, w);
            return;
        }
        GemmPlan plan = new(x.Rows, w.Rows, w.Columns, tile, threads.Count);
        new GemmJob(threads, tile, plan, AlongRows(x), AlongRows(w), output).Run();
    }

    internal static unsafe void ForwardHost(
        HostThreads threads, GemmTile tile, Tensor y, Tensor x, PackedWeight w, in GemmEpilogue epilogue)
    {
        GemmPlan plan = new(x.Rows, w.Outputs, w.Inputs, tile, threads.Count, columnsPacked: true);
        new GemmJob(threads, tile, plan, AlongRows(x), default, Output(y, epilogue)).Run(w.Memory.HostFloats);
    }

    internal static unsafe void PackHost(HostThreads threads, GemmTile tile, PackedWeight packed, Tensor w)
    {
        GemmPlan plan = new(1, w.Rows, w.Columns, tile, threads.Count, columnsPacked: true);
        new GemmJob(threads, tile, plan, default, AlongRows(w), default).Pack(packed.Memory.HostFloats);
    }

    internal static unsafe void BackwardInputHost(
        HostThreads threads, GemmTile tile, Tensor dx, Tensor dy, Tensor w, bool accumulate, Tensor preActivation, ActivationKind kind)
    {
        GemmOutput output = new()
        {
            Y = dx.HostFloats,
            Stride = dx.Columns,
            Accumulate = accumulate,
            DerivativeOf = preActivation.Exists ? preActivation.HostFloats : null,
            Derivative = kind,
        };
        GemmPlan plan = new(dy.Rows, w.Columns, w.Rows, tile, threads.Count);
        new GemmJob(threads, tile, plan, AlongRows(dy), AcrossRows(w), output).Run();
    }

    internal static unsafe void BackwardWeightHost(HostThreads threads, GemmTile tile, Tensor dw, Tensor dbias, Tensor dy, Tensor x)
    {
        GemmOutput output = new() { Y = dw.HostFloats, Stride = dw.Columns, Accumulate = true };
        GemmPlan plan = new(dw.Rows, dw.Columns, x.Rows, tile, threads.Count);
        GemmJob job = new(threads, tile, plan, AcrossRows(dy), AcrossRows(x), output) { RowSums = dbias.Exists ? dbias.HostFloats : null };
        job.Run();
    }

    private static unsafe void ForwardDirect(HostThreads threads, GemmTile tile, GemmOutput output, Tensor x, Tensor w)
    {
        float* px = x.HostFloats, pw = w.HostFloats;
        int rows = x.Rows, outputs = w.Rows, inputs = w.Columns;
        threads.For(outputs, (first, end) =>
        {
            float* buffer = stackalloc float[DirectRows * GemmTile.WidestColumns];
            for (long column = first; column < end; column += tile.Columns)
            {
                int columns = (int)Math.Min(tile.Columns, end - column);
                tile.Dot(rows, columns, inputs, px, pw + column * inputs, buffer);
                output.Write(buffer, tile.Columns, 0, rows, column, columns, output.Accumulate, last: true);
            }
        }, tile.Columns);
    }

    private static unsafe GemmOutput Output(Tensor y, in GemmEpilogue epilogue)
    {
        // A residual that is the output itself is an accumulation; sums over parts of k may then be added to it one after the other.
        bool inPlace = epilogue.Residual.Exists && epilogue.Residual.HostFloats == y.HostFloats;
        return new GemmOutput
        {
            Y = y.HostFloats,
            Stride = y.Columns,
            Accumulate = inPlace,
            Bias = epilogue.Bias.Exists ? epilogue.Bias.HostFloats : null,
            PreActivation = epilogue.PreActivation.Exists ? epilogue.PreActivation.HostFloats : null,
            Activation = epilogue.Activation,
            Residual = epilogue.Residual.Exists && !inPlace ? epilogue.Residual.HostFloats : null,
        };
    }

    /// <summary>The common index runs along the rows of the matrix.</summary>
    private static unsafe GemmPanels AlongRows(Tensor matrix) => new(matrix.HostFloats, matrix.Rows, matrix.Columns, lanesAdjacent: false);

    /// <summary>The common index runs from row to row.</summary>
    private static unsafe GemmPanels AcrossRows(Tensor matrix) =>
        new(matrix.HostFloats, matrix.Columns, matrix.Columns, lanesAdjacent: true);
}
