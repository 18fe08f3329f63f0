using System.Numerics;

namespace Patching.Tests.Ptx;

/// <content>Bit fields, permutations, predicates and packed bfloat16 arithmetic.</content>
internal sealed partial class PtxDecoder
{
    private Operation BitOperation(PtxType type)
    {
        int bits = 8 * type.Size();
        return _parts[0] switch
        {
            "popc" => CountBits(type, value => (ulong)BitOperations.PopCount(value)),
            "clz" => CountBits(type, value => (ulong)(BitOperations.LeadingZeroCount(value) - (64 - bits))),
            "bfind" => CountBits(type, value => FindLeading(value, type, Has("shiftamt"))),
            "brev" => Bits1(type, value => Reverse(value, bits)),
            "bfe" => BitFieldExtract(type),
            "bfi" => BitFieldInsert(type),
            "prmt" => Permute(),
            "lop3" => Logic3(),
            "shf" => FunnelShift(),
            _ => throw Unsupported(),
        };
    }

    private MapBits CountBits(PtxType type, Func<ulong, ulong> function)
    {
        Expect(2);
        Register a = Read(1, type);
        return new MapBits(Write(0, PtxType.U32), 4, a, type.Size(), function, InstructionClass.Alu);
    }

    private MapBits Bits1(PtxType type, Func<ulong, ulong> function)
    {
        Expect(2);
        Register a = Read(1, type);
        return new MapBits(Write(0, type), type.Size(), a, type.Size(), function, InstructionClass.Alu);
    }

    private static ulong FindLeading(ulong value, PtxType type, bool shiftAmount)
    {
        int bits = 8 * type.Size();
        if (type.IsSigned() && ((value >> (bits - 1)) & 1) != 0) value = ~value & (ulong.MaxValue >> (64 - bits));
        if (value == 0) return uint.MaxValue;
        int leading = BitOperations.Log2(value);
        return (ulong)(shiftAmount ? bits - 1 - leading : leading);
    }

    private static ulong Reverse(ulong value, int bits)
    {
        ulong result = 0;
        for (int i = 0; i < bits; i++) result |= ((value >> i) & 1) << (bits - 1 - i);
        return result;
    }

    private BitField BitFieldExtract(PtxType type)
    {
        Expect(4);
        Register a = Read(1, type), position = Read(2, PtxType.U32), length = Read(3, PtxType.U32);
        int bits = 8 * type.Size();
        bool signed = type.IsSigned();
        return new BitField(Write(0, type), a, null, position, length, type.Size(), (value, _, start, count) =>
        {
            // Past the end, the sign (or zero) goes on; position and length use eight bits.
            int top = Math.Min((int)start + (int)count - 1, bits - 1);
            ulong sign = signed && count > 0 && ((value >> top) & 1) != 0 ? ulong.MaxValue : 0;
            ulong field = start >= bits ? 0 : value >> (int)start;
            int kept = Math.Min((int)count, bits - (int)start);
            if (kept <= 0) return count == 0 ? 0 : sign;
            ulong mask = kept >= 64 ? ulong.MaxValue : (1UL << kept) - 1;
            return (field & mask) | (sign & ~mask);
        });
    }

    private BitField BitFieldInsert(PtxType type)
    {
        Expect(5);
        Register a = Read(1, type), b = Read(2, type), position = Read(3, PtxType.U32), length = Read(4, PtxType.U32);
        int bits = 8 * type.Size();
        return new BitField(Write(0, type), a, b, position, length, type.Size(), (value, into, start, count) =>
        {
            if (start >= bits || count == 0) return into;
            ulong mask = (count >= 64 ? ulong.MaxValue : (1UL << (int)count) - 1) << (int)start;
            return ((value << (int)start) & mask) | (into & ~mask);
        });
    }

    private Words3 Permute()
    {
        Expect(4);
        if (_parts.Length != 2) throw Unsupported();
        Register a = Read(1, PtxType.B32), b = Read(2, PtxType.B32), c = Read(3, PtxType.B32);
        return new Words3(Write(0, PtxType.B32), a, b, c, (x, y, selector) =>
        {
            ulong bytes = x | ((ulong)y << 32);
            uint result = 0;
            for (int i = 0; i < 4; i++)
            {
                int select = (int)(selector >> (4 * i)) & 15;
                uint value = (uint)(bytes >> (8 * (select & 7))) & 0xFF;
                if (select >= 8) value = (value & 0x80) != 0 ? 0xFFu : 0;
                result |= value << (8 * i);
            }
            return result;
        });
    }

