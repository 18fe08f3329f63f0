using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// The host implementation: the parts of the sums, consecutive rows each, are divided among the threads. Scratch holds two rows of C sums for the whole matrix,
/// then two for every part.
/// </content>
public static partial class BatchNorm
{
    private static unsafe void MeasureHost(
        HostThreads threads, Tensor mean, Tensor rstd, Tensor runningMean, Tensor runningVariance, Tensor x, float epsilon, float momentum, Tensor scratch)
    {
        int rows = x.Rows, columns = x.Columns;
        float* px = x.HostFloats, pMean = mean.HostFloats, sums = scratch.HostFloats, squares = sums + columns;
        HostRow.Fill(pMean, 0, columns);
        SumParts(threads, rows, columns, sums, (part, row) => AddDeviations(part, px + row * columns, pMean, columns));
        for (int c = 0; c < columns; c++) pMean[c] = sums[c] / rows;
        SumParts(threads, rows, columns, sums, (part, row) => AddDeviations(part, px + row * columns, pMean, columns));
        float* pRstd = rstd.HostFloats, pRunningMean = runningMean.HostFloats, pRunningVariance = runningVariance.HostFloats;
        for (int c = 0; c < columns; c++)
        {
            // What is left of the sum of deviations says by how much the mean is off.
            float correction = sums[c] / rows, sum = squares[c] - sums[c] * correction;
            pMean[c] += correction;
            pRstd[c] = 1 / MathF.Sqrt(sum / rows + epsilon);
            pRunningMean[c] = (1 - momentum) * pRunningMean[c] + momentum * pMean[c];
            pRunningVariance[c] = (1 - momentum) * pRunningVariance[c] + momentum * (sum / Math.Max(rows - 1, 1));
        }
    }

    private static unsafe void RecallHost(Tensor mean, Tensor rstd, Tensor runningMean, Tensor runningVariance, float epsilon)
    {
        HostRow.Copy(mean.HostFloats, runningMean.HostFloats, (int)mean.Count);
        for (long c = 0; c < mean.Count; c++) rstd.HostFloats[c] = 1 / MathF.Sqrt(runningVariance.HostFloats[c] + epsilon);
    }

    private static unsafe void ForwardHost(
        HostThreads threads, Tensor y, Tensor x, Tensor mean, Tensor rstd, Tensor gamma, Tensor beta, Tensor residual, bool relu)
    {
        int columns = x.Columns;
        float* py = y.HostFloats, px = x.HostFloats, pResidual = residual.Exists ? residual.HostFloats : null;
        float* pMean = mean.HostFloats, pRstd = rstd.HostFloats, pGamma = gamma.HostFloats, pBeta = beta.HostFloats;
        threads.For(x.Rows, (first, end) =>
        {
            for (long at = first * columns; at < end * columns; at += columns)
                ForwardRow(py + at, px + at, pMean, pRstd, pGamma, pBeta, pResidual == null ? null : pResidual + at, columns, relu);
        });
    }

    private static unsafe void BackwardHost(
        HostThreads threads, Tensor dx, Tensor dresidual, Tensor dgamma, Tensor dbeta, Tensor dy, Tensor y, Tensor x, Tensor gamma, Tensor mean, Tensor rstd,
        bool measured, Tensor scratch)
    {
        int rows = x.Rows, columns = x.Columns;
        float* pdx = dx.HostFloats, pdy = dy.HostFloats, px = x.HostFloats, py = y.Exists ? y.HostFloats : null;
        float* pResidual = dresidual.Exists ? dresidual.HostFloats : null, pGamma = gamma.HostFloats, pMean = mean.HostFloats, pRstd = rstd.HostFloats;
        float* sums = scratch.HostFloats, projections = sums + columns, pdGamma = dgamma.HostFloats, pdBeta = dbeta.HostFloats;
        SumParts(threads, rows, columns, sums, (part, row) =>
            AddProducts(part, pdy + row * columns, py == null ? null : py + row * columns, px + row * columns, pMean, pRstd, columns));
        HostRow.Sum(pdBeta, pdBeta, sums, columns);
        HostRow.Sum(pdGamma, pdGamma, projections, columns);
        // Frozen statistics do not move with x: nothing is subtracted.
        for (int c = 0; c < 2 * columns; c++) sums[c] = measured ? sums[c] / rows : 0;
        threads.For(rows, (first, end) =>
        {
            for (long at = first * columns; at < end * columns; at += columns)
                InputRow(
                    pdx + at, pResidual == null ? null : pResidual + at, pdy + at, py == null ? null : py + at, px + at, pGamma, pMean, pRstd, sums, columns);
        });
    }

