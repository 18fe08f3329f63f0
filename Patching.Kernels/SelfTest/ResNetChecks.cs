using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary>Self-test of what residual networks add: <see cref="Convolution"/>, <see cref="AveragePooling"/>, <see cref="BatchNorm"/> and <see cref="MeanToken"/>.</summary>
internal static class ResNetChecks
{
    private const float Epsilon = 1e-5f;
    private const float Momentum = 0.1f;

    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        ConvolutionShape[] convolutions = small ? [new(2, 5, 3, 3, 2), new(1, 4, 9, 3, 1)] : [new(2, 5, 3, 3, 2), new(3, 13, 37, 3, 1), new(4, 56, 64, 3, 1)];
        foreach (ConvolutionShape shape in convolutions)
        {
            string size = $"{shape.Batch}x{shape.Size}x{shape.Size}x{shape.Channels}/{shape.Stride}";
            yield return new SelfTestCheck("Convolution.Unfold", size, trial => Unfold(trial, shape));
            yield return new SelfTestCheck("Convolution.Fold", size, trial => Fold(trial, shape));
            yield return new SelfTestCheck("AveragePooling.Forward", size, trial => Pool(trial, shape));
            yield return new SelfTestCheck("AveragePooling.Backward", size, trial => PoolBackward(trial, shape));
        }
        (int Rows, int Columns)[] matrices = small ? [(3, 5), (300, 7)] : [(3, 5), (1031, 37), (12544, 256)];
        foreach ((int rows, int columns) in matrices)
        {
            string size = $"{rows}x{columns}";
            yield return new SelfTestCheck("BatchNorm.Measure", size, trial => Measure(trial, rows, columns));
            yield return new SelfTestCheck("BatchNorm.Forward", size, trial => Normalize(trial, rows, columns));
            yield return new SelfTestCheck("BatchNorm.Backward frozen", size, trial => NormalizeBackward(trial, rows, columns, measured: false));
            yield return new SelfTestCheck("BatchNorm.Backward batch", size, trial => NormalizeBackward(trial, rows, columns, measured: true));
        }
        (int Batch, int Pixels, int Channels)[] maps = small ? [(2, 1, 3), (3, 4, 9)] : [(2, 1, 3), (3, 17, 53), (4, 49, 2048)];
        foreach ((int batch, int pixels, int channels) in maps)
        {
            string size = $"{batch}x{pixels}x{channels}";
            yield return new SelfTestCheck("MeanToken.Forward", size, trial => Tokens(trial, batch, pixels, channels));
            yield return new SelfTestCheck("MeanToken.Backward", size, trial => TokensBackward(trial, batch, pixels, channels));
        }
    }

    private static void Unfold(Trial trial, ConvolutionShape shape)
    {
        float[] x = trial.Normal((long)shape.InputRows * shape.Channels);
        Tensor windows = trial.Poisoned(shape.OutputRows, shape.WindowLength), tx = trial.Tensor(x, shape.InputRows, shape.Channels);
        trial.Launch(() => Convolution.Unfold(trial.Device, windows, tx, shape));
        trial.CompareExactly("windows", windows, ConvolutionReference.Unfold(x, shape));
    }

    private static void Fold(Trial trial, ConvolutionShape shape)
    {
        float[] d = trial.Normal((long)shape.OutputRows * shape.WindowLength);
        Tensor dx = trial.Poisoned(shape.InputRows, shape.Channels), td = trial.Tensor(d, shape.OutputRows, shape.WindowLength);
        trial.Launch(() => Convolution.Fold(trial.Device, dx, td, shape));
        trial.Compare("dx", dx, ConvolutionReference.Fold<double>(Wide(d), shape), ConvolutionReference.Fold<float>(Wide(d), shape));
    }

    private static void Pool(Trial trial, ConvolutionShape shape)
    {
        float[] x = trial.Normal((long)shape.InputRows * shape.Channels);
        int pooled = shape.Size / 2, channels = shape.Channels;
        Tensor y = trial.Poisoned(shape.Batch * pooled * pooled, channels), tx = trial.Tensor(x, shape.InputRows, channels);
        trial.Launch(() => AveragePooling.Forward(trial.Device, y, tx, shape.Size, 2));
        trial.Compare("y", y, ConvolutionReference.Pool<double>(Wide(x), shape.Size, 2, channels), ConvolutionReference.Pool<float>(Wide(x), shape.Size, 2, channels));
    }

    private static void PoolBackward(Trial trial, ConvolutionShape shape)
    {
        int pooled = shape.Size / 2, channels = shape.Channels;
        float[] dy = trial.Normal((long)shape.Batch * pooled * pooled * channels), dx0 = trial.Normal((long)shape.InputRows * channels);
        double[] zeros = new double[dx0.Length];
        Tensor dx = trial.Poisoned(shape.InputRows, channels), sum = trial.Tensor(dx0, shape.InputRows, channels);
        Tensor tdy = trial.Tensor(dy, shape.Batch * pooled * pooled, channels);
        trial.Launch(() => AveragePooling.Backward(trial.Device, dx, tdy, shape.Size, 2));
        trial.Launch(() => AveragePooling.Backward(trial.Device, sum, tdy, shape.Size, 2, accumulate: true));
        Compare("dx", dx, zeros);
        Compare("dx accumulated", sum, Wide(dx0));

        void Compare(string what, Tensor actual, double[] start) => trial.Compare(
            what, actual, ConvolutionReference.PoolBackward<double>(Wide(dy), start, shape.Size, 2, channels),
            ConvolutionReference.PoolBackward<float>(Wide(dy), start, shape.Size, 2, channels));
    }

    private static void Measure(Trial trial, int rows, int columns)
    {
        // Far from zero on purpose: a variance computed as a difference of squares would show.
        float[] x = trial.Normal((long)rows * columns, 1, 100), runningMean = trial.Normal(columns), runningVariance = trial.Normal(columns, 0.1, 1);
        Tensor mean = trial.Poisoned(columns), rstd = trial.Poisoned(columns), tMean = trial.Tensor(runningMean, columns), tVariance = trial.Tensor(runningVariance, columns);
        Tensor tx = trial.Tensor(x, rows, columns), scratch = trial.Poisoned(BatchNorm.ScratchLength(rows, columns));
        trial.Launch(() => BatchNorm.Measure(trial.Device, mean, rstd, tMean, tVariance, tx, Epsilon, Momentum, scratch));
        BatchNormReference.Statistics exact = BatchNormReference.Measure<double>(Wide(x), Wide(runningMean), Wide(runningVariance), Epsilon, Momentum);
        BatchNormReference.Statistics plain = BatchNormReference.Measure<float>(Wide(x), Wide(runningMean), Wide(runningVariance), Epsilon, Momentum);
        trial.Compare("mean", mean, exact.Mean, plain.Mean);
        trial.Compare("rstd", rstd, exact.Rstd, plain.Rstd);
        trial.Compare("running mean", tMean, exact.RunningMean, plain.RunningMean);
        trial.Compare("running variance", tVariance, exact.RunningVariance, plain.RunningVariance);
    }

    private static void Normalize(Trial trial, int rows, int columns)
    {
        float[] x = trial.Normal((long)rows * columns, 1, 3), residual = trial.Normal((long)rows * columns), mean = trial.Normal(columns, 0.1, 3);
        float[] variance = trial.Normal(columns, 0.1, 1), gamma = trial.Normal(columns, 0.2, 1), beta = trial.Normal(columns);
        float[] rstd = [.. variance.Select(v => 1 / MathF.Sqrt(v + Epsilon))];
        Tensor tMean = trial.Poisoned(columns), tRstd = trial.Poisoned(columns), y = trial.Poisoned(rows, columns), both = trial.Poisoned(rows, columns);
        Tensor tx = trial.Tensor(x, rows, columns), tResidual = trial.Tensor(residual, rows, columns), tGamma = trial.Tensor(gamma, columns), tBeta = trial.Tensor(beta, columns);
        Tensor running = trial.Tensor(mean, columns), runningVariance = trial.Tensor(variance, columns);
        trial.Launch(() => BatchNorm.Recall(trial.Device, tMean, tRstd, running, runningVariance, Epsilon));
        trial.Launch(() => BatchNorm.Forward(trial.Device, y, tx, tMean, tRstd, tGamma, tBeta, default, relu: false));
        trial.Launch(() => BatchNorm.Forward(trial.Device, both, tx, tMean, tRstd, tGamma, tBeta, tResidual, relu: true));
        trial.CompareExactly("mean", tMean, mean);
        trial.Compare("rstd", tRstd, [.. variance.Select(v => 1 / Math.Sqrt(v + (double)Epsilon))], Wide(rstd));
        trial.Compare("y", y, Expect<double>(null), Expect<float>(null));
        trial.Compare("y with residual and relu", both, Expect<double>(residual), Expect<float>(residual));

        double[] Expect<T>(float[]? added)
            where T : System.Numerics.IFloatingPointIeee754<T> =>
            BatchNormReference.Forward<T>(Wide(x), Wide(mean), Wide(rstd), Wide(gamma), Wide(beta), added is null ? null : Wide(added), added is not null);
    }

    private static void NormalizeBackward(Trial trial, int rows, int columns, bool measured)
    {
        float[] x = trial.Normal((long)rows * columns, 1, 3), y = trial.Normal((long)rows * columns), dy = trial.Normal((long)rows * columns, 1, 0.5);
        float[] mean = trial.Normal(columns, 0.1, 3), rstd = trial.Normal(columns, 0.1, 1), gamma = trial.Normal(columns, 0.2, 1);
        float[] dgamma0 = trial.Normal(columns), dbeta0 = trial.Normal(columns);
        Tensor dx = trial.Poisoned(rows, columns), dresidual = trial.Poisoned(rows, columns), dgamma = trial.Tensor(dgamma0, columns), dbeta = trial.Tensor(dbeta0, columns);
        Tensor tdy = trial.Tensor(dy, rows, columns), ty = trial.Tensor(y, rows, columns), tx = trial.Tensor(x, rows, columns), tGamma = trial.Tensor(gamma, columns);
        Tensor tMean = trial.Tensor(mean, columns), tRstd = trial.Tensor(rstd, columns), scratch = trial.Poisoned(BatchNorm.ScratchLength(rows, columns));
        trial.Launch(() => BatchNorm.Backward(trial.Device, dx, dresidual, dgamma, dbeta, tdy, ty, tx, tGamma, tMean, tRstd, measured, scratch));
        BatchNormReference.Gradients exact = Expect<double>(), plain = Expect<float>();
        trial.Compare("dx", dx, exact.X, plain.X);
        trial.Compare("dresidual", dresidual, exact.Residual, plain.Residual);
        trial.Compare("dgamma", dgamma, exact.Gamma, plain.Gamma);
        trial.Compare("dbeta", dbeta, exact.Beta, plain.Beta);

        BatchNormReference.Gradients Expect<T>()
            where T : System.Numerics.IFloatingPointIeee754<T> =>
            BatchNormReference.Backward<T>(Wide(dy), y, Wide(x), Wide(gamma), Wide(mean), Wide(rstd), measured, Wide(dgamma0), Wide(dbeta0));
    }

    private static void Tokens(Trial trial, int batch, int pixels, int channels)
    {
        float[] x = trial.Normal((long)batch * pixels * channels), positions = trial.Normal((pixels + 1) * channels);
        Tensor tokens = trial.Poisoned(batch * (pixels + 1), channels), tx = trial.Tensor(x, batch * pixels, channels);
        Tensor tPositions = trial.Tensor(positions, pixels + 1, channels);
        trial.Launch(() => MeanToken.Forward(trial.Device, tokens, tx, tPositions));
        trial.Compare(
            "tokens", tokens, ConvolutionReference.Tokens<double>(Wide(x), Wide(positions), channels), ConvolutionReference.Tokens<float>(Wide(x), Wide(positions), channels));
    }

    private static void TokensBackward(Trial trial, int batch, int pixels, int channels)
    {
        float[] dtokens = trial.Normal((long)batch * (pixels + 1) * channels), dpositions0 = trial.Normal((pixels + 1) * channels);
        Tensor dx = trial.Poisoned(batch * pixels, channels), dpositions = trial.Tensor(dpositions0, pixels + 1, channels);
        Tensor tdtokens = trial.Tensor(dtokens, batch * (pixels + 1), channels);
        trial.Launch(() => MeanToken.Backward(trial.Device, dx, dpositions, tdtokens));
        (double[] exact, double[] exactPositions) = ConvolutionReference.TokensBackward<double>(Wide(dtokens), Wide(dpositions0), channels);
        (double[] plain, double[] plainPositions) = ConvolutionReference.TokensBackward<float>(Wide(dtokens), Wide(dpositions0), channels);
        trial.Compare("dx", dx, exact, plain);
        trial.Compare("dpositions", dpositions, exactPositions, plainPositions);
    }
}
