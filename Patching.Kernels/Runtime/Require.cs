using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// What every launcher checks before it launches: a wrong shape must fail in the call that is wrong, not as garbage three layers later.
/// </summary>
internal static class Require
{
    /// <summary>The tensor has exactly this shape.</summary>
    public static void Shape(Tensor tensor, string name, params ReadOnlySpan<int> extents)
    {
        Shape expected = new(extents);
        if (!tensor.Exists || tensor.Shape != expected) throw new ArgumentException($"{name}: expected shape {expected}, got {tensor}");
    }

    /// <summary>The tensor, seen as a matrix, has this many rows and columns.</summary>
    public static void Matrix(Tensor tensor, string name, int rows, int columns)
    {
        if (!tensor.Exists || tensor.Rows != rows || tensor.Columns != columns)
            throw new ArgumentException($"{name}: expected {rows} rows of {columns}, got {tensor}");
    }

    /// <summary>The tensor has this many elements.</summary>
    public static void Count(Tensor tensor, string name, long count)
    {
        if (tensor.Count != count) throw new ArgumentException($"{name}: expected {count} elements, got {tensor}");
    }

    /// <summary>Both tensors have the same number of elements.</summary>
    public static void SameCount(Tensor a, Tensor b)
    {
        if (a.Count != b.Count || !a.Exists) throw new ArgumentException($"tensors of different size: {a} and {b}");
    }

    /// <summary>A one-dimensional launch of <paramref name="count"/> threads; ILGPU's indices are 32 bits wide.</summary>
    public static Index1D Extent(long count) => new(checked((int)count));
}
