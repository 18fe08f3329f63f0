using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Patching.Model.Images;

/// <summary>
/// The inverse discrete cosine transform of 8 x 8 coefficients as libjpeg's accurate integer method has it: the factorisation of Loeffler,
/// Ligtenberg and Moschytz (1989), constants in units of 2^-13, columns first with two more bits kept in between, rounded half up. Eight
/// columns, then eight rows, are done at a time.
/// </summary>
internal static unsafe class InverseDct
{
    private const int ConstantBits = 13;
    private const int KeptBits = 2;

    // The constants times 2^13; the names are their first digits, 0541 is 0.541196100.
    private const int C0299 = 2446;
    private const int C0390 = 3196;
    private const int C0541 = 4433;
    private const int C0765 = 6270;
    private const int C0900 = 7373;
    private const int C1176 = 9633;
    private const int C1501 = 12299;
    private const int C1848 = 15137;
    private const int C1962 = 16069;
    private const int C2053 = 16819;
    private const int C2563 = 20995;
    private const int C3073 = 25172;

    /// <summary>Whether this processor has the instructions.</summary>
    public static bool IsSupported => Avx2.IsSupported;

    /// <summary>Writes the 8 x 8 samples of a block.</summary>
    /// <param name="samples">The first.</param>
    /// <param name="stride">Bytes from one row to the next.</param>
    /// <param name="block">64 coefficients, row by row.</param>
    /// <param name="last">Place of the last that is not zero in zigzag order.</param>
    /// <returns>
    /// Whether every number in between fits 16 bits and every sample, before it is clamped to 8, fits 10. What comes of others depends on
    /// the decoder: libjpeg lets them wrap around, its vector code does not.
    /// </returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool Transform(byte* samples, nint stride, int* block, int last)
    {
        if (last == 0)
        {
            int level = (block[0] + 4) >> 3;
            ulong eight = (ulong)Math.Clamp(level + 128, 0, 255) * 0x0101_0101_0101_0101;
            for (int row = 0; row < 8; row++, samples += stride) Unsafe.WriteUnaligned(samples, eight);
            return level is >= -512 and < 512;
        }
        Lines a = new(block);
        Vector256<int> beyond = a.Beyond(16);
        a.Transform(ConstantBits - KeptBits);
        beyond |= a.Beyond(16);
        a.Transpose();
        a.Transform(ConstantBits + KeptBits + 3);
        beyond |= a.Beyond(10);
        a.StoreColumns(samples, stride);
        return beyond == Vector256<int>.Zero;
    }

    /// <summary>Eight vectors; each operation is done on all lanes.</summary>
    private struct Lines(int* block)
    {
        private Vector256<int> r0 = Vector256.Load(block), r1 = Vector256.Load(block + 8), r2 = Vector256.Load(block + 16);
        private Vector256<int> r3 = Vector256.Load(block + 24), r4 = Vector256.Load(block + 32), r5 = Vector256.Load(block + 40);
        private Vector256<int> r6 = Vector256.Load(block + 48), r7 = Vector256.Load(block + 56);

        /// <summary>Something else than zero where a number does not fit so many bits.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly Vector256<int> Beyond(int bits)
        {
            Vector256<int> half = Vector256.Create(1 << (bits - 1));
            Vector256<int> upper = (r0 + half) | (r1 + half) | (r2 + half) | (r3 + half);
            Vector256<int> all = upper | (r4 + half) | (r5 + half) | (r6 + half) | (r7 + half);
            return all & Vector256.Create(-1 << bits);
        }

