using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// The host implementation. A row fits the first-level cache, so reading it three times forward and twice backward costs memory bandwidth
/// once. Backward keeps one pair of partial parameter gradients per thread and adds them up in the order of the threads.
/// </content>
public static partial class LayerNorm
{
    private static unsafe void ForwardHost(
        HostThreads threads, Tensor y, Tensor mean, Tensor rstd, Tensor x, Tensor gamma, Tensor beta, float epsilon)
    {
        int columns = x.Columns;
        float* py = y.HostFloats, px = x.HostFloats, pGamma = gamma.HostFloats, pBeta = beta.HostFloats;
        float* pMean = mean.Exists ? mean.HostFloats : null, pRstd = rstd.Exists ? rstd.HostFloats : null;
        threads.For(x.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                float m = Mean(px + row * columns, columns);
                (float correction, float r) = Spread(px + row * columns, columns, m, epsilon);
                Normalize(py + row * columns, px + row * columns, pGamma, pBeta, columns, m, correction, r);
                if (pMean != null) pMean[row] = m + correction;
                if (pRstd != null) pRstd[row] = r;
            }
        });
    }

    private static unsafe void BackwardHost(
        HostThreads threads, Tensor dx, Tensor dgamma, Tensor dbeta, Tensor dy, Tensor x, Tensor gamma, Tensor mean, Tensor rstd,
        bool accumulate)
    {
        int columns = x.Columns;
        long rows = x.Rows, partialBytes = 2L * columns * sizeof(float);
        float* pdx = dx.HostFloats, pdy = dy.HostFloats, px = x.HostFloats, pGamma = gamma.HostFloats, pMean = mean.HostFloats,
            pRstd = rstd.HostFloats;
        threads.Run(member =>
        {
            float* dgammaPart = (float*)threads.ScratchOf(member, partialBytes), dbetaPart = dgammaPart + columns;
            new Span<float>(dgammaPart, 2 * columns).Clear();
            for (long row = rows * member / threads.Count; row < rows * (member + 1) / threads.Count; row++)
            {
                long at = row * columns;
                (float sum, float projection) = AccumulateParameters(
                    dgammaPart, dbetaPart, pdy + at, px + at, pGamma, columns, pMean[row], pRstd[row]);
                InputGradient(
                    pdx + at, pdy + at, px + at, pGamma, columns, pMean[row], pRstd[row], sum / columns, projection / columns, accumulate);
            }
        });
        for (int member = 0; member < threads.Count; member++)
        {
            float* part = (float*)threads.ScratchOf(member, partialBytes);
            Add(dgamma.HostFloats, part, columns);
            Add(dbeta.HostFloats, part + columns, columns);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe float Mean(float* x, int columns)
    {
        // Four chains of additions hide their latency and shorten the rounding error.
        Vector<float> s0 = default, s1 = default, s2 = default, s3 = default;
        int width = Vector<float>.Count, c = 0;
        for (; c + 4 * width <= columns; c += 4 * width)
        {
            s0 += Vector.Load(x + c);
            s1 += Vector.Load(x + c + width);
            s2 += Vector.Load(x + c + 2 * width);
            s3 += Vector.Load(x + c + 3 * width);
        }
        for (; c + width <= columns; c += width) s0 += Vector.Load(x + c);
        float sum = Vector.Sum(s0 + s1 + (s2 + s3));
        for (; c < columns; c++) sum += x[c];
        return sum / columns;
    }

    /// <summary>
    /// What the rounded mean is off by (without rounding the deviations would add up to zero) and the reciprocal standard deviation.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe (float Correction, float Rstd) Spread(float* x, int columns, float mean, float epsilon)
    {
        Vector<float> m = Vector.Create(mean), s0 = default, s1 = default, q0 = default, q1 = default;
        int width = Vector<float>.Count, c = 0;
        for (; c + 2 * width <= columns; c += 2 * width)
        {
            Vector<float> d0 = Vector.Load(x + c) - m, d1 = Vector.Load(x + c + width) - m;
            s0 += d0;
            s1 += d1;
            q0 = Vector.FusedMultiplyAdd(d0, d0, q0);
            q1 = Vector.FusedMultiplyAdd(d1, d1, q1);
        }
        for (; c + width <= columns; c += width)
        {
            Vector<float> d = Vector.Load(x + c) - m;
            s0 += d;
            q0 = Vector.FusedMultiplyAdd(d, d, q0);
        }
        float deviations = Vector.Sum(s0 + s1), squares = Vector.Sum(q0 + q1);
        for (; c < columns; c++)
        {
            float d = x[c] - mean;
            deviations += d;
            squares += d * d;
        }
        float correction = deviations / columns;
        return (correction, 1 / MathF.Sqrt((squares - deviations * correction) / columns + epsilon));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Normalize(
        float* y, float* x, float* gamma, float* beta, int columns, float mean, float correction, float rstd)
    {
        Vector<float> m = Vector.Create(mean), e = Vector.Create(correction), r = Vector.Create(rstd);
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
            Vector.FusedMultiplyAdd((Vector.Load(x + c) - m - e) * r, Vector.Load(gamma + c), Vector.Load(beta + c)).Store(y + c);
        for (; c < columns; c++) y[c] = MathF.FusedMultiplyAdd((x[c] - mean - correction) * rstd, gamma[c], beta[c]);
    }

    /// <summary>Adds one row to the partial parameter gradients; returns the sums of g and of g h over the row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe (float Sum, float Projection) AccumulateParameters(
        float* dgamma, float* dbeta, float* dy, float* x, float* gamma, int columns, float mean, float rstd)
    {
        Vector<float> m = Vector.Create(mean), r = Vector.Create(rstd), sums = default, projections = default;
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
        {
            Vector<float> d = Vector.Load(dy + c), h = (Vector.Load(x + c) - m) * r, g = d * Vector.Load(gamma + c);
            sums += g;
            projections = Vector.FusedMultiplyAdd(g, h, projections);
            Vector.FusedMultiplyAdd(d, h, Vector.Load(dgamma + c)).Store(dgamma + c);
            (Vector.Load(dbeta + c) + d).Store(dbeta + c);
        }
        float sum = Vector.Sum(sums), projection = Vector.Sum(projections);
        for (; c < columns; c++)
        {
            float h = (x[c] - mean) * rstd, g = dy[c] * gamma[c];
            sum += g;
            projection += g * h;
            dgamma[c] += dy[c] * h;
            dbeta[c] += dy[c];
        }
        return (sum, projection);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void InputGradient(
        float* dx, float* dy, float* x, float* gamma, int columns, float mean, float rstd, float sum, float projection, bool accumulate)
    {
        Vector<float> m = Vector.Create(mean), r = Vector.Create(rstd), s = Vector.Create(sum), p = Vector.Create(-projection * rstd);
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
        {
            Vector<float> g = Vector.Load(dy + c) * Vector.Load(gamma + c) - s;
            Vector<float> value = Vector.FusedMultiplyAdd(Vector.Load(x + c) - m, p, g) * r;
            if (accumulate) value += Vector.Load(dx + c);
            value.Store(dx + c);
        }
        for (; c < columns; c++)
        {
            float value = rstd * (dy[c] * gamma[c] - sum - (x[c] - mean) * rstd * projection);
            dx[c] = accumulate ? dx[c] + value : value;
        }
    }

    private static unsafe void Add(float* sum, float* part, int count)
    {
        int c = 0;
        for (; c + Vector<float>.Count <= count; c += Vector<float>.Count) (Vector.Load(sum + c) + Vector.Load(part + c)).Store(sum + c);
        for (; c < count; c++) sum[c] += part[c];
    }
}
