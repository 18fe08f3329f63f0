using System.Numerics;
using static Patching.Tests.Ptx.Functions;

namespace Patching.Tests.Ptx;

/// <content>Arithmetic, logic, comparisons and selection.</content>
internal sealed partial class PtxDecoder
{
    private static readonly HashSet<string> s_arithmetic =
    [
        "add", "sub", "mul", "mad", "fma", "div", "rem", "min", "max", "abs", "neg", "sqrt", "rsqrt", "rcp", "ex2", "lg2", "sin", "cos", "tanh", "copysign", "testp",
        "and", "or", "xor", "not", "cnot", "shl", "shr", "shf", "bfe", "bfi", "prmt", "popc", "clz", "brev", "bfind", "lop3",
    ];

    private Operation DecodeArithmetic()
    {
        if (_parts[0] == "slct") return DecodeSelectBySign();
        if (!s_arithmetic.Contains(_parts[0])) throw Unsupported();
        PtxType type = LastType();
        return type switch
        {
            PtxType.U16 or PtxType.B16 => IntegerOperation<ushort>(type),
            PtxType.S16 => IntegerOperation<short>(type),
            PtxType.U32 or PtxType.B32 => IntegerOperation<uint>(type),
            PtxType.S32 => IntegerOperation<int>(type),
            PtxType.U64 or PtxType.B64 => IntegerOperation<ulong>(type),
            PtxType.S64 => IntegerOperation<long>(type),
            PtxType.F32 => SingleOperation(),
            PtxType.F64 => FloatOperation<double>(type),
            PtxType.BF16X2 => PairOperation(),
            PtxType.Pred => PredicateOperation(),
            _ => throw Unsupported(),
        };
    }

    /// <summary><c>slct</c>: a where c is not negative, otherwise (also for NaN) b.</summary>
    private Operation DecodeSelectBySign()
    {
        Expect(4);
        PtxType[] types = [.. _parts.Skip(1).Select(PtxTypes.Parse).Where(type => type != PtxType.None)];
        Register a = Read(1, types[0]), b = Read(2, types[0]), c = Read(3, types[1]);
        Register r = Write(0, types[0]);
        return (types[0].Size(), types[1]) switch
        {
            (4, PtxType.F32) => new Map3<uint, uint, float, uint, SelectBySign<uint, float>>(r, a, b, c),
            (4, PtxType.S32) => new Map3<uint, uint, int, uint, SelectBySign<uint, int>>(r, a, b, c),
            (8, PtxType.F32) => new Map3<ulong, ulong, float, ulong, SelectBySign<ulong, float>>(r, a, b, c),
            (8, PtxType.S32) => new Map3<ulong, ulong, int, ulong, SelectBySign<ulong, int>>(r, a, b, c),
            _ => throw Unsupported(),
        };
    }

    private Operation IntegerOperation<T>(PtxType type) where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
    {
        Allow("lo", "hi", "wide", "shiftamt", "l", "r", "wrap", "clamp");
        return _parts[0] switch
        {
            "add" => Binary<T, Add<T>>(type),
            "sub" => Binary<T, Subtract<T>>(type),
            "mul" when Has("wide") => MultiplyWideOperation(type),
            "mul" when Has("hi") => Binary<T, MultiplyHigh<T>>(type),
            "mul" when Has("lo") => Binary<T, Multiply<T>>(type),
            "mad" when Has("wide") => MultiplyWideOperation(type),
            "mad" when Has("lo") => Ternary<T, MultiplyAdd<T>>(type),
            "div" => Binary<T, DivideInteger<T>>(type),
            "rem" => Binary<T, Remainder<T>>(type),
            "min" => Binary<T, MinimumNaN<T>>(type),
            "max" => Binary<T, MaximumNaN<T>>(type),
            "abs" => Unary<T, AbsoluteInteger<T>>(type),
            "neg" => Unary<T, Negate<T>>(type),
            "and" => Binary<T, And<T>>(type),
            "or" => Binary<T, Or<T>>(type),
            "xor" => Binary<T, Xor<T>>(type),
            "not" => Unary<T, Not<T>>(type),
            "cnot" => Unary<T, LogicalNot<T>>(type),
            "shl" => Shift<T, ShiftLeft<T>>(type),
            "shr" => Shift<T, ShiftRight<T>>(type),
            _ => BitOperation(type),
        };
    }

    private Operation SingleOperation()
    {
        if (Has("ftz"))
        {
            return _parts[0] switch
            {
                "add" => Single2<Flush2<Add<float>>>(),
                "sub" => Single2<Flush2<Subtract<float>>>(),
                "mul" => Single2<Flush2<Multiply<float>>>(),
                "div" => Single2<Flush2<Divide<float>>>(),
                "min" => Single2<Flush2<Minimum<float>>>(),
                "max" => Single2<Flush2<Maximum<float>>>(),
                "fma" => Ternary<float, Flush3<FusedMultiplyAdd<float>>>(PtxType.F32),
                "abs" => Unary<float, Flush1<Absolute<float>>>(PtxType.F32),
                "neg" => Unary<float, Flush1<Negate<float>>>(PtxType.F32),
                "sqrt" => Unary<float, Flush1<SquareRoot<float>>>(PtxType.F32),
                "rcp" => Unary<float, Flush1<Reciprocal<float>>>(PtxType.F32),
                "rsqrt" => Unary<float, Flush1<ReciprocalSquareRoot<float>>>(PtxType.F32),
                "ex2" => Unary<float, Flush1<Exp2>>(PtxType.F32),
                "lg2" => Unary<float, Flush1<Log2>>(PtxType.F32),
                "sin" => Unary<float, Flush1<Sine>>(PtxType.F32),
                "cos" => Unary<float, Flush1<Cosine>>(PtxType.F32),
                _ => throw Unsupported(),
            };
        }
        return _parts[0] switch
        {
            // Without .ftz only the approximations of exponential and logarithm are kept for subnormal numbers too.
            "ex2" => Unary<float, Exp2>(PtxType.F32),
            "lg2" => Unary<float, Log2>(PtxType.F32),
            "sin" => Unary<float, Sine>(PtxType.F32),
            "cos" => Unary<float, Cosine>(PtxType.F32),
            "tanh" => Unary<float, Tanh>(PtxType.F32),
            _ => FloatOperation<float>(PtxType.F32),
        };
    }

