namespace Patching.Kernels;

/// <summary>What one check of <see cref="SelfTest"/> found.</summary>
/// <param name="Kernel">The launcher and its variant, such as <c>Attention.Backward causal</c>.</param>
/// <param name="Shape">The dimensions in the order of the launcher's documentation.</param>
/// <param name="Error">Largest difference to the reference, in the output that comes closest to its bound; NaN if there is no result.</param>
/// <param name="AllowedError">The bound of that output; NaN if there is no result.</param>
/// <param name="Time">Time of all launches of the check until they are done, with the kernels' compilation the first time.</param>
/// <param name="Failure">Why it failed, in one line; null if it passed.</param>
public sealed record SelfTestResult(string Kernel, string Shape, double Error, double AllowedError, TimeSpan Time, string? Failure)
{
    /// <summary>Whether everything was within its bound.</summary>
    public bool Passed => Failure is null;
}
