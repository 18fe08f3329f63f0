namespace Patching.Tests.Ptx;

/// <summary>Number formats that .NET does not convert itself.</summary>
internal static class Numbers
{
    /// <summary>The number in the lower half of a word.</summary>
    public static float FromBFloat(uint bits) => BitConverter.UInt32BitsToSingle(bits << 16);

    /// <summary>Rounds to bfloat16: to nearest, ties to even. NaN becomes the canonical 0x7FFF, as <c>cvt</c> gives it.</summary>
    public static ushort ToBFloat(float value)
    {
        if (float.IsNaN(value)) return 0x7FFF;
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Rounds to bfloat16 towards zero.</summary>
    public static ushort TruncateToBFloat(float value) => float.IsNaN(value) ? (ushort)0x7FFF : (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);

    /// <summary>Rounds to the ten bits of TF32: to nearest, ties away from zero.</summary>
    public static uint ToTensorFloat(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsFinite(value) ? (bits + 0x1000) & 0xFFFFE000 : bits;
    }

    /// <summary>The bits of a register as a number of its type.</summary>
    public static double ToDouble(ulong bits, PtxType type) => type switch
    {
        PtxType.F64 => BitConverter.UInt64BitsToDouble(bits),
        PtxType.F32 or PtxType.TF32 => BitConverter.UInt32BitsToSingle((uint)bits),
        PtxType.F16 => (double)BitConverter.UInt16BitsToHalf((ushort)bits),
        PtxType.BF16 => FromBFloat((uint)bits),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "no floating-point type"),
    };

    /// <summary>The bits of an integer register, extended to 128 bits according to its type.</summary>
    public static Int128 ToInteger(ulong bits, PtxType type) => type switch
    {
        PtxType.S8 => (sbyte)bits,
        PtxType.S16 => (short)bits,
        PtxType.S32 => (int)bits,
        PtxType.S64 => (long)bits,
        PtxType.U8 or PtxType.B8 => (byte)bits,
        PtxType.U16 or PtxType.B16 => (ushort)bits,
        PtxType.U32 or PtxType.B32 => (uint)bits,
        _ => bits,
    };

    /// <summary>Least and greatest integer of a type.</summary>
    public static (Int128 Least, Int128 Greatest) Range(PtxType type)
    {
        int bits = 8 * type.Size();
        return type.IsSigned() ? (-(Int128.One << (bits - 1)), (Int128.One << (bits - 1)) - 1) : (0, (Int128.One << bits) - 1);
    }
}