    private Operation FloatOperation<T>(PtxType type) where T : unmanaged, IFloatingPointIeee754<T>
    {
        Allow("rn", "approx", "full", "NaN");
        bool nan = Has("NaN");
        return _parts[0] switch
        {
            "add" => Binary<T, Add<T>>(type),
            "sub" => Binary<T, Subtract<T>>(type),
            "mul" => Binary<T, Multiply<T>>(type),
            "div" => Binary<T, Divide<T>>(type),
            "min" => nan ? Binary<T, MinimumNaN<T>>(type) : Binary<T, Minimum<T>>(type),
            "max" => nan ? Binary<T, MaximumNaN<T>>(type) : Binary<T, Maximum<T>>(type),
            "fma" or "mad" => Ternary<T, FusedMultiplyAdd<T>>(type),
            "abs" => Unary<T, Absolute<T>>(type),
            "neg" => Unary<T, Negate<T>>(type),
            "sqrt" => Unary<T, SquareRoot<T>>(type),
            "rcp" => Unary<T, Reciprocal<T>>(type),
            "rsqrt" => Unary<T, ReciprocalSquareRoot<T>>(type),
            "copysign" => CopySign(type),
            "testp" => TestProperty<T>(type),
            _ => throw Unsupported(),
        };
    }

    private Operation Unary<T, TF>(PtxType type) where T : unmanaged where TF : IUnary<T, T>
    {
        Expect(2);
        Register a = Read(1, type);
        return new Map1<T, T, TF>(Write(0, type), a);
    }

    private Operation Binary<T, TF>(PtxType type) where T : unmanaged where TF : IBinary<T, T, T>
    {
        Expect(3);
        Register a = Read(1, type), b = Read(2, type);
        return new Map2<T, T, T, TF>(Write(0, type), a, b);
    }

    private Operation Single2<TF>() where TF : IBinary<float, float, float> => Binary<float, TF>(PtxType.F32);

    private Operation Shift<T, TF>(PtxType type) where T : unmanaged where TF : IBinary<T, uint, T>
    {
        Expect(3);
        Register a = Read(1, type), b = Read(2, PtxType.U32);
        return new Map2<T, uint, T, TF>(Write(0, type), a, b);
    }

    private Operation Ternary<T, TF>(PtxType type) where T : unmanaged where TF : ITernary<T, T, T, T>
    {
        Expect(4);
        Register a = Read(1, type), b = Read(2, type), c = Read(3, type);
        return new Map3<T, T, T, T, TF>(Write(0, type), a, b, c);
    }

    private Operation MultiplyWideOperation(PtxType type) => type switch
    {
        PtxType.U16 => Wide<ushort, uint>(type, PtxType.U32),
        PtxType.S16 => Wide<short, int>(type, PtxType.S32),
        PtxType.U32 => Wide<uint, ulong>(type, PtxType.U64),
        PtxType.S32 => Wide<int, long>(type, PtxType.S64),
        _ => throw Unsupported(),
    };

    private Operation Wide<TA, TR>(PtxType type, PtxType wide) where TA : unmanaged, INumberBase<TA> where TR : unmanaged, INumberBase<TR>
    {
        Register a = Read(1, type), b = Read(2, type);
        if (_parts[0] == "mul")
        {
            Expect(3);
            return new Map2<TA, TA, TR, MultiplyWide<TA, TR>>(Write(0, wide), a, b);
        }
        Expect(4);
        Register c = Read(3, wide);
        return new Map3<TA, TA, TR, TR, MultiplyWideAdd<TA, TR>>(Write(0, wide), a, b, c);
    }

    private MapBits2 CopySign(PtxType type)
    {
        // PTX takes the sign from the first operand.
        ulong sign = 1UL << ((8 * type.Size()) - 1);
        Register a = Read(1, type), b = Read(2, type);
        return new MapBits2(Write(0, type), a, b, type.Size(), (x, y) => (x & sign) | (y & ~sign));
    }

    private Comparison<T, Property<T>> TestProperty<T>(PtxType type) where T : unmanaged, IFloatingPointIeee754<T>
    {
        double code = _parts[1] switch
        {
            "finite" => 0,
            "infinite" => 1,
            "number" => 2,
            "notanumber" => 3,
            "normal" => 4,
            "subnormal" => 5,
            _ => throw Unsupported(),
        };
        ulong bits = type == PtxType.F64 ? BitConverter.DoubleToUInt64Bits(code) : BitConverter.SingleToUInt32Bits((float)code);
        Register a = Read(1, type);
        return new Comparison<T, Property<T>>(Write(0, PtxType.Pred), null, a, Registers.Constant(bits, type), Combination.None, null, 0);
    }

    private readonly struct Property<T> : IBinary<T, T, bool> where T : INumber<T>
    {
        public static bool Apply(T a, T b) => int.CreateTruncating(b) switch
        {
            0 => T.IsFinite(a),
            1 => T.IsInfinity(a),
            2 => !T.IsNaN(a),
            3 => T.IsNaN(a),
            4 => T.IsNormal(a),
            _ => T.IsSubnormal(a),
        };
    }
}
