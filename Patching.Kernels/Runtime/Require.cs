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

    /// <summary>The device is CUDA: bfloat16 is computed nowhere else.</summary>
    public static void Cuda(Device device, string kernel)
    {
        if (device.Kind != DeviceKind.Cuda)
            throw new ArgumentException($"{kernel}: bfloat16 tensors need a CUDA device, not {device.Name}; use single precision");
    }

    /// <summary>The tensor's elements have this type.</summary>
    public static void Type(Tensor tensor, string name, ElementType type)
    {
        if (tensor.Type != type) throw new ArgumentException($"{name}: expected {type}, got {tensor}");
    }

    /// <summary>The tensor can hold the bfloat16 copy of another.</summary>
    public static void Rounded(Tensor rounded, Tensor original)
    {
        Type(rounded, "rounded", ElementType.BFloat16);
        SameCount(rounded, original);
    }

    /// <summary>A one-dimensional launch of <paramref name="count"/> threads; ILGPU's indices are 32 bits wide.</summary>
    public static Index1D Extent(long count) => new(checked((int)count));
}
