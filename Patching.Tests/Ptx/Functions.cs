using System.Numerics;

namespace Patching.Tests.Ptx;

#pragma warning disable CS1712 // The types' parameters are the instruction's.

/// <summary>
/// Arithmetic, logic and comparisons as PTX defines them, one type for each so that the loops over lanes are compiled with them inlined.
/// </summary>
internal static class Functions
{
    internal readonly struct Copy<T> : IUnary<T, T>
    {
        public static T Apply(T a) => a;
    }

    internal readonly struct Add<T> : IBinary<T, T, T> where T : IAdditionOperators<T, T, T>
    {
        public static T Apply(T a, T b) => unchecked(a + b);
    }

    internal readonly struct Subtract<T> : IBinary<T, T, T> where T : ISubtractionOperators<T, T, T>
    {
        public static T Apply(T a, T b) => unchecked(a - b);
    }

    internal readonly struct Multiply<T> : IBinary<T, T, T> where T : IMultiplyOperators<T, T, T>
    {
        public static T Apply(T a, T b) => unchecked(a * b);
    }

    internal readonly struct MultiplyHigh<T> : IBinary<T, T, T> where T : IBinaryInteger<T>, IMinMaxValue<T>
    {
        public static T Apply(T a, T b)
        {
            // 64 x 64 bits without a sign need all 128 bits of the product, so unsigned operands are multiplied as such.
            int bits = 8 * a.GetByteCount();
            return T.MinValue == T.Zero
                ? T.CreateTruncating((UInt128.CreateTruncating(a) * UInt128.CreateTruncating(b)) >> bits)
                : T.CreateTruncating((Int128.CreateTruncating(a) * Int128.CreateTruncating(b)) >> bits);
        }
    }

    internal readonly struct MultiplyWide<TA, TR> : IBinary<TA, TA, TR> where TA : INumberBase<TA> where TR : INumberBase<TR>
    {
        public static TR Apply(TA a, TA b) => unchecked(TR.CreateTruncating(a) * TR.CreateTruncating(b));
    }

    internal readonly struct MultiplyAdd<T> : ITernary<T, T, T, T> where T : INumberBase<T>
    {
        public static T Apply(T a, T b, T c) => unchecked((a * b) + c);
    }

    internal readonly struct MultiplyWideAdd<TA, TR> : ITernary<TA, TA, TR, TR> where TA : INumberBase<TA> where TR : INumberBase<TR>
    {
        public static TR Apply(TA a, TA b, TR c) => unchecked((TR.CreateTruncating(a) * TR.CreateTruncating(b)) + c);
    }

    internal readonly struct FusedMultiplyAdd<T> : ITernary<T, T, T, T> where T : IFloatingPointIeee754<T>
    {
        public static T Apply(T a, T b, T c) => T.FusedMultiplyAdd(a, b, c);
    }

    /// <summary>Division by zero of integers is unspecified in PTX; all ones is what GPUs give.</summary>
    internal readonly struct DivideInteger<T> : IBinary<T, T, T> where T : IBinaryInteger<T>, IMinMaxValue<T>
    {
        public static T Apply(T a, T b) => b == T.Zero ? ~T.Zero : T.MinValue != T.Zero && b == ~T.Zero ? unchecked(T.Zero - a) : a / b;
    }

    internal readonly struct Remainder<T> : IBinary<T, T, T> where T : IBinaryInteger<T>, IMinMaxValue<T>
    {
        public static T Apply(T a, T b) => b == T.Zero ? a : T.MinValue != T.Zero && b == ~T.Zero ? T.Zero : a % b;
    }

    internal readonly struct Divide<T> : IBinary<T, T, T> where T : IDivisionOperators<T, T, T>
    {
        public static T Apply(T a, T b) => a / b;
    }

    /// <summary>The number wins over NaN, and -0 is less than +0.</summary>
    internal readonly struct Minimum<T> : IBinary<T, T, T> where T : INumber<T>
    {
        public static T Apply(T a, T b) => T.MinNumber(a, b);
    }

    internal readonly struct Maximum<T> : IBinary<T, T, T> where T : INumber<T>
    {
        public static T Apply(T a, T b) => T.MaxNumber(a, b);
    }

    internal readonly struct MinimumNaN<T> : IBinary<T, T, T> where T : INumber<T>
    {
        public static T Apply(T a, T b) => T.Min(a, b);
    }

    internal readonly struct MaximumNaN<T> : IBinary<T, T, T> where T : INumber<T>
    {
        public static T Apply(T a, T b) => T.Max(a, b);
    }

    internal readonly struct And<T> : IBinary<T, T, T> where T : IBitwiseOperators<T, T, T>
    {
        public static T Apply(T a, T b) => a & b;
    }

    internal readonly struct Or<T> : IBinary<T, T, T> where T : IBitwiseOperators<T, T, T>
    {
        public static T Apply(T a, T b) => a | b;
    }

    internal readonly struct Xor<T> : IBinary<T, T, T> where T : IBitwiseOperators<T, T, T>
    {
        public static T Apply(T a, T b) => a ^ b;
    }

