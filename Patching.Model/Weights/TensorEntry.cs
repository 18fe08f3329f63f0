using System.Collections.Immutable;

namespace Patching.Model.Weights;

/// <summary>Element types, by their names in the header of a safetensors file. PyTorch has no others that are read here.</summary>
public enum SafetensorsType
{
    /// <summary>One byte, 0 or 1.</summary>
    BOOL,

    /// <summary>Unsigned 8-bit integer.</summary>
    U8,

    /// <summary>Signed 8-bit integer.</summary>
    I8,

    /// <summary>8-bit float, 5 exponent and 2 mantissa bits.</summary>
    F8_E5M2,

    /// <summary>8-bit float, 4 exponent and 3 mantissa bits.</summary>
    F8_E4M3,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>IEEE 754 binary16.</summary>
    F16,

    /// <summary>The upper half of a binary32.</summary>
    BF16,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>IEEE 754 binary32.</summary>
    F32,

    /// <summary>IEEE 754 binary64.</summary>
    F64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,
}

/// <summary>A tensor of a file: what its header says of it. Where its bytes are is known to the file.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Sizes, outermost first; empty for a scalar. Their product has been checked to fit 64 bits.</param>
public record TensorEntry(string Name, SafetensorsType DType, ImmutableArray<long> Shape)
{
    /// <summary>Number of elements: the product of the shape, 1 for a scalar.</summary>
    public long Elements => Shape.Aggregate(1L, (count, size) => count * size);

    /// <summary>The shape as text, <c>[512, 768]</c>; very long ones are cut.</summary>
    public string ShapeText =>
        Shape.Length <= 8 ? $"[{string.Join(", ", Shape)}]" : $"[{string.Join(", ", Shape.Take(8))}, ... {Shape.Length} sizes]";

    /// <summary>Bytes of one element.</summary>
    public static int ElementSize(SafetensorsType type) => type switch
    {
        SafetensorsType.BOOL or SafetensorsType.U8 or SafetensorsType.I8 or SafetensorsType.F8_E5M2 or SafetensorsType.F8_E4M3 => 1,
        SafetensorsType.I16 or SafetensorsType.U16 or SafetensorsType.F16 or SafetensorsType.BF16 => 2,
        SafetensorsType.I32 or SafetensorsType.U32 or SafetensorsType.F32 => 4,
        _ => 8,
    };

    /// <summary>Whether elements of this type can be read as float32: F32, F16, BF16 and F64 can.</summary>
    public static bool IsFloat(SafetensorsType type) =>
        type is SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16 or SafetensorsType.F64;

    /// <summary>Bytes of this many elements of the shape; -1 where the product does not fit 64 bits.</summary>
    internal static long ByteCount(SafetensorsType type, IEnumerable<long> shape)
    {
        Int128 bytes = ElementSize(type);
        foreach (long size in shape)
        {
            bytes *= size;
            if (bytes > long.MaxValue) return -1;
        }
        return (long)bytes;
    }
}

/// <summary>A tensor of a safetensors file.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Sizes, outermost first; empty for a scalar.</param>
/// <param name="Offset">First byte, counted from the beginning of the file. Not necessarily a multiple of the element size.</param>
/// <param name="Length">Number of bytes; always the number of elements times the element size.</param>
public sealed record SafetensorsEntry(string Name, SafetensorsType DType, ImmutableArray<long> Shape, long Offset, long Length)
    : TensorEntry(Name, DType, Shape);