    private Words3 Logic3()
    {
        Expect(5);
        Register a = Read(1, PtxType.B32), b = Read(2, PtxType.B32), c = Read(3, PtxType.B32);
        uint table = (uint)Integer(_operands[4]);
        return new Words3(Write(0, PtxType.B32), a, b, c, (x, y, z) =>
        {
            uint result = 0;
            for (int i = 0; i < 8; i++)
            {
                if (((table >> i) & 1) != 0) result |= ((i & 4) != 0 ? x : ~x) & ((i & 2) != 0 ? y : ~y) & ((i & 1) != 0 ? z : ~z);
            }
            return result;
        });
    }

    private Words3 FunnelShift()
    {
        Expect(4);
        bool left = Has("l"), wrap = Has("wrap");
        Register a = Read(1, PtxType.B32), b = Read(2, PtxType.B32), c = Read(3, PtxType.U32);
        return new Words3(Write(0, PtxType.B32), a, b, c, (low, high, distance) =>
        {
            int n = wrap ? (int)distance & 31 : (int)Math.Min(distance, 32);
            ulong pair = low | ((ulong)high << 32);
            return left ? (uint)((pair << n) >> 32) : (uint)(pair >> n);
        });
    }

    /// <summary>Two bfloat16 numbers in a word, computed in single precision and rounded once.</summary>
    private Words3 PairOperation()
    {
        Allow("rn");
        Func<float, float, float, float> function = _parts[0] switch
        {
            "fma" => MathF.FusedMultiplyAdd,
            "mul" => (x, y, _) => x * y,
            "add" => (x, y, _) => x + y,
            "sub" => (x, y, _) => x - y,
            "min" => (x, y, _) => float.MinNumber(x, y),
            "max" => (x, y, _) => float.MaxNumber(x, y),
            _ => throw Unsupported(),
        };
        Expect(_parts[0] == "fma" ? 4 : 3);
        Register a = Read(1, PtxType.B32), b = Read(2, PtxType.B32), c = _parts[0] == "fma" ? Read(3, PtxType.B32) : a;
        return new Words3(Write(0, PtxType.B32), a, b, c, (x, y, z) =>
            Numbers.ToBFloat(function(Numbers.FromBFloat(x), Numbers.FromBFloat(y), Numbers.FromBFloat(z)))
            | ((uint)Numbers.ToBFloat(function(Numbers.FromBFloat(x >> 16), Numbers.FromBFloat(y >> 16), Numbers.FromBFloat(z >> 16))) << 16));
    }

    private PredicateLogic PredicateOperation()
    {
        Register a = Read(1, PtxType.Pred);
        Register b = _parts[0] == "not" ? a : Read(2, PtxType.Pred);
        return new PredicateLogic(Write(0, PtxType.Pred), a, b, _parts[0] switch
        {
            "and" => (x, y) => x & y,
            "or" => (x, y) => x | y,
            "xor" => (x, y) => x ^ y,
            "not" => (x, _) => ~x,
            _ => throw Unsupported(),
        });
    }
}

/// <summary><c>bfe</c> and <c>bfi</c>: position and length are taken modulo 256.</summary>
internal sealed unsafe class BitField(
    Register r, Register a, Register? b, Register position, Register length, int size, Func<ulong, ulong, uint, uint, ulong> function) : Operation
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            ulong into = b == null ? 0 : Lanes.Read(warp.Storage + b.Offset, i, size);
            uint start = ((uint*)(warp.Storage + position.Offset))[i] & 0xFF, count = ((uint*)(warp.Storage + length.Offset))[i] & 0xFF;
            Lanes.Write(warp.Storage + r.Offset, i, size, function(Lanes.Read(warp.Storage + a.Offset, i, size), into, start, count));
        }
    }
}

/// <summary>A function of three words.</summary>
internal sealed unsafe class Words3(Register r, Register a, Register b, Register c, Func<uint, uint, uint, uint> function) : Operation
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint* x = (uint*)(warp.Storage + a.Offset), y = (uint*)(warp.Storage + b.Offset), z = (uint*)(warp.Storage + c.Offset);
        uint* result = (uint*)(warp.Storage + r.Offset);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            result[i] = function(x[i], y[i], z[i]);
        }
    }
}

/// <summary>Logic of predicates, all lanes at once.</summary>
internal sealed unsafe class PredicateLogic(Register r, Register a, Register b, Func<uint, uint, uint> function) : Operation
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint* result = (uint*)(warp.Storage + r.Offset);
        uint value = function(*(uint*)(warp.Storage + a.Offset), *(uint*)(warp.Storage + b.Offset));
        *result = (*result & ~warp.Active) | (value & warp.Active);
    }
}
