namespace Patching.Kernels;

/// <summary>
/// Checks every kernel family on the machine it runs on against references in double precision: random inputs, outputs poisoned with NaN, buffers that are
/// accumulated into filled with numbers, a shape with ragged tails and one of a model. What a user runs first on new hardware.
/// </summary>
public static class SelfTest
{
    /// <summary>
    /// Runs all checks, one result after the other. A kernel that does not compile, throws or gives wrong numbers is one failed result with its reason, and the
    /// rest goes on, on a freshly opened device: a failed compilation leaves an ILGPU context unusable.
    /// </summary>
    /// <param name="open">Opens the device to check; called again after a failure.</param>
    /// <param name="seed">Seed of the inputs; every check derives its own, so that one that fails can be repeated.</param>
    /// <param name="small">Small shapes only, for tools that watch every access of a GPU and slow it down; the simulator always gets them.</param>
    /// <exception cref="DeviceException">The device cannot be opened in the first place.</exception>
    public static IEnumerable<SelfTestResult> Run(Func<Device> open, int seed, bool small = false) =>
        Run(open, seed, device => Checks(device, small || device.Kind == DeviceKind.Simulator));

    /// <summary>Runs checks that are made for the opened device.</summary>
    internal static IEnumerable<SelfTestResult> Run(Func<Device> open, int seed, Func<Device, IEnumerable<SelfTestCheck>> checks)
    {
        Device? device = open();
        try
        {
            int number = 0;
            foreach (SelfTestCheck check in checks(device).ToArray())
            {
                SelfTestResult result;
                // Knuth's multiplicative hash spreads neighbouring numbers.
                int ownSeed = unchecked(seed + number++ * (int)2654435761);
                (device, result) = Run(device, open, check, new Random(ownSeed));
                yield return result;
            }
        }
        finally
        {
            Close(device);
        }
    }

    private static (Device? Device, SelfTestResult Result) Run(Device? device, Func<Device> open, SelfTestCheck check, Random random)
    {
        Trial? trial = null;
        try
        {
            device ??= open();
            trial = new Trial(device, random);
            check.Run(trial);
            trial.Dispose();
            return (device, trial.Result(check, trial.Failure));
        }
        // Whatever a compiler or a driver throws, here it is a finding.
        catch (Exception error)
        {
            Close(trial);
            Close(device);
            string reason = OneLine(error);
            return (null, trial?.Result(check, reason) ?? new SelfTestResult(check.Kernel, check.Shape, double.NaN, double.NaN, TimeSpan.Zero, reason));
        }
    }

    private static void Close(IDisposable? owner)
    {
        try
        {
            owner?.Dispose();
        }
        catch (Exception)
        {
            // After a failed launch even the release of memory may fail; the reason that counts is already in a result.
        }
    }

    // ILGPU wraps what the compiler found; the innermost message says it. Our own errors say more than what they wrap.
    private static string OneLine(Exception error)
    {
        Exception cause = error is DeviceException ? error : error.GetBaseException();
        string message = string.Join(' ', cause.Message.Split(['\r', '\n', ' '], StringSplitOptions.RemoveEmptyEntries));
        return $"{cause.GetType().Name}: {message}";
    }

    /// <summary>Every check for a device: all launchers in single precision and, where the device has bfloat16, those of mixed precision.</summary>
    private static IEnumerable<SelfTestCheck> Checks(Device device, bool small)
    {
        IEnumerable<SelfTestCheck> single =
        [
            .. GemmChecks.All(small), .. AttentionChecks.All(small), .. LayerNormChecks.All(small), .. ActivationChecks.All(small),
            .. EmbeddingChecks.All(small), .. LossChecks.All(small), .. OptimizerChecks.All(small), .. ResNetChecks.All(small),
        ];
        return device.SupportsBFloat16
            ? [.. single, .. RoundedGemmChecks.All(small), .. RoundedAttentionChecks.All(small), .. RoundedRowChecks.All(small)]
            : single;
    }
}
