using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Batch normalisation of each column of a matrix (Ioffe and Szegedy 2015), together with what follows it in a residual network. With N rows (images and pixels) of C
/// channels: <c>h = (x - m) r</c>, <c>y = relu(h gamma + beta + residual)</c>, where residual and relu are optional. The statistics m and r = 1 / sqrt(variance +
/// epsilon) are either those of the batch (<see cref="Measure"/>) or frozen, the running ones of the checkpoint (<see cref="Recall"/>).
/// Backward, with <c>g = dy</c> where <c>y &gt; 0</c> and 0 elsewhere: <c>dgamma = sum of g h</c>, <c>dbeta = sum of g</c>, <c>dresidual = g</c>, and
/// <c>dx = gamma r g</c> under frozen statistics, <c>dx = gamma r (g - mean(g) - h mean(g h))</c> under those of the batch, which depend on x, too.
/// </summary>
/// <remarks>
/// Sums over a column are divided into parts, a number that depends on the shape only, which are added up in order: the same bits for any number of threads.
/// </remarks>
public static partial class BatchNorm
{
    private const int RowsPerPart = 256;
    private const int MostParts = 512;

    /// <summary>Numbers of scratch that sums over columns take; no fewer for more rows.</summary>
    public static int ScratchLength(int rows, int columns) => checked(2 * (Parts(rows) + 1) * columns);

