using System.Numerics;
using static Patching.Tests.Ptx.Functions;

namespace Patching.Tests.Ptx;

/// <summary>How <c>setp</c> combines its comparison with another predicate.</summary>
internal enum Combination
{
    None, And, Or, Xor,
}

/// <content>Comparison and selection.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeCompare()
    {
        PtxType type = LastType();
        return type switch
        {
            PtxType.U16 or PtxType.B16 => Compare<ushort>(type),
            PtxType.S16 => Compare<short>(type),
            PtxType.U32 or PtxType.B32 => Compare<uint>(type),
            PtxType.S32 => Compare<int>(type),
            PtxType.U64 or PtxType.B64 => Compare<ulong>(type),
            PtxType.S64 => Compare<long>(type),
            PtxType.F32 => Compare<float>(type),
            PtxType.F64 => Compare<double>(type),
            _ => throw Unsupported(),
        };
    }

    private Operation Compare<T>(PtxType type) where T : unmanaged, INumber<T>
    {
        string name = _parts[1];
        if (type.IsBits() && name is not ("eq" or "ne")) throw Fault("bits can only be compared for equality");
        if (type.IsFloat() ? name is "lo" or "ls" or "hi" or "hs" : name is "equ" or "neu" or "ltu" or "leu" or "gtu" or "geu" or "num" or "nan") throw Unsupported();
        if (name is "lo" or "ls" or "hi" or "hs" && type.IsSigned()) throw Fault("unsigned comparison of signed numbers");
        return name switch
        {
            "eq" => Compare<T, Equal<T>>(type),
            "ne" => Compare<T, NotEqual<T>>(type),
            "lt" or "lo" => Compare<T, Less<T>>(type),
            "le" or "ls" => Compare<T, LessEqual<T>>(type),
            "gt" or "hi" => Compare<T, Greater<T>>(type),
            "ge" or "hs" => Compare<T, GreaterEqual<T>>(type),
            "equ" => Compare<T, Opposite<T, NotEqual<T>>>(type),
            "neu" => Compare<T, Opposite<T, Equal<T>>>(type),
            "ltu" => Compare<T, Opposite<T, GreaterEqual<T>>>(type),
            "leu" => Compare<T, Opposite<T, Greater<T>>>(type),
            "gtu" => Compare<T, Opposite<T, LessEqual<T>>>(type),
            "geu" => Compare<T, Opposite<T, Less<T>>>(type),
            "num" => Compare<T, IsNumber<T>>(type),
            "nan" => Compare<T, Opposite<T, IsNumber<T>>>(type),
            _ => throw Unsupported(),
        };
    }

    private Comparison<T, TF> Compare<T, TF>(PtxType type) where T : unmanaged where TF : IBinary<T, T, bool>
    {
        Combination combination = _parts[2] switch { "and" => Combination.And, "or" => Combination.Or, "xor" => Combination.Xor, _ => Combination.None };
        Expect(combination == Combination.None ? 3 : 4);
        Register a = Read(1, type), b = Read(2, type);
        Register? other = null;
        uint flip = 0;
        if (combination != Combination.None)
        {
            bool negated = _operands[3][0] == '!';
            other = Read(negated ? _operands[3][1..] : _operands[3], PtxType.Pred);
            flip = negated ? uint.MaxValue : 0;
        }
        string[] results = _operands[0].Split('|');
        Register? second = results.Length > 1 && results[1] != "_" ? Write(results[1], PtxType.Pred) : null;
        return new Comparison<T, TF>(Write(results[0], PtxType.Pred), second, a, b, combination, other, flip);
    }

    private Selection DecodeSelect()
    {
        Expect(4);
        PtxType type = LastType();
        Register a = Read(1, type), b = Read(2, type), p = Read(3, PtxType.Pred);
        return new Selection(Write(0, type), a, b, p, type.Size());
    }
}

/// <summary>
/// <c>setp</c>: a bit for each active lane, combined with another predicate; the second result is the comparison's negation, combined
/// likewise.
/// </summary>
internal sealed unsafe class Comparison<T, TF>(Register p, Register? q, Register a, Register b, Combination combination, Register? other, uint flip) : Operation
    where T : unmanaged where TF : IBinary<T, T, bool>
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        T* x = (T*)(warp.Storage + a.Offset), y = (T*)(warp.Storage + b.Offset);
        uint result = 0;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            if (TF.Apply(x[i], y[i])) result |= 1u << i;
        }
        uint third = other == null ? 0 : *(uint*)(warp.Storage + other.Offset) ^ flip;
        Store(warp, p, Combine(result, third));
        if (q != null) Store(warp, q, Combine(~result, third));
    }

    private uint Combine(uint result, uint third) => combination switch
    {
        Combination.And => result & third,
        Combination.Or => result | third,
        Combination.Xor => result ^ third,
        _ => result,
    };

    private static void Store(Warp warp, Register register, uint value)
    {
        uint* bits = (uint*)(warp.Storage + register.Offset);
        *bits = (*bits & ~warp.Active) | (value & warp.Active);
    }
}

/// <summary><c>selp</c>.</summary>
internal sealed unsafe class Selection(Register r, Register a, Register b, Register p, int size) : Operation
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint predicate = *(uint*)(warp.Storage + p.Offset);
        byte* x = warp.Storage + a.Offset, y = warp.Storage + b.Offset, result = warp.Storage + r.Offset;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            Lanes.Write(result, i, size, Lanes.Read(((predicate >> i) & 1) != 0 ? x : y, i, size));
        }
    }
}
