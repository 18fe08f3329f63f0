namespace Patching.Kernels;

/// <summary>Self-test of <see cref="Activation"/>, both kinds.</summary>
internal static class ActivationChecks
{
    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        int[] counts = small ? [7, 1031] : [7, 1031, 197 * 3072];
        foreach (ActivationKind kind in Enum.GetValues<ActivationKind>())
            foreach (int count in counts)
            {
                yield return new SelfTestCheck($"Activation.Forward {kind}", $"{count}", trial => Forward(trial, count, kind));
                yield return new SelfTestCheck($"Activation.Backward {kind}", $"{count}", trial => Backward(trial, count, kind));
            }
    }

    private static void Forward(Trial trial, int count, ActivationKind kind)
    {
        float[] x = trial.Normal(count, 3);
        Tensor y = trial.Poisoned(count), tx = trial.Tensor(x, count);
        trial.Launch(() => Activation.Forward(trial.Device, y, tx, kind));
        trial.Compare(
            "y", y, [.. x.Select(v => ActivationReference.Value(v, kind))], [.. x.Select(v => (double)ActivationReference.PlainValue(v, kind))]);
    }

    private static void Backward(Trial trial, int count, ActivationKind kind)
    {
        float[] x = trial.Normal(count, 3), dy = trial.Normal(count);
        Tensor dx = trial.Poisoned(count), tdy = trial.Tensor(dy, count), tx = trial.Tensor(x, count);
        trial.Launch(() => Activation.Backward(trial.Device, dx, tdy, tx, kind));
        trial.Compare(
            "dx", dx,
            [.. x.Zip(dy, (v, d) => d * ActivationReference.Derivative(v, kind))],
            [.. x.Zip(dy, (v, d) => (double)(d * ActivationReference.PlainDerivative(v, kind)))]);
    }
}
