using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>
/// <c>cp.async.bulk</c> between global and shared memory. Into shared memory, the bytes are there when the mbarrier's phase is complete:
/// they are delivered when somebody first waits for it, so that a read without a wait meets a place that is being written.
/// </summary>
internal sealed unsafe class BulkCopy(
    (Register Register, long Offset) shared, (Register Register, long Offset) global, Register size, (Register Register, long Offset)? barrier) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.BulkCopy;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            int bytes = ((int*)(warp.Storage + size.Offset))[lane], at = warp.SharedAddress(lane, shared, 16);
            ulong from = Lanes.Read(warp.Storage + global.Register.Offset, lane, 8) + (ulong)global.Offset;
            if (bytes <= 0 || bytes % 16 != 0) throw warp.Fault(lane, $"a bulk copy of {bytes} bytes");
            if (from % 16 != 0) throw warp.Fault(lane, $"global address 0x{from:X} is not aligned to 16 bytes");
            if (at + bytes > warp.Cta.Shared.Bytes) throw warp.Fault(lane, $"{bytes} bytes at shared address {at} are outside of the block's {warp.Cta.Shared.Bytes} bytes");
            (int, int)[] places = [.. Enumerable.Range(0, bytes / 16).Select(i => (at + (16 * i), 16 * i))];
            if (barrier is { } awaited)
            {
                GlobalMemory.Read(warp, lane, from, bytes);
                byte[] data = new ReadOnlySpan<byte>((byte*)from, bytes).ToArray();
                warp.Cta.Deliver(warp, lane, warp.Mbarrier(lane, awaited), data, places);
            }
            else
            {
                foreach ((int place, _) in places) warp.Cta.Shared.Read(warp, lane, place, 16, asynchronous: true);
                GlobalMemory.Write(warp, lane, from, bytes);
                new ReadOnlySpan<byte>(warp.Cta.Shared.Data + at, bytes).CopyTo(new Span<byte>((byte*)from, bytes));
            }
        }
    }
}

/// <summary>
/// <c>cp.async.bulk.tensor</c>: a box of a tensor that a <see cref="TensorMap"/> describes. Outside of the tensor zeros are read and
/// nothing is written.
/// </summary>
internal sealed unsafe class TensorCopy(
    (Register Register, long Offset) shared, (Register Register, long Offset) map, Register[] coordinates, (Register Register, long Offset)? barrier) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.BulkCopy;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            ulong address = Lanes.Read(warp.Storage + map.Register.Offset, lane, 8) + (ulong)map.Offset;
            if (address % 64 != 0) throw warp.Fault(lane, $"a tensor map at 0x{address:X}, which is not aligned to 64 bytes");
            TensorMap tensor = Map(warp, lane, address);
            if (tensor.Mark != TensorMap.ExpectedMark) throw warp.Fault(lane, "what the address points to is no tensor map");
            if (tensor.Rank != coordinates.Length) throw warp.Fault(lane, $"{coordinates.Length} coordinates for a tensor of rank {tensor.Rank}");
            Copy(warp, lane, tensor);
        }
    }

    // In global memory, or a parameter of the kernel.
    private static TensorMap Map(Warp warp, int lane, ulong address)
    {
        if (address < GenericSpace.Parameters)
        {
            GlobalMemory.Read(warp, lane, address, TensorMap.Size);
            return *(TensorMap*)address;
        }
        ulong offset = address - GenericSpace.Parameters;
        if (offset + TensorMap.Size > (ulong)warp.Cta.Launch.Entry.ParameterBytes) throw warp.Fault(lane, "a tensor map beyond the kernel's parameters");
        return *(TensorMap*)(warp.Cta.Launch.Parameters + offset);
    }

    private void Copy(Warp warp, int lane, TensorMap tensor)
    {
        int at = warp.SharedAddress(lane, shared, 128);
        int row = (int)tensor.Box[0] * tensor.ElementBytes, rows = 1;
        for (int i = 1; i < tensor.Rank; i++) rows *= (int)tensor.Box[i];
        if (at + (row * rows) > warp.Cta.Shared.Bytes)
            throw warp.Fault(lane, $"{row * rows} bytes at shared address {at} are outside of the block's {warp.Cta.Shared.Bytes} bytes");
        byte[] data = new byte[row * rows];
        List<(int, int)> places = [];
        ref Counters counters = ref warp.Cta.Counters[Index];
        counters.Wavefronts += (row * rows + 127) / 128;
        counters.IdealWavefronts += (row * rows + 127) / 128;
        for (int r = 0; r < rows; r++)
        {
            (ulong source, int first, int count) = Row(warp, lane, tensor, r);
            if (barrier != null)
            {
                if (count > 0)
                {
                    GlobalMemory.Read(warp, lane, source, count);
                    new ReadOnlySpan<byte>((byte*)source, count).CopyTo(data.AsSpan((r * row) + first));
                    counters.Sectors += (long)((source + (ulong)count + 31) / 32 - source / 32);
                    counters.IdealSectors += (count + 31) / 32;
                }
                for (int chunk = 0; chunk < row; chunk += 16) places.Add((Place(at, (r * row) + chunk, tensor), (r * row) + chunk));
            }
            else if (count > 0)
            {
                Store(warp, lane, tensor, at, (r * row) + first, source, count);
            }
        }
        if (barrier is { } awaited) warp.Cta.Deliver(warp, lane, warp.Mbarrier(lane, awaited), data, [.. places]);
    }

    private static int Place(int at, int offset, TensorMap tensor) => (int)TensorMap.Permute((ulong)(at + offset), (TensorSwizzle)tensor.Swizzle);

    private static void Store(Warp warp, int lane, TensorMap tensor, int at, int offset, ulong target, int count)
    {
        for (int i = 0; i < count; i += tensor.ElementBytes)
        {
            int place = Place(at, offset + i, tensor);
            warp.Cta.Shared.Read(warp, lane, place, tensor.ElementBytes, asynchronous: true);
            new ReadOnlySpan<byte>(warp.Cta.Shared.Data + place, tensor.ElementBytes).CopyTo(new Span<byte>((byte*)target + i, tensor.ElementBytes));
        }
        GlobalMemory.Write(warp, lane, target, count);
    }

    // Address in global memory of the part of a box's row that lies in the tensor, where it begins in the row, and its bytes.
    private (ulong Address, int First, int Count) Row(Warp warp, int lane, TensorMap tensor, int number)
    {
        ulong address = tensor.Address;
        for (int i = 1; i < tensor.Rank; i++)
        {
            long coordinate = ((int*)(warp.Storage + coordinates[i].Offset))[lane] + (number % (int)tensor.Box[i]);
            number /= (int)tensor.Box[i];
            if (coordinate < 0 || coordinate >= tensor.Extents[i]) return (0, 0, 0);
            address += (ulong)coordinate * tensor.Strides[i - 1];
        }
        long start = ((int*)(warp.Storage + coordinates[0].Offset))[lane], end = Math.Min(start + tensor.Box[0], tensor.Extents[0]), first = Math.Max(start, 0);
        if (first >= end) return (0, 0, 0);
        return (address + ((ulong)first * tensor.ElementBytes), (int)(first - start) * tensor.ElementBytes, (int)(end - first) * tensor.ElementBytes);
    }
}

/// <summary><c>cp.async.bulk.commit_group</c> and <c>wait_group</c>: copies out of shared memory are done at once here.</summary>
internal sealed class BulkGroup(bool waits) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.BulkCopy;

    /// <summary>Whether it waits.</summary>
    public bool Waits => waits;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
    }
}
