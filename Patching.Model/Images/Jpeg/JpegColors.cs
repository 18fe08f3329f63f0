using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Patching.Model.Images;

/// <summary>
/// From the planes of a JPEG to RGB as libjpeg does it: colour differences are enlarged by linear interpolation, then turned into colours
/// in integers.
/// </summary>
internal static unsafe class JpegColors
{
    /// <summary>Samples computed at once; rows must have room for a multiple.</summary>
    public const int Step = 16;

    /// <summary>
    /// Doubles a row: each sample becomes two, of three quarters of itself and a quarter of its left or right neighbour; outermost ones are
    /// their own neighbours.
    /// </summary>
    /// <param name="wide">Two bytes per sum, and up to 31 more; written.</param>
    /// <param name="sums">Samples, or sums of <see cref="AddRows"/>; the places before the first and behind the last are written.</param>
    /// <param name="count">Number of sums.</param>
    /// <param name="isSum">Whether they are sums of two rows, four times as large as samples.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Widen(byte* wide, ushort* sums, int count, bool isSum)
    {
        (sums[-1], sums[count]) = (sums[0], sums[count - 1]);
        (ushort left, ushort right, int shift) = isSum ? ((ushort)8, (ushort)7, 4) : ((ushort)1, (ushort)2, 2);
        Vector256<ushort> roundLeft = Vector256.Create(left), roundRight = Vector256.Create(right);
        for (int i = 0; i < count; i += Step)
        {
            Vector256<ushort> sum = Vector256.Load(sums + i), triple = sum + sum + sum;
            Vector256<ushort> even = (triple + Vector256.Load(sums + i - 1) + roundLeft) >> shift;
            Vector256<ushort> odd = (triple + Vector256.Load(sums + i + 1) + roundRight) >> shift;
            (even | odd << 8).AsByte().Store(wide + 2 * i);
        }
    }

    /// <summary>Writes three times one row plus another.</summary>
    public static void AddRows(ushort* sums, byte* near, byte* far, int count)
    {
        for (int i = 0; i < count; i += Step)
        {
            Vector256<ushort> a = Avx2.ConvertToVector256Int16(near + i).AsUInt16(), b = Avx2.ConvertToVector256Int16(far + i).AsUInt16();
            (a + a + a + b).Store(sums + i);
        }
    }

    /// <summary>Widens bytes.</summary>
    public static void Copy(ushort* sums, byte* row, int count)
    {
        for (int i = 0; i < count; i += Step) Avx2.ConvertToVector256Int16(row + i).Store((short*)sums + i);
    }

    /// <summary>
    /// Writes pixels: with cb and cr less 128, <c>R = y + 1.402 cr, G = y - 0.34414 cb - 0.71414 cr, B = y + 1.772 cb</c>, constants in
    /// units of 2^-16, rounded half up.
    /// </summary>
    /// <param name="rgb">Three bytes per pixel, and up to 47 more; written.</param>
    /// <param name="y">Brightness.</param>
    /// <param name="cb">Colour difference.</param>
    /// <param name="cr">Colour difference.</param>
    /// <param name="count">Number of pixels.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToRgb(byte* rgb, byte* y, byte* cb, byte* cr, int count)
    {
        Vector256<short> middle = Vector256.Create((short)128);
        // What is left of the constants, times 2^16, when whole ones are taken out: 1.402 = 1 + ..., 1.772 = 2 - ..., 0.71414 = 1 - ...
        Vector256<short> red = Vector256.Create((short)26345), blue = Vector256.Create((short)-14942);
        Vector256<short> green = Vector256.Create(-22554 & 0xFFFF | 18734 << 16).AsInt16();
        Vector256<int> half = Vector256.Create(1 << 15);
        for (int i = 0; i < count; i += Step, rgb += 3 * Step)
        {
            Vector256<short> light = Avx2.ConvertToVector256Int16(y + i);
            Vector256<short> b = Avx2.ConvertToVector256Int16(cb + i) - middle, r = Avx2.ConvertToVector256Int16(cr + i) - middle;
            // (c x + 2^15) >> 16 is ((2 x c >> 16) + 1) >> 1.
            Vector256<short> r1 = light + r + ((Avx2.MultiplyHigh(r + r, red) + Vector256<short>.One) >> 1);
            Vector256<short> b1 = light + b + b + ((Avx2.MultiplyHigh(b + b, blue) + Vector256<short>.One) >> 1);
            Vector256<int> low = (Avx2.MultiplyAddAdjacent(Avx2.UnpackLow(b, r), green) + half) >> 16;
            Vector256<int> high = (Avx2.MultiplyAddAdjacent(Avx2.UnpackHigh(b, r), green) + half) >> 16;
            Vector256<short> g1 = light - r + Avx2.PackSignedSaturate(low, high);
            StorePixels(rgb, Avx2.PackUnsignedSaturate(r1, g1), Avx2.PackUnsignedSaturate(b1, b1));
        }
    }

    /// <summary>Writes pixels of one brightness in all colours.</summary>
    public static void GrayToRgb(byte* rgb, byte* y, int count)
    {
        for (int i = 0; i < count; i++, rgb += 3) rgb[0] = rgb[1] = rgb[2] = y[i];
    }

    /// <summary>Each half of the vectors holds eight pixels: eight bytes of red, eight of green; eight of blue.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StorePixels(byte* rgb, Vector256<byte> redGreen, Vector256<byte> blue)
    {
        const byte none = 0x80;
        Vector128<byte> rg = Vector128.Create((byte)0, 8, none, 1, 9, none, 2, 10, none, 3, 11, none, 4, 12, none, 5);
        Vector128<byte> b = Vector128.Create(none, none, (byte)0, none, none, 1, none, none, 2, none, none, 3, none, none, 4, none);
        Vector128<byte> rg2 = Vector128.Create((byte)13, none, 6, 14, none, 7, 15, none, none, none, none, none, none, none, none, none);
        Vector128<byte> b2 = Vector128.Create(none, (byte)5, none, none, 6, none, none, 7, none, none, none, none, none, none, none, none);
        Vector256<byte> first = Avx2.Shuffle(redGreen, Vector256.Create(rg, rg)) | Avx2.Shuffle(blue, Vector256.Create(b, b));
        Vector256<byte> rest = Avx2.Shuffle(redGreen, Vector256.Create(rg2, rg2)) | Avx2.Shuffle(blue, Vector256.Create(b2, b2));
        first.GetLower().Store(rgb);
        Unsafe.WriteUnaligned(rgb + 16, rest.AsUInt64()[0]);
        first.GetUpper().Store(rgb + 24);
        Unsafe.WriteUnaligned(rgb + 40, rest.AsUInt64()[2]);
    }
}