        /// <summary>One dimension: what was coefficient k becomes sample k, times 2^(13 - shift).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Transform(int shift)
        {
            // Even coefficients: the rotation of 2 and 6, sum and difference of 0 and 4.
            Vector256<int> z1 = (r2 + r6) * Vector256.Create(C0541);
            Vector256<int> even2 = z1 - r6 * Vector256.Create(C1848), even3 = z1 + r2 * Vector256.Create(C0765);
            Vector256<int> rounding = Vector256.Create(1 << (shift - 1));
            Vector256<int> even0 = ((r0 + r4) << ConstantBits) + rounding, even1 = ((r0 - r4) << ConstantBits) + rounding;
            Vector256<int> s0 = even0 + even3, s1 = even1 + even2, s2 = even1 - even2, s3 = even0 - even3;

            // Odd coefficients.
            Vector256<int> a = r7 + r1, b = r5 + r3, c = r7 + r3, d = r5 + r1, e = (c + d) * Vector256.Create(C1176);
            c = e - c * Vector256.Create(C1962);
            d = e - d * Vector256.Create(C0390);
            a *= Vector256.Create(-C0900);
            b *= Vector256.Create(-C2563);
            Vector256<int> d0 = r7 * Vector256.Create(C0299) + a + c, d1 = r5 * Vector256.Create(C2053) + b + d;
            Vector256<int> d2 = r3 * Vector256.Create(C3073) + b + c, d3 = r1 * Vector256.Create(C1501) + a + d;

            (r0, r7) = ((s0 + d3) >> shift, (s0 - d3) >> shift);
            (r1, r6) = ((s1 + d2) >> shift, (s1 - d2) >> shift);
            (r2, r5) = ((s2 + d1) >> shift, (s2 - d1) >> shift);
            (r3, r4) = ((s3 + d0) >> shift, (s3 - d0) >> shift);
        }

        /// <summary>Lane i of vector j becomes lane j of vector i.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Transpose()
        {
            Vector256<long> a0 = Low(r0, r1), a1 = High(r0, r1), a2 = Low(r2, r3), a3 = High(r2, r3);
            Vector256<long> a4 = Low(r4, r5), a5 = High(r4, r5), a6 = Low(r6, r7), a7 = High(r6, r7);
            Vector256<int> b0 = Low(a0, a2), b1 = High(a0, a2), b2 = Low(a1, a3), b3 = High(a1, a3);
            Vector256<int> b4 = Low(a4, a6), b5 = High(a4, a6), b6 = Low(a5, a7), b7 = High(a5, a7);
            (r0, r4) = (Avx2.Permute2x128(b0, b4, 0x20), Avx2.Permute2x128(b0, b4, 0x31));
            (r1, r5) = (Avx2.Permute2x128(b1, b5, 0x20), Avx2.Permute2x128(b1, b5, 0x31));
            (r2, r6) = (Avx2.Permute2x128(b2, b6, 0x20), Avx2.Permute2x128(b2, b6, 0x31));
            (r3, r7) = (Avx2.Permute2x128(b3, b7, 0x20), Avx2.Permute2x128(b3, b7, 0x31));
        }

        /// <summary>Adds 128, clamps to bytes and writes vector i as column i.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly void StoreColumns(byte* samples, nint stride)
        {
            Vector256<short> middle = Vector256.Create((short)128);
            Vector256<byte> left = Avx2.PackUnsignedSaturate(
                Avx2.AddSaturate(Avx2.PackSignedSaturate(r0, r1), middle), Avx2.AddSaturate(Avx2.PackSignedSaturate(r2, r3), middle));
            Vector256<byte> right = Avx2.PackUnsignedSaturate(
                Avx2.AddSaturate(Avx2.PackSignedSaturate(r4, r5), middle), Avx2.AddSaturate(Avx2.PackSignedSaturate(r6, r7), middle));
            // Each half holds four columns of four rows; they become four rows of four columns.
            Vector256<byte> order = Vector256.Create(
                (byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            Vector256<int> l = Avx2.Shuffle(left, order).AsInt32(), r = Avx2.Shuffle(right, order).AsInt32();
            Vector256<long> rows01 = Low(l, r), rows23 = High(l, r);
            for (int half = 0; half < 2; half++)
            {
                Vector128<long> first = half == 0 ? rows01.GetLower() : rows01.GetUpper();
                Vector128<long> second = half == 0 ? rows23.GetLower() : rows23.GetUpper();
                Unsafe.WriteUnaligned(samples, first[0]);
                Unsafe.WriteUnaligned(samples + stride, first[1]);
                Unsafe.WriteUnaligned(samples + 2 * stride, second[0]);
                Unsafe.WriteUnaligned(samples + 3 * stride, second[1]);
                samples += 4 * stride;
            }
        }

        private static Vector256<long> Low(Vector256<int> a, Vector256<int> b) => Avx2.UnpackLow(a, b).AsInt64();

        private static Vector256<long> High(Vector256<int> a, Vector256<int> b) => Avx2.UnpackHigh(a, b).AsInt64();

        private static Vector256<int> Low(Vector256<long> a, Vector256<long> b) => Avx2.UnpackLow(a, b).AsInt32();

        private static Vector256<int> High(Vector256<long> a, Vector256<long> b) => Avx2.UnpackHigh(a, b).AsInt32();
    }
}
