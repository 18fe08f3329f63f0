namespace Patching.Kernels;

/// <summary>Type of a tensor's elements.</summary>
public enum ElementType
{
    /// <summary>IEEE single precision, 4 bytes.</summary>
    Float32,

    /// <summary>Signed 32-bit integer: token ids, labels.</summary>
    Int32,

    /// <summary>Unsigned byte: pixels.</summary>
    UInt8,

    /// <summary>bfloat16, 2 bytes: the upper half of a single-precision number, as tensor cores read it.</summary>
    BFloat16,
}

/// <summary>Facts about element types.</summary>
public static class ElementTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Bytes(this ElementType type) => type switch
    {
        ElementType.UInt8 => 1,
        ElementType.BFloat16 => 2,
        _ => 4,
    };
}