    internal readonly struct Not<T> : IUnary<T, T> where T : IBitwiseOperators<T, T, T>
    {
        public static T Apply(T a) => ~a;
    }

    internal readonly struct LogicalNot<T> : IUnary<T, T> where T : INumberBase<T>
    {
        public static T Apply(T a) => T.IsZero(a) ? T.One : T.Zero;
    }

    internal readonly struct Negate<T> : IUnary<T, T> where T : INumberBase<T>
    {
        public static T Apply(T a) => unchecked(-a);
    }

    internal readonly struct AbsoluteInteger<T> : IUnary<T, T> where T : IBinaryInteger<T>
    {
        public static T Apply(T a) => unchecked(T.IsNegative(a) ? T.Zero - a : a);
    }

    internal readonly struct Absolute<T> : IUnary<T, T> where T : INumberBase<T>
    {
        public static T Apply(T a) => T.Abs(a);
    }

    internal readonly struct SelectBySign<T, TC> : ITernary<T, T, TC, T> where TC : INumber<TC>
    {
        public static T Apply(T a, T b, TC c) => c >= TC.Zero ? a : b;
    }

    /// <summary>Shifts by at least the width give zero, or the sign: the distance is clamped, not wrapped as in C#.</summary>
    internal readonly struct ShiftLeft<T> : IBinary<T, uint, T> where T : IBinaryInteger<T>
    {
        public static T Apply(T a, uint b) => b >= 8 * (uint)a.GetByteCount() ? T.Zero : a << (int)b;
    }

    internal readonly struct ShiftRight<T> : IBinary<T, uint, T> where T : IBinaryInteger<T>
    {
        public static T Apply(T a, uint b)
        {
            uint width = 8 * (uint)a.GetByteCount();
            return b >= width ? T.IsNegative(a) ? ~T.Zero : T.Zero : a >> (int)b;
        }
    }

    internal readonly struct SquareRoot<T> : IUnary<T, T> where T : IRootFunctions<T>
    {
        public static T Apply(T a) => T.Sqrt(a);
    }

    internal readonly struct Reciprocal<T> : IUnary<T, T> where T : INumberBase<T>
    {
        public static T Apply(T a) => T.One / a;
    }

    internal readonly struct ReciprocalSquareRoot<T> : IUnary<T, T> where T : IFloatingPointIeee754<T>
    {
        public static T Apply(T a) => T.CreateTruncating(1 / Math.Sqrt(double.CreateTruncating(a)));
    }

    internal readonly struct Exp2 : IUnary<float, float>
    {
        public static float Apply(float a) => (float)Math.Pow(2, a);
    }

    internal readonly struct Log2 : IUnary<float, float>
    {
        public static float Apply(float a) => (float)Math.Log2(a);
    }

    internal readonly struct Sine : IUnary<float, float>
    {
        public static float Apply(float a) => MathF.Sin(a);
    }

    internal readonly struct Cosine : IUnary<float, float>
    {
        public static float Apply(float a) => MathF.Cos(a);
    }

    /// <summary><c>tanh.approx</c> is good to 2^-11 only, and so is this: the exact value rounded to twelve bits.</summary>
    internal readonly struct Tanh : IUnary<float, float>
    {
        public static float Apply(float a)
        {
            uint bits = BitConverter.SingleToUInt32Bits(MathF.Tanh(a));
            return float.IsNaN(a) ? float.NaN : BitConverter.UInt32BitsToSingle((bits + 0x800) & 0xFFFFF000);
        }
    }

    /// <summary><c>.ftz</c>: subnormal operands and results become zero.</summary>
    internal readonly struct Flush1<TF> : IUnary<float, float> where TF : IUnary<float, float>
    {
        public static float Apply(float a) => Flush(TF.Apply(Flush(a)));
    }

    internal readonly struct Flush2<TF> : IBinary<float, float, float> where TF : IBinary<float, float, float>
    {
        public static float Apply(float a, float b) => Flush(TF.Apply(Flush(a), Flush(b)));
    }

    internal readonly struct Flush3<TF> : ITernary<float, float, float, float> where TF : ITernary<float, float, float, float>
    {
        public static float Apply(float a, float b, float c) => Flush(TF.Apply(Flush(a), Flush(b), Flush(c)));
    }

    internal readonly struct Equal<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => a == b;
    }

    internal readonly struct NotEqual<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => a < b || a > b;
    }

    internal readonly struct Less<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => a < b;
    }

    internal readonly struct LessEqual<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => a <= b;
    }

    internal readonly struct Greater<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => a > b;
    }

    internal readonly struct GreaterEqual<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => a >= b;
    }

    internal readonly struct IsNumber<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => !T.IsNaN(a) && !T.IsNaN(b);
    }

    /// <summary>Comparisons that hold when an operand is NaN are the negation of the opposite comparison.</summary>
    internal readonly struct Opposite<T, TF> : IBinary<T, T, bool> where TF : IBinary<T, T, bool>
    {
        public static bool Apply(T a, T b) => !TF.Apply(a, b);
    }

    /// <summary>Zero, of the same sign, in place of a subnormal number.</summary>
    public static float Flush(float a) => float.IsSubnormal(a) ? MathF.CopySign(0, a) : a;
}
