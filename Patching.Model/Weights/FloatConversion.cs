using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Patching.Model.Weights;

/// <summary>
/// Little-endian floating-point formats to and from float32. To float32 is exact (F64: rounded to nearest even); from float32 rounds to
/// nearest even, overflow becomes infinite.
/// </summary>
internal static class FloatConversion
{
    /// <summary>Writes the elements as float32.</summary>
    /// <param name="destination">N values.</param>
    /// <param name="source">N elements, possibly unaligned.</param>
    /// <param name="type">F32, F16, BF16 or F64.</param>
    public static void ToFloat32(Span<float> destination, ReadOnlySpan<byte> source, SafetensorsType type)
    {
        switch (type)
        {
            case SafetensorsType.F32: MemoryMarshal.Cast<byte, float>(source).CopyTo(destination); break;
            case SafetensorsType.F16: FromHalf(destination, MemoryMarshal.Cast<byte, ushort>(source)); break;
            case SafetensorsType.BF16: FromBFloat16(destination, MemoryMarshal.Cast<byte, ushort>(source)); break;
            case SafetensorsType.F64:
                ReadOnlySpan<double> doubles = MemoryMarshal.Cast<byte, double>(source);
                for (int i = 0; i < doubles.Length; i++) destination[i] = (float)doubles[i];
                break;
            default: throw new ArgumentOutOfRangeException(nameof(type), type, "not a floating-point type");
        }
    }

    /// <summary>Writes float32 values as elements of another type.</summary>
    /// <param name="destination">N elements.</param>
    /// <param name="source">N values.</param>
    /// <param name="type">F32, F16 or BF16.</param>
    public static void FromFloat32(Span<byte> destination, ReadOnlySpan<float> source, SafetensorsType type)
    {
        switch (type)
        {
            case SafetensorsType.F32: MemoryMarshal.AsBytes(source).CopyTo(destination); break;
            case SafetensorsType.F16:
                Span<Half> halves = MemoryMarshal.Cast<byte, Half>(destination);
                for (int i = 0; i < source.Length; i++) halves[i] = (Half)source[i];
                break;
            case SafetensorsType.BF16:
                Span<ushort> words = MemoryMarshal.Cast<byte, ushort>(destination);
                for (int i = 0; i < source.Length; i++) words[i] = ToBFloat16(source[i]);
                break;
            default: throw new ArgumentOutOfRangeException(nameof(type), type, "can be written: F32, F16, BF16");
        }
    }

    /// <summary>Number of values that are NaN or infinite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static long CountNonFinite(ReadOnlySpan<float> values)
    {
        const uint exponent = 0x7f80_0000;
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(values);
        ref uint first = ref MemoryMarshal.GetReference(bits);
        var mask = new Vector<uint>(exponent);
        long count = 0;
        int i = 0;
        for (; i <= bits.Length - Vector<uint>.Count; i += Vector<uint>.Count)
        {
            Vector<uint> masked = Vector.LoadUnsafe(ref first, (nuint)i) & mask;
            // Lanes that are equal become all ones, that is -1.
            if (Vector.EqualsAny(masked, mask)) count -= Vector.Sum(Vector.AsVectorInt32(Vector.Equals(masked, mask)));
        }
        for (; i < bits.Length; i++)
            if ((bits[i] & exponent) == exponent) count++;
        return count;
    }

    /// <summary>
    /// binary16 to binary32: exponent and mantissa move up by 13 bits, which reads as value * 2^-112 (also for subnormals); a
    /// multiplication by 2^112 puts the exponent's bias right, exactly. Infinities and NaNs then need their exponent filled up.
    /// </summary>
    private static void FromHalf(Span<float> destination, ReadOnlySpan<ushort> source)
    {
        int i = 0;
        for (; i <= source.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out Vector<uint> low, out Vector<uint> high);
            FromHalf(low).CopyTo(destination[i..]);
            FromHalf(high).CopyTo(destination[(i + Vector<uint>.Count)..]);
        }
        for (; i < source.Length; i++) destination[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
    }

    private static Vector<float> FromHalf(Vector<uint> half)
    {
        Vector<uint> magnitude = (half & new Vector<uint>(0x7fff)) << 13;
        var scale = new Vector<float>(BitConverter.UInt32BitsToSingle((127 + 112) << 23));
        Vector<uint> scaled = Vector.AsVectorUInt32(Vector.AsVectorSingle(magnitude) * scale);
        Vector<uint> special = Vector.GreaterThan(magnitude, new Vector<uint>(0x0f7f_ffff)) & new Vector<uint>(0x7f80_0000);
        Vector<uint> sign = (half & new Vector<uint>(0x8000)) << 16;
        return Vector.AsVectorSingle(scaled | special | sign);
    }

    private static void FromBFloat16(Span<float> destination, ReadOnlySpan<ushort> source)
    {
        int i = 0;
        for (; i <= source.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out Vector<uint> low, out Vector<uint> high);
            Vector.AsVectorSingle(low << 16).CopyTo(destination[i..]);
            Vector.AsVectorSingle(high << 16).CopyTo(destination[(i + Vector<uint>.Count)..]);
        }
        for (; i < source.Length; i++) destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
    }

    private static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        // Rounding could carry a NaN's mantissa into the sign; a NaN keeps its upper bits and becomes quiet instead.
        if (float.IsNaN(value)) return (ushort)(bits >> 16 | 0x40);
        return (ushort)(bits + 0x7fff + (bits >> 16 & 1) >> 16);
    }
}
