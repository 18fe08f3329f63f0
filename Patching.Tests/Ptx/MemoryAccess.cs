using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Tests.Ptx;

/// <summary>Where an address points.</summary>
internal enum MemorySpace
{
    Generic, Global, Shared,
}

/// <summary><c>ld</c> and <c>st</c> of one, two or four values.</summary>
internal sealed unsafe class MemoryAccess(Register address, long offset, Register[] values, PtxType type) : Operation
{
    private readonly int _size = type.Size();
    private readonly int _bytes = type.Size() * values.Length;
    private readonly bool _wide = address.Type.Size() == 8;

    /// <summary>The state space.</summary>
    public required MemorySpace Space { get; init; }

    /// <summary>Whether it loads.</summary>
    public required bool Load { get; init; }

    /// <summary>Whether the access is strong (<c>.volatile</c>, <c>.relaxed</c>, ...): it does not race with atomic operations.</summary>
    public required bool Strong { get; init; }

    /// <inheritdoc/>
    public override int Bytes => _bytes;

    /// <inheritdoc/>
    public override InstructionClass Class => (Space, Load) switch
    {
        (MemorySpace.Global, true) => InstructionClass.LoadGlobal,
        (MemorySpace.Global, false) => InstructionClass.StoreGlobal,
        (MemorySpace.Shared, true) => InstructionClass.LoadShared,
        (MemorySpace.Shared, false) => InstructionClass.StoreShared,
        (_, true) => InstructionClass.LoadGeneric,
        _ => InstructionClass.StoreGeneric,
    };

    /// <inheritdoc/>
    [SkipLocalsInit]
    public override void Execute(Warp warp)
    {
        ulong* addresses = stackalloc ulong[32];
        byte* register = warp.Storage + address.Offset;
        uint shared = 0;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            ulong at = (_wide ? ((ulong*)register)[lane] : ((uint*)register)[lane]) + (ulong)offset;
            bool inShared = Space == MemorySpace.Shared || (Space == MemorySpace.Generic && at >= GenericSpace.Shared);
            if (inShared)
            {
                if (Space == MemorySpace.Generic) at -= GenericSpace.Shared;
                // A 32-bit address register plus offset stays in the window.
                if (!_wide) at = (uint)at;
                shared |= 1u << lane;
                warp.Cta.Shared.Check(warp, lane, at, _bytes);
                if (Load) warp.Cta.Shared.Read(warp, lane, (int)at, _bytes, Strong);
                else warp.Cta.Shared.Write(warp, lane, (int)at, _bytes, Strong);
                Move(warp, lane, warp.Cta.Shared.Data + at);
            }
            else
            {
                GlobalMemory.Check(warp, lane, at, _bytes);
                if (Load) GlobalMemory.Read(warp, lane, at, _bytes, Strong);
                else GlobalMemory.Write(warp, lane, at, _bytes, Strong);
                Move(warp, lane, (byte*)at);
            }
            addresses[lane] = at;
        }
        ref Counters counters = ref warp.Cta.Counters[Index];
        if (shared != 0) Coalescing.CountShared(ref counters, addresses, shared, _bytes);
        if ((warp.Active & ~shared) != 0) Coalescing.CountGlobal(ref counters, addresses, warp.Active & ~shared, _bytes);
    }

    private void Move(Warp warp, int lane, byte* memory)
    {
        for (int i = 0; i < values.Length; i++)
        {
            Register value = values[i];
            byte* storage = warp.Storage + value.Offset;
            if (Load)
            {
                ulong bits = Lanes.Read(memory + (i * _size), 0, _size);
                int wide = value.Type.Size();
                // A register wider than the access is filled with the sign or zero.
                if (wide > _size && type.IsSigned()) bits = (ulong)(long)Numbers.ToInteger(bits, type);
                Lanes.Write(storage, lane, wide, bits);
            }
            else
            {
                Lanes.Write(memory + (i * _size), 0, _size, Lanes.Read(storage, lane, value.Type.Size()));
            }
        }
    }
}

