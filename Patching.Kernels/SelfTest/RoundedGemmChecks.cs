namespace Patching.Kernels;

/// <summary>Self-test of <see cref="Gemm"/> on bfloat16 operands: the three products with the epilogues that the towers use.</summary>
internal static class RoundedGemmChecks
{
    /// <summary>N rows, I inputs, O outputs.</summary>
    private readonly record struct Dimensions(int Rows, int Inputs, int Outputs)
    {
        public override string ToString() => $"{Rows}x{Inputs}x{Outputs}";
    }

    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        // Rows that are not aligned to 16 bytes, ragged tiles, and a model's.
        Dimensions[] shapes = small ? [new(7, 29, 13), new(70, 72, 136)] : [new(7, 29, 13), new(37, 588, 212), new(300, 776, 264), new(200, 768, 768)];
        foreach (Dimensions d in shapes)
        {
            yield return new SelfTestCheck("Gemm.Forward bf16", $"{d}", trial => Forward(trial, d));
            yield return new SelfTestCheck("Gemm.Forward bf16 activation", $"{d}", trial => ForwardWithActivation(trial, d));
            yield return new SelfTestCheck("Gemm.Forward bf16 residual", $"{d}", trial => ForwardWithResidual(trial, d));
            yield return new SelfTestCheck("Gemm.BackwardInput bf16", $"{d}", trial => BackwardInput(trial, d));
            yield return new SelfTestCheck("Gemm.BackwardInput bf16 activation", $"{d}", trial => BackwardInputWithActivation(trial, d));
            yield return new SelfTestCheck("Gemm.BackwardWeight bf16", $"{d}", trial => BackwardWeight(trial, d));
        }
    }

    private static void Forward(Trial trial, Dimensions d)
    {
        (int rows, int inputs, int outputs) = d;
        Product sums = Product.Forward(trial, d, out Tensor x, out Tensor w);
        float[] b = trial.Normal(outputs);
        Tensor bias = trial.Tensor(b, outputs), y = trial.PoisonedRounded(rows, outputs);
        trial.Launch(() => Gemm.Forward(trial.Device, y, x, w, new GemmEpilogue { Bias = bias }));
        (_, double[] exact) = GemmReference.Finish(sums.Exact, outputs, b, null, null, v => v);
        (_, double[] plain) = GemmReference.Finish(sums.Plain, outputs, b, null, null, v => (float)v);
        trial.Compare("y", y, exact, Trial.Round(plain));
    }

    private static void ForwardWithActivation(Trial trial, Dimensions d)
    {
        (int rows, int inputs, int outputs) = d;
        Product sums = Product.Forward(trial, d, out Tensor x, out Tensor w);
        float[] b = trial.Normal(outputs);
        Tensor bias = trial.Tensor(b, outputs), y = trial.PoisonedRounded(rows, outputs), saved = trial.PoisonedRounded(rows, outputs);
        GemmEpilogue epilogue = new() { Bias = bias, Activation = ActivationKind.QuickGelu, PreActivation = saved };
        trial.Launch(() => Gemm.Forward(trial.Device, y, x, w, epilogue));
        (double[] before, double[] after) = GemmReference.Finish(sums.Exact, outputs, b, ActivationKind.QuickGelu, null, v => v);
        // The activation may be computed before or after its argument is rounded; the plain version does the latter.
        (double[] plainBefore, double[] plainAfter) =
            GemmReference.Finish(sums.Plain, outputs, b, ActivationKind.QuickGelu, null, v => BFloat16.Round((float)v));
        trial.Compare("y", y, after, plainAfter);
        trial.Compare("pre-activation", saved, before, plainBefore);
    }

    private static void ForwardWithResidual(Trial trial, Dimensions d)
    {
        (int rows, int inputs, int outputs) = d;
        Product sums = Product.Forward(trial, d, out Tensor x, out Tensor w);
        float[] b = trial.Normal(outputs), r = trial.Normal((long)rows * outputs);
        Tensor bias = trial.Tensor(b, outputs), y = trial.Poisoned(rows, outputs), inPlace = trial.Tensor(r, rows, outputs), residual = trial.Tensor(r, rows, outputs);
        trial.Launch(() => Gemm.Forward(trial.Device, y, x, w, new GemmEpilogue { Bias = bias, Residual = residual }));
        trial.Launch(() => Gemm.Forward(trial.Device, inPlace, x, w, new GemmEpilogue { Bias = bias, Residual = inPlace }));
        (_, double[] exact) = GemmReference.Finish(sums.Exact, outputs, b, null, r, v => v);
        (_, double[] plain) = GemmReference.Finish(sums.Plain, outputs, b, null, r, v => (float)v);
        trial.Compare("y", y, exact, plain);
        trial.Compare("y in place", inPlace, exact, plain);
    }

    private static void BackwardInput(Trial trial, Dimensions d)
    {
        (int rows, int inputs, int outputs) = d;
        Product sums = Product.BackwardInput(trial, d, out Tensor dy, out Tensor w);
        float[] old = trial.Normal((long)rows * inputs);
        Tensor dx = trial.PoisonedRounded(rows, inputs), added = trial.Tensor(old, rows, inputs);
        trial.Launch(() => Gemm.BackwardInput(trial.Device, dx, dy, w));
        trial.Launch(() => Gemm.BackwardInput(trial.Device, added, dy, w, accumulate: true));
        trial.Compare("dx", dx, sums.Exact, Trial.Round(sums.Plain));
        trial.Compare("dx, single precision", added, Sum(sums.Exact, old, v => v), Sum(sums.Plain, old, v => (float)v));
    }

    private static void BackwardInputWithActivation(Trial trial, Dimensions d)
    {
        (int rows, int inputs, int outputs) = d;
        Product sums = Product.BackwardInput(trial, d, out Tensor dy, out Tensor w);
        float[] saved = trial.NormalRounded((long)rows * inputs, 2);
        Tensor dx = trial.PoisonedRounded(rows, inputs), preActivation = trial.Rounded(saved, rows, inputs);
        trial.Launch(() => Gemm.BackwardInput(trial.Device, dx, dy, w, preActivation: preActivation, kind: ActivationKind.QuickGelu));
        trial.Compare(
            "dx", dx,
            [.. sums.Exact.Zip(saved, (s, v) => s * ActivationReference.Derivative(v, ActivationKind.QuickGelu))],
            Trial.Round([.. sums.Plain.Zip(saved, (s, v) => s * ActivationReference.PlainDerivative(v, ActivationKind.QuickGelu))]));
    }

    private static void BackwardWeight(Trial trial, Dimensions d)
    {
        // The sum runs over the rows here: exchange the roles so that the long sums of the shapes are long here too.
        (int inputs, int rows, int outputs) = d;
        float[] dy = trial.NormalRounded((long)rows * outputs), x = trial.NormalRounded((long)rows * inputs);
        float[] oldWeight = trial.Normal((long)outputs * inputs), oldBias = trial.Normal(outputs);
        Tensor dw = trial.Tensor(oldWeight, outputs, inputs), dbias = trial.Tensor(oldBias, outputs), divided = trial.Tensor(oldWeight, outputs, inputs);
        Tensor tdy = trial.Rounded(dy, rows, outputs), tx = trial.Rounded(x, rows, inputs);
        Tensor workspace = trial.Poisoned(Math.Max(1, checked((int)Gemm.WorkspaceLength(rows, outputs, inputs))));
        trial.Launch(() => Gemm.BackwardWeight(trial.Device, dw, dbias, tdy, tx));
        trial.Launch(() => Gemm.BackwardWeight(trial.Device, divided, default, tdy, tx, workspace));
        Product sums = new(GemmReference.BackwardWeight(dy, x, rows, inputs, outputs), (outputs, inputs, rows), (i, k) => dy[k * outputs + i], (k, j) => x[k * inputs + j]);
        (double[] exactBias, float[] plainBias) = GemmReference.ColumnSums(dy, rows, outputs);
        trial.Compare("dw", dw, Sum(sums.Exact, oldWeight, v => v), Sum(sums.Plain, oldWeight, v => (float)v));
        trial.Compare("dw with a workspace", divided, Sum(sums.Exact, oldWeight, v => v), Sum(sums.Plain, oldWeight, v => (float)v));
        trial.Compare("dbias", dbias, Sum(exactBias, oldBias, v => v), Sum(Precision.Wide(plainBias), oldBias, v => (float)v));
    }

    private static double[] Sum(double[] sums, float[] old, Func<double, double> round) => [.. sums.Zip(old, (s, o) => round(s + o))];

    /// <summary>A product of bfloat16 operands: exact, and the worse of two plain ways to add it up.</summary>
    private sealed class Product
    {
        public Product((double[] Exact, float[] Plain) sums, (int M, int N, int K) size, Func<int, int, float> a, Func<int, int, float> b)
        {
            Exact = sums.Exact;
            float[] cutOff = TensorCoreReference.Product(size.M, size.N, size.K, a, b);
            Plain = TensorCoreReference.Worse(Exact, Precision.Wide(sums.Plain), Precision.Wide(cutOff));
        }

        public double[] Exact { get; }

        public double[] Plain { get; }

        public static Product Forward(Trial trial, Dimensions d, out Tensor x, out Tensor w)
        {
            (int rows, int inputs, int outputs) = d;
            float[] a = trial.NormalRounded((long)rows * inputs), b = trial.NormalRounded((long)outputs * inputs);
            (x, w) = (trial.Rounded(a, rows, inputs), trial.Rounded(b, outputs, inputs));
            return new Product(GemmReference.Forward(a, b, rows, inputs, outputs), (rows, outputs, inputs), (i, k) => a[i * inputs + k], (k, j) => b[j * inputs + k]);
        }

        public static Product BackwardInput(Trial trial, Dimensions d, out Tensor dy, out Tensor w)
        {
            (int rows, int inputs, int outputs) = d;
            float[] a = trial.NormalRounded((long)rows * outputs), b = trial.NormalRounded((long)outputs * inputs);
            (dy, w) = (trial.Rounded(a, rows, outputs), trial.Rounded(b, outputs, inputs));
            return new Product(
                GemmReference.BackwardInput(a, b, rows, inputs, outputs), (rows, inputs, outputs), (i, k) => a[i * outputs + k], (k, j) => b[k * inputs + j]);
        }
    }
}