    private unsafe delegate void RowSum(float* part, long row);

    /// <summary>Adds up every row, part by part, then the parts in order; the two rows of sums go to <paramref name="sums"/>.</summary>
    private static unsafe void SumParts(HostThreads threads, int rows, int columns, float* sums, RowSum addRow)
    {
        int parts = Parts(rows);
        threads.For(parts, (first, end) =>
        {
            for (long part = first; part < end; part++)
            {
                float* own = sums + 2 * (part + 1) * columns;
                HostRow.Fill(own, 0, 2 * columns);
                for (long row = rows * part / parts; row < rows * (part + 1) / parts; row++) addRow(own, row);
            }
        });
        HostRow.Fill(sums, 0, 2 * columns);
        for (long part = 1; part <= parts; part++) HostRow.Sum(sums, sums, sums + 2 * part * columns, 2 * columns);
    }

    /// <summary>Adds <c>x - mean</c> to the first row of sums, its square to the second.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void AddDeviations(float* sums, float* x, float* mean, int columns)
    {
        float* squares = sums + columns;
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
        {
            Vector<float> d = Vector.Load(x + c) - Vector.Load(mean + c);
            (Vector.Load(sums + c) + d).Store(sums + c);
            Vector.FusedMultiplyAdd(d, d, Vector.Load(squares + c)).Store(squares + c);
        }
        for (; c < columns; c++)
        {
            float d = x[c] - mean[c];
            sums[c] += d;
            squares[c] += d * d;
        }
    }

    /// <summary>Adds g to the first row of sums, g h to the second.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void AddProducts(float* sums, float* dy, float* y, float* x, float* mean, float* rstd, int columns)
    {
        float* projections = sums + columns;
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
        {
            Vector<float> g = Vector.Load(dy + c), h = (Vector.Load(x + c) - Vector.Load(mean + c)) * Vector.Load(rstd + c);
            if (y != null) g = Masked(g, Vector.Load(y + c));
            (Vector.Load(sums + c) + g).Store(sums + c);
            Vector.FusedMultiplyAdd(g, h, Vector.Load(projections + c)).Store(projections + c);
        }
        for (; c < columns; c++)
        {
            float g = y != null && y[c] <= 0 ? 0 : dy[c];
            sums[c] += g;
            projections[c] += g * ((x[c] - mean[c]) * rstd[c]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void ForwardRow(
        float* y, float* x, float* mean, float* rstd, float* gamma, float* beta, float* residual, int columns, bool relu)
    {
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
        {
            Vector<float> h = (Vector.Load(x + c) - Vector.Load(mean + c)) * Vector.Load(rstd + c);
            Vector<float> value = Vector.FusedMultiplyAdd(h, Vector.Load(gamma + c), Vector.Load(beta + c));
            if (residual != null) value += Vector.Load(residual + c);
            (relu ? Masked(value, value) : value).Store(y + c);
        }
        for (; c < columns; c++)
        {
            float value = MathF.FusedMultiplyAdd((x[c] - mean[c]) * rstd[c], gamma[c], beta[c]);
            if (residual != null) value += residual[c];
            y[c] = relu && value <= 0 ? 0 : value;
        }
    }

    /// <summary>One row of dx; the first row of <paramref name="means"/> holds mean(g), the second mean(g h), or zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void InputRow(
        float* dx, float* dresidual, float* dy, float* y, float* x, float* gamma, float* mean, float* rstd, float* means, int columns)
    {
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
        {
            Vector<float> g = Vector.Load(dy + c), r = Vector.Load(rstd + c), h = (Vector.Load(x + c) - Vector.Load(mean + c)) * r;
            if (y != null) g = Masked(g, Vector.Load(y + c));
            if (dresidual != null) g.Store(dresidual + c);
            ((g - Vector.Load(means + c) - h * Vector.Load(means + columns + c)) * (Vector.Load(gamma + c) * r)).Store(dx + c);
        }
        for (; c < columns; c++)
        {
            float g = y != null && y[c] <= 0 ? 0 : dy[c], h = (x[c] - mean[c]) * rstd[c];
            if (dresidual != null) dresidual[c] = g;
            dx[c] = (g - means[c] - h * means[columns + c]) * (gamma[c] * rstd[c]);
        }
    }

    /// <summary>The values where the guide is not below or equal to zero, else 0; NaN in either is seen.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Masked(Vector<float> value, Vector<float> guide) =>
        Vector.ConditionalSelect(Vector.LessThanOrEqual(guide, Vector<float>.Zero), Vector<float>.Zero, value);
}
