using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary><c>atom</c> and <c>red</c>. Lanes follow one another in their order; a GPU promises none.</summary>
internal sealed unsafe class Atomic(
    Register address, long offset, Register value, Register? swap, Register? result, PtxType type, string name) : Operation
{
    private static readonly Lock s_lock = new();

    private readonly int _size = type.Size();

    /// <summary>The state space.</summary>
    public required MemorySpace Space { get; init; }

    /// <summary>Whether it adds numbers whose sum depends on the order.</summary>
    public bool IsFloat => type.IsFloat() || type is PtxType.BF16X2 or PtxType.F16X2;

    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Atomic;

    /// <inheritdoc/>
    public override int Bytes => _size;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            ulong at = Lanes.Read(warp.Storage + address.Offset, lane, address.Type.Size()) + (ulong)offset;
            ulong operand = Lanes.Read(warp.Storage + value.Offset, lane, _size);
            ulong second = swap == null ? 0 : Lanes.Read(warp.Storage + swap.Offset, lane, _size);
            ulong old;
            if (Space == MemorySpace.Shared || (Space == MemorySpace.Generic && at >= GenericSpace.Shared))
            {
                if (Space == MemorySpace.Generic) at -= GenericSpace.Shared;
                BlockMemory shared = warp.Cta.Shared;
                shared.Check(warp, lane, at, _size);
                shared.Read(warp, lane, (int)at, _size, atomic: true);
                shared.Write(warp, lane, (int)at, _size, atomic: true);
                old = Update(shared.Data + at, operand, second);
            }
            else
            {
                GlobalMemory.Check(warp, lane, at, _size);
                lock (s_lock)
                {
                    GlobalMemory.Read(warp, lane, at, _size, atomic: true);
                    GlobalMemory.Write(warp, lane, at, _size, atomic: true);
                    old = Update((byte*)at, operand, second);
                    warp.Cta.PassOn(warp, at);
                }
            }
            if (result != null) Lanes.Write(warp.Storage + result.Offset, lane, _size, old);
        }
    }

    private ulong Update(byte* memory, ulong operand, ulong second)
    {
        ulong old = Lanes.Read(memory, 0, _size);
        Lanes.Write(memory, 0, _size, IsFloat ? Float(old, operand) : Integer(old, operand, second));
        return old;
    }

    private ulong Float(ulong old, ulong operand) => (name, type) switch
    {
        ("add", PtxType.F32) => BitConverter.SingleToUInt32Bits(BitConverter.UInt32BitsToSingle((uint)old) + BitConverter.UInt32BitsToSingle((uint)operand)),
        ("add", PtxType.F64) => BitConverter.DoubleToUInt64Bits(BitConverter.UInt64BitsToDouble(old) + BitConverter.UInt64BitsToDouble(operand)),
        ("add", PtxType.BF16X2) => Numbers.ToBFloat(Numbers.FromBFloat((uint)old) + Numbers.FromBFloat((uint)operand))
            | ((ulong)Numbers.ToBFloat(Numbers.FromBFloat((uint)(old >> 16)) + Numbers.FromBFloat((uint)(operand >> 16))) << 16),
        ("exch", _) => operand,
        _ => throw new PtxFault($"atomic operation .{name} of {type} not supported"),
    };

    private ulong Integer(ulong old, ulong operand, ulong second)
    {
        Int128 a = Numbers.ToInteger(old, type), b = Numbers.ToInteger(operand, type);
        return name switch
        {
            "add" => old + operand,
            "and" => old & operand,
            "or" => old | operand,
            "xor" => old ^ operand,
            "exch" => operand,
            "min" => a < b ? old : operand,
            "max" => a > b ? old : operand,
            "cas" => old == operand ? second : old,
            "inc" => old >= operand ? 0 : old + 1,
            _ => old == 0 || old > operand ? operand : old - 1,
        };
    }
}
