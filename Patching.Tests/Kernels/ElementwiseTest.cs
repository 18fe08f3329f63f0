using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>
/// Base of the tests of element-wise and row-wise kernels. NUnit orders NaN below every number, so an upper bound on an error holds for
/// NaN; here an element that was never written is found before errors are measured.
/// </summary>
internal abstract class ElementwiseTest(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    /// <summary>Every element is a number, and the errors are within the bound of the project.</summary>
    protected new void AssertClose(Tensor actual, double[] reference, double[] plainFloat, string what)
    {
        float[] values = Contents(actual);
        Assert.That(reference, Has.None.NaN, $"{what}: reference");
        Assert.That(Array.FindIndex(values, float.IsNaN), Is.EqualTo(-1), $"{what}: first element that is NaN");
        AssertClose(values, reference, plainFloat, what);
    }
}
