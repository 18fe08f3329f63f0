namespace Patching.Kernels;

/// <summary>
/// One row of the self-test: a launcher at a shape, compared with a reference. Shapes have more than one element per sum and per output: where a result is exactly
/// zero, or one number that happens to be rounded luckily, the plain version has no error to allow, and a GPU that fuses a multiplication with an addition would fail
/// for being more exact.
/// </summary>
/// <param name="Kernel">The launcher and its variant.</param>
/// <param name="Shape">Its dimensions.</param>
/// <param name="Run">Makes inputs, launches, compares.</param>
internal sealed record SelfTestCheck(string Kernel, string Shape, Action<Trial> Run);
