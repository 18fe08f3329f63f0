namespace Patching.Kernels;

/// <summary>
/// bfloat16 on the processor: sign, 8 bits of exponent and 7 of fraction, the upper half of a single-precision number. Tensor cores multiply it exactly and add
/// in single precision.
/// </summary>
public static class BFloat16
{
    /// <summary>The nearest bfloat16, ties to even, as <c>cvt.rn.bf16.f32</c> rounds; NaN stays NaN.</summary>
    public static ushort FromSingle(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value)) return 0x7FFF;
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>The same number in single precision; exact.</summary>
    public static float ToSingle(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>The number rounded to bfloat16.</summary>
    public static float Round(float value) => ToSingle(FromSingle(value));
}