/// <summary><c>ld.param</c>: the same for all threads.</summary>
internal sealed unsafe class ParameterLoad(Register[] values, PtxType type, int offset) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.LoadParameter;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        int size = type.Size();
        for (int i = 0; i < values.Length; i++)
        {
            ulong bits = Lanes.Read(warp.Cta.Launch.Parameters + offset + (i * size), 0, size);
            int wide = values[i].Type.Size();
            if (wide > size && type.IsSigned()) bits = (ulong)(long)Numbers.ToInteger(bits, type);
            for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
                Lanes.Write(warp.Storage + values[i].Offset, BitOperations.TrailingZeroCount(lanes), wide, bits);
        }
    }
}

/// <summary>Counts what decides the speed of memory accesses.</summary>
internal static unsafe class Coalescing
{
    /// <summary>
    /// Shared memory has 32 banks of 4 bytes. A pass serves each bank one word; lanes that want the same word share it. Accesses of 8
    /// bytes are served half a warp at a time, those of 16 bytes a quarter.
    /// </summary>
    [SkipLocalsInit]
    public static void CountShared(ref Counters counters, ulong* addresses, uint active, int bytes)
    {
        int group = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
        for (int first = 0; first < 32; first += group)
        {
            uint lanes = active & (group == 32 ? uint.MaxValue : ((1u << group) - 1) << first);
            if (lanes == 0) continue;
            counters.IdealWavefronts++;
            counters.Wavefronts += Passes(addresses, lanes, bytes);
        }
    }

    /// <summary>Sectors of 32 bytes that a request touches, and how many its bytes would fill.</summary>
    [SkipLocalsInit]
    public static void CountGlobal(ref Counters counters, ulong* addresses, uint active, int bytes)
    {
        ulong* sectors = stackalloc ulong[64];
        ulong* places = stackalloc ulong[32];
        int count = 0, distinct = 0;
        ulong lastSector = ulong.MaxValue;
        for (uint lanes = active; lanes != 0; lanes &= lanes - 1)
        {
            ulong address = addresses[BitOperations.TrailingZeroCount(lanes)];
            ulong sector = address >> 5;
            if (sector != lastSector && !Contains(sectors, count, sector)) sectors[count++] = sector;
            lastSector = sector;
            // Lanes that read the same place ask for its bytes once. Neighbours ascend as a rule, which the first test finds quickly.
            if (distinct == 0 || address > places[distinct - 1] || !Contains(places, distinct, address)) places[distinct++] = address;
        }
        counters.Sectors += count;
        counters.IdealSectors += Math.Min(count, ((distinct * bytes) + 31) / 32);
    }

    [SkipLocalsInit]
    private static int Passes(ulong* addresses, uint lanes, int bytes)
    {
        // At most 32 words are asked for at a time, so that the words of each bank fit a small table.
        int words = Math.Max(1, bytes / 4), passes = 1;
        byte* counts = stackalloc byte[32];
        uint* seen = stackalloc uint[32 * 32];
        new Span<byte>(counts, 32).Clear();
        for (; lanes != 0; lanes &= lanes - 1)
        {
            uint word = (uint)(addresses[BitOperations.TrailingZeroCount(lanes)] >> 2);
            for (int i = 0; i < words; i++, word++)
            {
                uint bank = word & 31;
                uint* known = seen + (32 * bank);
                int n = counts[bank], j = 0;
                while (j < n && known[j] != word) j++;
                if (j < n) continue;
                known[n] = word;
                counts[bank] = (byte)(n + 1);
                passes = Math.Max(passes, n + 1);
            }
        }
        return passes;
    }

    private static bool Contains(ulong* values, int count, ulong value)
    {
        for (int i = count - 1; i >= 0; i--)
        {
            if (values[i] == value) return true;
        }
        return false;
    }
}