    /// <summary>Writes the statistics of a batch and moves the running ones towards them.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="mean">[C], written.</param>
    /// <param name="rstd">[C], reciprocal standard deviations over all rows, written.</param>
    /// <param name="runningMean">[C], becomes <c>(1 - momentum) old + momentum mean</c>.</param>
    /// <param name="runningVariance">[C], the same with the unbiased variance, squares divided by N - 1 (by 1 for a single row).</param>
    /// <param name="x">[N, C].</param>
    /// <param name="epsilon">Added to the variance, inside the root.</param>
    /// <param name="momentum">Weight of the batch.</param>
    /// <param name="scratch">At least <see cref="ScratchLength"/>, overwritten.</param>
    public static void Measure(
        Device device, Tensor mean, Tensor rstd, Tensor runningMean, Tensor runningVariance, Tensor x, float epsilon, float momentum, Tensor scratch)
    {
        RequireColumns(x.Columns, mean, rstd, runningMean, runningVariance);
        RequireScratch(scratch, x);
        if (device.IsHost)
        {
            MeasureHost(device.Threads, mean, rstd, runningMean, runningVariance, x, epsilon, momentum, scratch);
            return;
        }
        int parts = Parts(x.Rows), columns = x.Columns;
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, int, int, int>(SumsKernel))(
            Require.Extent((long)parts * columns), scratch.Floats, x.Floats, x.Rows, columns, parts);
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, int, int, int>(MeanKernel))(
            Require.Extent(columns), mean.Floats, scratch.Floats, x.Rows, columns, parts);
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int>(DeviationsKernel))(
            Require.Extent((long)parts * columns), scratch.Floats, x.Floats, mean.Floats, x.Rows, columns, parts);
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int, float, float>(StatisticsKernel))(
            Require.Extent(columns), mean.Floats, rstd.Floats, runningMean.Floats, runningVariance.Floats, scratch.Floats, x.Rows, columns, parts, epsilon, momentum);
    }

    /// <summary>Writes the statistics that a checkpoint holds.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="mean">[C], written.</param>
    /// <param name="rstd">[C], reciprocal standard deviations, written.</param>
    /// <param name="runningMean">[C].</param>
    /// <param name="runningVariance">[C].</param>
    /// <param name="epsilon">Added to the variance, inside the root.</param>
    public static void Recall(Device device, Tensor mean, Tensor rstd, Tensor runningMean, Tensor runningVariance, float epsilon)
    {
        RequireColumns((int)mean.Count, rstd, runningMean, runningVariance);
        if (device.IsHost)
            RecallHost(mean, rstd, runningMean, runningVariance, epsilon);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, float>(RecallKernel))(
                Require.Extent(mean.Count), mean.Floats, rstd.Floats, runningMean.Floats, runningVariance.Floats, epsilon);
    }

    /// <summary>Writes <c>y = relu(h gamma + beta + residual)</c>; <paramref name="y"/> may be <paramref name="x"/> or the residual.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">[N, C], written.</param>
    /// <param name="x">[N, C].</param>
    /// <param name="mean">[C].</param>
    /// <param name="rstd">[C].</param>
    /// <param name="gamma">[C], scale.</param>
    /// <param name="beta">[C], offset.</param>
    /// <param name="residual">[N, C], or no tensor.</param>
    /// <param name="relu">Whether negative results become 0.</param>
    public static void Forward(Device device, Tensor y, Tensor x, Tensor mean, Tensor rstd, Tensor gamma, Tensor beta, Tensor residual, bool relu)
    {
        Require.Matrix(y, "y", x.Rows, x.Columns);
        if (residual.Exists) Require.Matrix(residual, "residual", x.Rows, x.Columns);
        RequireColumns(x.Columns, mean, rstd, gamma, beta);
        if (device.IsHost)
        {
            ForwardHost(device.Threads, y, x, mean, rstd, gamma, beta, residual, relu);
            return;
        }
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            int, int, int>(ForwardKernel))(
            Require.Extent(y.Count), y.Floats, x.Floats, mean.Floats, rstd.Floats, gamma.Floats, beta.Floats, residual.Exists ? residual.Floats : x.Floats,
            x.Columns, residual.Exists ? 1 : 0, relu ? 1 : 0);
    }

    /// <summary>
    /// Writes <c>dx</c> and, where wanted, <c>dresidual</c>; accumulates into <c>dgamma</c> and <c>dbeta</c>. One of <paramref name="dx"/> and
    /// <paramref name="dresidual"/> may be <paramref name="dy"/>.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[N, C], written.</param>
    /// <param name="dresidual">[N, C], written, or no tensor.</param>
    /// <param name="dgamma">[C], accumulated into.</param>
    /// <param name="dbeta">[C], accumulated into.</param>
    /// <param name="dy">[N, C].</param>
    /// <param name="y">[N, C], what <see cref="Forward"/> wrote, where it applied relu; else no tensor.</param>
    /// <param name="x">[N, C].</param>
    /// <param name="gamma">[C], scale.</param>
    /// <param name="mean">[C], as forward.</param>
    /// <param name="rstd">[C], as forward.</param>
    /// <param name="measured">Whether the statistics are those of the batch, so that x moves them.</param>
    /// <param name="scratch">At least <see cref="ScratchLength"/>, overwritten.</param>
    public static void Backward(
        Device device, Tensor dx, Tensor dresidual, Tensor dgamma, Tensor dbeta, Tensor dy, Tensor y, Tensor x, Tensor gamma, Tensor mean, Tensor rstd, bool measured,
        Tensor scratch)
    {
        foreach (Tensor matrix in (ReadOnlySpan<Tensor>)[dx, dy, dresidual.Exists ? dresidual : x, y.Exists ? y : x]) Require.Matrix(matrix, "a gradient or y", x.Rows, x.Columns);
        RequireColumns(x.Columns, dgamma, dbeta, gamma, mean, rstd);
        RequireScratch(scratch, x);
        if (device.IsHost)
        {
            BackwardHost(device.Threads, dx, dresidual, dgamma, dbeta, dy, y, x, gamma, mean, rstd, measured, scratch);
            return;
        }
        int parts = Parts(x.Rows), columns = x.Columns, masked = y.Exists ? 1 : 0;
        ArrayView<float> mask = y.Exists ? y.Floats : x.Floats;
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int, int>(
            ProductsKernel))(
            Require.Extent((long)parts * columns), scratch.Floats, dy.Floats, mask, x.Floats, mean.Floats, rstd.Floats, x.Rows, columns, parts, masked);
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int>(ParametersKernel))(
            Require.Extent(columns), dgamma.Floats, dbeta.Floats, scratch.Floats, columns, parts);
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, int, int, float>(InputKernel))(
            Require.Extent(dx.Count), dx.Floats, dresidual.Exists ? dresidual.Floats : dx.Floats, dy.Floats, mask, x.Floats, gamma.Floats, mean.Floats, rstd.Floats,
            scratch.Floats, columns, 2 * masked + (dresidual.Exists ? 1 : 0), measured ? 1f / x.Rows : 0);
    }

    private static int Parts(int rows) => Math.Clamp((rows + RowsPerPart - 1) / RowsPerPart, 1, MostParts);

    private static void RequireColumns(int columns, params ReadOnlySpan<Tensor> vectors)
    {
        foreach (Tensor vector in vectors) Require.Count(vector, "a statistic or parameter of the columns", columns);
    }

    private static void RequireScratch(Tensor scratch, Tensor x)
    {
        if (scratch.Count < ScratchLength(x.Rows, x.Columns))
            throw new ArgumentException($"scratch: expected {ScratchLength(x.Rows, x.Columns)} numbers or more, got {scratch}");
    }
}
