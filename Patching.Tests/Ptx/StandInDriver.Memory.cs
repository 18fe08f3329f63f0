using System.Runtime.InteropServices;

namespace Patching.Tests.Ptx;

/// <content>Memory of the device and page-locked memory of the host; copies between them.</content>
internal sealed unsafe partial class StandInDriver
{
    private const int AllocationAlignment = 512;

    private readonly Dictionary<nint, Allocation> allocations = [];
    private readonly DeviceMemory memory = new();
    private int allocationCount;

    private enum MemoryKind
    {
        Device,
        PageLocked,
        Registered,
    }

    /// <summary>The device memory as the interpreter sees it.</summary>
    public DeviceMemory Memory => memory;

    internal long FreeBytes => gpu.MemoryBytes - allocations.Values.Where(a => a.Kind == MemoryKind.Device).Sum(a => a.Bytes);

    internal StandInResult Allocate(out nint address, long bytes)
    {
        address = 0;
        if (bytes <= 0) return StandInResult.InvalidValue;
        if (ForbiddenInCapture()) return StandInResult.StreamCaptureUnsupported;
        if (++allocationCount == gpu.FailingAllocation || bytes > FreeBytes) return StandInResult.OutOfMemory;
        address = (nint)NativeMemory.AlignedAlloc((nuint)bytes, AllocationAlignment);
        allocations.Add(address, new Allocation(MemoryKind.Device, bytes));
        memory.Add(address, bytes);
        Record("cuMemAlloc", $"{bytes}");
        return StandInResult.Success;
    }

    internal StandInResult Free(nint address)
    {
        // ILGPU does this with empty buffers and with those that could not be allocated.
        if (address == 0) return StandInResult.Success;
        if (ForbiddenInCapture()) return StandInResult.StreamCaptureUnsupported;
        // Freeing waits for all work that was given to the device.
        StandInResult result = RunEverything();
        if (!Release(address, MemoryKind.Device, out long bytes)) return StandInResult.InvalidValue;
        memory.Remove(address);
        NativeMemory.AlignedFree((void*)address);
        Record("cuMemFree", $"{bytes}");
        return result;
    }

    internal StandInResult AllocateHost(out nint address, long bytes)
    {
        address = 0;
        if (bytes <= 0) return StandInResult.InvalidValue;
        address = (nint)NativeMemory.AlignedAlloc((nuint)bytes, AllocationAlignment);
        allocations.Add(address, new Allocation(MemoryKind.PageLocked, bytes));
        Record("cuMemAllocHost", $"{bytes}");
        return StandInResult.Success;
    }

    internal StandInResult FreeHost(nint address)
    {
        StandInResult result = RunEverything();
        if (!Release(address, MemoryKind.PageLocked, out long bytes)) return StandInResult.InvalidValue;
        NativeMemory.AlignedFree((void*)address);
        Record("cuMemFreeHost", $"{bytes}");
        return result;
    }

    internal StandInResult Register(nint address, long bytes)
    {
        if (!allocations.TryAdd(address, new Allocation(MemoryKind.Registered, bytes))) return StandInResult.InvalidValue;
        Record("cuMemHostRegister", $"{bytes}");
        return StandInResult.Success;
    }

    internal StandInResult Unregister(nint address)
    {
        StandInResult result = RunEverything();
        if (!Release(address, MemoryKind.Registered, out long bytes)) return StandInResult.InvalidValue;
        Record("cuMemHostUnregister", $"{bytes}");
        return result;
    }

    internal StandInResult PointerType(out int type, nint address)
    {
        type = KindAt(address) is { } kind ? kind == MemoryKind.Device ? 2 : 1 : 0;
        return type == 0 ? StandInResult.InvalidValue : StandInResult.Success;
    }

    internal StandInResult Copy(nint to, nint from, long bytes, nint stream)
    {
        if (bytes < 0 || !IsInside(to, bytes) || !IsInside(from, bytes)) return StandInResult.InvalidValue;
        MemoryKind? target = KindAt(to), source = KindAt(from);
        string arguments = $"{Word(source)} to {Word(target)}, {bytes} bytes, stream {NameOf(stream)}";
        if (IsCapturing(stream))
        {
            // A graph would read or write memory of .NET long after it has moved.
            if (target is null || source is null) return Invalidate(stream);
            return Submit(stream, "cuMemcpyAsync", arguments, Move);
        }
        // Memory that is not page-locked is staged: read before the call returns, or written before it returns.
        if (source is null)
        {
            byte[] staged = new ReadOnlySpan<byte>((void*)from, checked((int)bytes)).ToArray();
            return Submit(stream, "cuMemcpyAsync", arguments, () =>
            {
                if (!IsInside(to, bytes)) return StandInResult.InvalidValue;
                staged.CopyTo(new Span<byte>((void*)to, staged.Length));
                Written(to, bytes);
                return StandInResult.Success;
            });
        }
        StandInResult result = Submit(stream, "cuMemcpyAsync", arguments, Move);
        return target is null && result == StandInResult.Success ? Run(streams[stream]) : result;

        StandInResult Move()
        {
            if (KindAt(to) != target || KindAt(from) != source || !IsInside(to, bytes) || !IsInside(from, bytes)) return StandInResult.InvalidValue;
            Buffer.MemoryCopy((void*)from, (void*)to, bytes, bytes);
            if (source == MemoryKind.Device && target == MemoryKind.Device) memory.CopyInitialized(to, from, bytes);
            else Written(to, bytes);
            return StandInResult.Success;
        }
    }

    internal StandInResult Set(nint address, byte value, long bytes, nint stream)
    {
        if (bytes < 0 || KindAt(address) is null || !IsInside(address, bytes)) return StandInResult.InvalidValue;
        return Submit(stream, "cuMemsetD8Async", $"{value}, {bytes} bytes, stream {NameOf(stream)}", () =>
        {
            if (KindAt(address) is null) return StandInResult.InvalidValue;
            NativeMemory.Fill((void*)address, (nuint)bytes, value);
            Written(address, bytes);
            return StandInResult.Success;
        });
    }

    private static string Word(MemoryKind? kind) => kind switch
    {
        null => "pageable",
        MemoryKind.Device => "device",
        _ => "page-locked",
    };

    private bool Release(nint address, MemoryKind kind, out long bytes)
    {
        bytes = allocations.TryGetValue(address, out Allocation allocation) && allocation.Kind == kind ? allocation.Bytes : -1;
        return bytes >= 0 && allocations.Remove(address);
    }

    private void Written(nint address, long bytes)
    {
        if (KindAt(address) == MemoryKind.Device) memory.MarkInitialized(address, bytes);
    }

    private MemoryKind? KindAt(nint address)
    {
        foreach ((nint start, Allocation allocation) in allocations)
        {
            if (address >= start && address < start + allocation.Bytes) return allocation.Kind;
        }
        return null;
    }

    // Memory that the driver does not know is the caller's business.
    private bool IsInside(nint address, long bytes)
    {
        foreach ((nint start, Allocation allocation) in allocations)
        {
            if (address >= start && address < start + allocation.Bytes) return address + bytes <= start + allocation.Bytes;
        }
        return true;
    }

    private readonly record struct Allocation(MemoryKind Kind, long Bytes);
}
