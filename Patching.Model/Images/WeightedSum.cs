using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Patching.Model.Images;

/// <summary>
/// The arithmetic of both resampling passes: 48 neighbouring bytes (16 RGB pixels) of the output are the weighted sum of 48 neighbouring
/// bytes of some rows, <c>out[b] = clamp((2^21 + sum_t weight[t] * row[t][b]) >> 22, 0, 255)</c>. All sums are 32-bit integers, so every
/// set of instructions gives the same bits; they cannot overflow, since the weights' magnitudes add up to less than 1.5 * 2^22.
/// </summary>
internal static unsafe class WeightedSum
{
    /// <summary>Bytes computed by one call.</summary>
    public const int BlockBytes = 48;

    private const int Half = 1 << (BicubicWeights.FractionBits - 1);

    /// <summary>Which instructions carry the sum out.</summary>
    public enum Instructions
    {
        /// <summary>One byte after the other.</summary>
        Scalar,

        /// <summary>Portable 128-bit vectors (SSE4.1, AdvSimd).</summary>
        Portable128,

        /// <summary>AVX2.</summary>
        Avx2,

        /// <summary>AVX-512.</summary>
        Avx512,
    }

    /// <summary>True when this processor can execute them.</summary>
    public static bool IsSupported(Instructions set) => set switch
    {
        Instructions.Portable128 => Vector128.IsHardwareAccelerated,
        Instructions.Avx2 => Avx2.IsSupported,
        Instructions.Avx512 => Avx512F.IsSupported,
        _ => true,
    };

    /// <summary>The fastest that this processor can execute.</summary>
    public static Instructions Best { get; } =
        IsSupported(Instructions.Avx512) ? Instructions.Avx512
        : IsSupported(Instructions.Avx2) ? Instructions.Avx2
        : IsSupported(Instructions.Portable128) ? Instructions.Portable128
        : Instructions.Scalar;

    /// <summary>Writes 48 bytes.</summary>
    /// <param name="set">Instructions to use; must be supported.</param>
    /// <param name="destination">48 bytes, not among the rows.</param>
    /// <param name="firstRow">48 readable bytes in each of the rows.</param>
    /// <param name="rowStride">Bytes from one row to the next.</param>
    /// <param name="weights">One weight per row, in units of 2^-22.</param>
    /// <param name="rows">Number of rows.</param>
    public static void Block(Instructions set, byte* destination, byte* firstRow, nint rowStride, int* weights, int rows)
    {
        if (set == Instructions.Avx512) BlockAvx512(destination, firstRow, rowStride, weights, rows);
        else if (set == Instructions.Avx2) BlockAvx2(destination, firstRow, rowStride, weights, rows);
        else if (set == Instructions.Portable128) BlockPortable128(destination, firstRow, rowStride, weights, rows);
        else BlockScalar(destination, firstRow, rowStride, weights, rows);
    }

    private static void BlockScalar(byte* destination, byte* firstRow, nint rowStride, int* weights, int rows)
    {
        for (int b = 0; b < BlockBytes; b++)
        {
            int sum = Half;
            for (int t = 0; t < rows; t++) sum += weights[t] * firstRow[t * rowStride + b];
            destination[b] = (byte)Math.Clamp(sum >> BicubicWeights.FractionBits, 0, 255);
        }
    }

    private static void BlockPortable128(byte* destination, byte* firstRow, nint rowStride, int* weights, int rows)
    {
        for (int b = 0; b < BlockBytes; b += 16)
        {
            Vector128<int> s0 = Vector128.Create(Half), s1 = s0, s2 = s0, s3 = s0;
            byte* row = firstRow + b;
            for (int t = 0; t < rows; t++, row += rowStride)
            {
                (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(Vector128.Load(row));
                Vector128<int> w = Vector128.Create(weights[t]);
                s0 += w * Vector128.WidenLower(low).AsInt32();
                s1 += w * Vector128.WidenUpper(low).AsInt32();
                s2 += w * Vector128.WidenLower(high).AsInt32();
                s3 += w * Vector128.WidenUpper(high).AsInt32();
            }
            Store(destination + b, s0, s1, s2, s3);
        }
    }

    private static void BlockAvx2(byte* destination, byte* firstRow, nint rowStride, int* weights, int rows)
    {
        Vector256<int> s0 = Vector256.Create(Half), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
        byte* row = firstRow;
        for (int t = 0; t < rows; t++, row += rowStride)
        {
            Vector256<int> w = Vector256.Create(weights[t]);
            s0 += w * Avx2.ConvertToVector256Int32(row);
            s1 += w * Avx2.ConvertToVector256Int32(row + 8);
            s2 += w * Avx2.ConvertToVector256Int32(row + 16);
            s3 += w * Avx2.ConvertToVector256Int32(row + 24);
            s4 += w * Avx2.ConvertToVector256Int32(row + 32);
            s5 += w * Avx2.ConvertToVector256Int32(row + 40);
        }
        Store(destination, s0.GetLower(), s0.GetUpper(), s1.GetLower(), s1.GetUpper());
        Store(destination + 16, s2.GetLower(), s2.GetUpper(), s3.GetLower(), s3.GetUpper());
        Store(destination + 32, s4.GetLower(), s4.GetUpper(), s5.GetLower(), s5.GetUpper());
    }

    private static void BlockAvx512(byte* destination, byte* firstRow, nint rowStride, int* weights, int rows)
    {
        Vector512<int> s0 = Vector512.Create(Half), s1 = s0, s2 = s0;
        byte* row = firstRow;
        for (int t = 0; t < rows; t++, row += rowStride)
        {
            Vector512<int> w = Vector512.Create(weights[t]);
            s0 += w * Avx512F.ConvertToVector512Int32(Vector128.Load(row));
            s1 += w * Avx512F.ConvertToVector512Int32(Vector128.Load(row + 16));
            s2 += w * Avx512F.ConvertToVector512Int32(Vector128.Load(row + 32));
        }
        Store(destination, s0);
        Store(destination + 16, s1);
        Store(destination + 32, s2);
    }

    private static void Store(byte* destination, Vector512<int> sum)
    {
        Vector512<int> rounded = Vector512.Max(sum >> BicubicWeights.FractionBits, Vector512<int>.Zero);
        Avx512F.ConvertToVector128ByteWithSaturation(rounded.AsUInt32()).Store(destination);
    }

    private static void Store(byte* destination, Vector128<int> s0, Vector128<int> s1, Vector128<int> s2, Vector128<int> s3)
    {
        Vector128<short> low = Vector128.Narrow(Level(s0), Level(s1));
        Vector128<short> high = Vector128.Narrow(Level(s2), Level(s3));
        Vector128.Narrow(low.AsUInt16(), high.AsUInt16()).Store(destination);
    }

    private static Vector128<int> Level(Vector128<int> sum) => Vector128.Clamp(
        sum >> BicubicWeights.FractionBits, Vector128<int>.Zero, Vector128.Create(255));
}
