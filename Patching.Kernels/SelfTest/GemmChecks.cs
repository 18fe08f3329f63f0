namespace Patching.Kernels;

/// <summary>Self-test of <see cref="Gemm"/>: the three products, every epilogue, packed weights, accumulation.</summary>
internal static class GemmChecks
{
    private static readonly ActivationKind?[] Activations = [null, ActivationKind.QuickGelu, ActivationKind.Gelu];

    /// <summary>N rows, I inputs, O outputs.</summary>
    private readonly record struct Dimensions(int Rows, int Inputs, int Outputs)
    {
        public override string ToString() => $"{Rows}x{Inputs}x{Outputs}";
    }

    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        Dimensions ragged = small ? new(7, 29, 13) : new(37, 211, 53), model = small ? new(10, 64, 48) : new(50, 768, 768);
        yield return new SelfTestCheck("Gemm.Forward all epilogues", $"{ragged}", trial => EveryEpilogue(trial, ragged));
        yield return new SelfTestCheck("Gemm.Forward in place", $"{ragged}", trial => ResidualInPlace(trial, ragged));
        foreach (Dimensions d in (Dimensions[])[new(3, 1, 5), ragged, model])
        {
            GemmCase c = new(Bias: true, ActivationKind.QuickGelu, Save: true, Residual: true);
            yield return new SelfTestCheck("Gemm.Forward", $"{d}", trial => Forward(trial, d, [default, c], packed: false));
            yield return new SelfTestCheck("Gemm.Forward packed", $"{d}", trial => Forward(trial, d, [default, c], packed: true));
            yield return new SelfTestCheck("Gemm.BackwardInput", $"{d}", trial => BackwardInput(trial, d, accumulate: false));
            yield return new SelfTestCheck("Gemm.BackwardInput accumulate", $"{d}", trial => BackwardInput(trial, d, accumulate: true));
            foreach (ActivationKind kind in Enum.GetValues<ActivationKind>())
                yield return new SelfTestCheck($"Gemm.BackwardInput {kind}", $"{d}", trial => BackwardInput(trial, d, kind));
            yield return new SelfTestCheck("Gemm.BackwardWeight", $"{d}", trial => BackwardWeight(trial, d));
        }
    }

    private static void EveryEpilogue(Trial trial, Dimensions d)
    {
        bool[] both = [false, true];
        GemmCase[] cases =
        [
            .. from bias in both
               from kind in Activations
               from save in both
               from residual in both
               select new GemmCase(bias, kind, save, residual),
        ];
        Forward(trial, d, cases, packed: false);
    }

    private static void Forward(Trial trial, Dimensions d, GemmCase[] cases, bool packed)
    {
        (int rows, int inputs, int outputs) = d;
        float[] x = trial.Normal((long)rows * inputs), w = trial.Normal((long)outputs * inputs), b = trial.Normal(outputs);
        float[] r = trial.Normal((long)rows * outputs);
        Tensor tx = trial.Tensor(x, rows, inputs), tw = trial.Tensor(w, outputs, inputs);
        Tensor bias = trial.Tensor(b, outputs), residual = trial.Tensor(r, rows, outputs);
        PackedWeight copy = packed ? Pack(trial, tw) : default;
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        foreach (GemmCase c in cases)
        {
            Tensor y = trial.Poisoned(rows, outputs);
            GemmEpilogue epilogue = new()
            {
                Bias = c.Bias ? bias : default,
                Activation = c.Activation,
                PreActivation = c.Save ? trial.Poisoned(rows, outputs) : default,
                Residual = c.Residual ? residual : default,
            };
            trial.Launch(() =>
            {
                if (packed) Gemm.Forward(trial.Device, y, tx, copy, epilogue);
                else Gemm.Forward(trial.Device, y, tx, tw, epilogue);
            });
            float[]? usedBias = c.Bias ? b : null, usedResidual = c.Residual ? r : null;
            (double[] before, double[] after) = GemmReference.Finish(exact, outputs, usedBias, c.Activation, usedResidual, v => v);
            (double[] plainBefore, double[] plainAfter) =
                GemmReference.Finish(Precision.Wide(plain), outputs, usedBias, c.Activation, usedResidual, v => (float)v);
            trial.Compare($"y ({c})", y, after, plainAfter);
            if (c.Save) trial.Compare($"pre-activation ({c})", epilogue.PreActivation, before, plainBefore);
        }
    }

    private static PackedWeight Pack(Trial trial, Tensor w)
    {
        PackedWeight copy = new(trial.Poisoned((int)(Gemm.PackedBytes(w.Rows, w.Columns) / sizeof(float))), w.Rows, w.Columns);
        trial.Launch(() => Gemm.Pack(trial.Device, copy, w));
        return copy;
    }

    private static void ResidualInPlace(Trial trial, Dimensions d)
    {
        (int rows, int inputs, int outputs) = d;
        float[] x = trial.Normal((long)rows * inputs), w = trial.Normal((long)outputs * inputs), old = trial.Normal((long)rows * outputs);
        Tensor y = trial.Tensor(old, rows, outputs), tx = trial.Tensor(x, rows, inputs), tw = trial.Tensor(w, outputs, inputs);
        trial.Launch(() => Gemm.Forward(trial.Device, y, tx, tw, new GemmEpilogue { Residual = y }));
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        CompareSum(trial, "y", y, exact, plain, old);
    }

    private static void BackwardInput(Trial trial, Dimensions d, bool accumulate)
    {
        (int rows, int inputs, int outputs) = d;
        float[] dy = trial.Normal((long)rows * outputs), w = trial.Normal((long)outputs * inputs), old = trial.Normal((long)rows * inputs);
        Tensor dx = accumulate ? trial.Tensor(old, rows, inputs) : trial.Poisoned(rows, inputs);
        Tensor tdy = trial.Tensor(dy, rows, outputs), tw = trial.Tensor(w, outputs, inputs);
        trial.Launch(() => Gemm.BackwardInput(trial.Device, dx, tdy, tw, accumulate));
        (double[] exact, float[] plain) = GemmReference.BackwardInput(dy, w, rows, inputs, outputs);
        CompareSum(trial, "dx", dx, exact, plain, accumulate ? old : new float[old.Length]);
    }

    private static void BackwardInput(Trial trial, Dimensions d, ActivationKind kind)
    {
        (int rows, int inputs, int outputs) = d;
        float[] dy = trial.Normal((long)rows * outputs), w = trial.Normal((long)outputs * inputs), saved = trial.Normal((long)rows * inputs, 2);
        Tensor dx = trial.Poisoned(rows, inputs), tdy = trial.Tensor(dy, rows, outputs), tw = trial.Tensor(w, outputs, inputs);
        Tensor preActivation = trial.Tensor(saved, rows, inputs);
        trial.Launch(() => Gemm.BackwardInput(trial.Device, dx, tdy, tw, preActivation: preActivation, kind: kind));
        (double[] exact, float[] plain) = GemmReference.BackwardInput(dy, w, rows, inputs, outputs);
        trial.Compare(
            "dx", dx,
            [.. exact.Zip(saved, (s, v) => s * ActivationReference.Derivative(v, kind))],
            [.. plain.Zip(saved, (s, v) => (double)(s * ActivationReference.PlainDerivative(v, kind)))]);
    }

    private static void BackwardWeight(Trial trial, Dimensions d)
    {
        // The sum runs over the rows here: exchange the roles so that the long sums of the shapes are long here too.
        (int inputs, int rows, int outputs) = d;
        float[] dy = trial.Normal((long)rows * outputs), x = trial.Normal((long)rows * inputs);
        float[] oldWeight = trial.Normal((long)outputs * inputs), oldBias = trial.Normal(outputs);
        Tensor dw = trial.Tensor(oldWeight, outputs, inputs), dbias = trial.Tensor(oldBias, outputs), alone = trial.Tensor(oldWeight, outputs, inputs);
        Tensor tdy = trial.Tensor(dy, rows, outputs), tx = trial.Tensor(x, rows, inputs);
        trial.Launch(() => Gemm.BackwardWeight(trial.Device, dw, dbias, tdy, tx));
        trial.Launch(() => Gemm.BackwardWeight(trial.Device, alone, default, tdy, tx));
        (double[] exact, float[] plain) = GemmReference.BackwardWeight(dy, x, rows, inputs, outputs);
        (double[] exactBias, float[] plainBias) = GemmReference.ColumnSums(dy, rows, outputs);
        CompareSum(trial, "dw", dw, exact, plain, oldWeight);
        CompareSum(trial, "dw without dbias", alone, exact, plain, oldWeight);
        CompareSum(trial, "dbias", dbias, exactBias, plainBias, oldBias);
    }

    private static void CompareSum(Trial trial, string output, Tensor actual, double[] exact, float[] plain, float[] old) =>
        trial.Compare(output, actual, [.. exact.Zip(old, (s, o) => s + o)], [.. plain.Zip(old, (s, o) => (double)(s + o))]);

    /// <summary>Which parts an epilogue has.</summary>
    private readonly record struct GemmCase(bool Bias, ActivationKind? Activation, bool Save, bool Residual)
    {
        public override string ToString()
        {
            string[] parts = [Bias ? "bias" : "", Activation?.ToString() ?? "", Save ? "saved pre-activation" : "", Residual ? "residual" : ""];
            return string.Join(", ", parts.Where(part => part != "").DefaultIfEmpty("no epilogue"));
        }
    }
}
