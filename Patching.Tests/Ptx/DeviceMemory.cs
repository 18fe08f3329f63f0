using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Patching.Tests.Ptx;

/// <summary>
/// The memory that kernels may use: allocations of real memory of this process, and for each byte whether anything was ever written
/// there. Launches must not overlap with one another or with changes of the allocations.
/// </summary>
internal sealed unsafe class DeviceMemory : IDisposable
{
    private readonly Lock _lock = new();
    private readonly List<(ulong Address, ulong End)> _freed = [];
    private volatile Allocation[] _allocations = [];

    /// <summary>Makes memory known. It must stay where it is until it is removed.</summary>
    public void Add(nint address, long bytes, bool initialized = false)
    {
        Allocation allocation = new((ulong)address, (ulong)bytes);
        if (initialized) allocation.MarkWritten(0, (ulong)bytes);
        lock (_lock)
        {
            if (_allocations.Any(other => allocation.Address < other.Address + other.Bytes && other.Address < allocation.Address + allocation.Bytes))
                throw new ArgumentException($"memory at 0x{address:X} overlaps an allocation", nameof(address));
            _allocations = [.. _allocations.Append(allocation).OrderBy(item => item.Address)];
            _freed.RemoveAll(range => range.Address < allocation.Address + allocation.Bytes && allocation.Address < range.End);
        }
    }

    /// <summary>Forgets an allocation; its contents must not be read any more.</summary>
    public void Remove(nint address)
    {
        lock (_lock)
        {
            Allocation allocation = _allocations.FirstOrDefault(item => item.Address == (ulong)address)
                ?? throw new ArgumentException($"no allocation starts at 0x{address:X}", nameof(address));
            _allocations = [.. _allocations.Where(item => item != allocation)];
            _freed.Add((allocation.Address, allocation.Address + allocation.Bytes));
            allocation.Dispose();
        }
    }

    /// <summary>Marks bytes as written: after a copy from the host or a memset.</summary>
    public void MarkInitialized(nint address, long bytes)
    {
        if (bytes == 0) return;
        Allocation allocation = Find((ulong)address, (ulong)bytes) ?? throw new ArgumentException(Describe((ulong)address, bytes), nameof(address));
        allocation.MarkWritten((ulong)address - allocation.Address, (ulong)bytes);
    }

    /// <summary>Marks bytes as written where those of the source are: after a copy on the device.</summary>
    public void CopyInitialized(nint destination, nint source, long bytes)
    {
        if (bytes == 0) return;
        Allocation from = Find((ulong)source, (ulong)bytes) ?? throw new ArgumentException(Describe((ulong)source, bytes), nameof(source));
        Allocation to = Find((ulong)destination, (ulong)bytes) ?? throw new ArgumentException(Describe((ulong)destination, bytes), nameof(destination));
        Buffer.MemoryCopy(from.Written + ((ulong)source - from.Address), to.Written + ((ulong)destination - to.Address), bytes, bytes);
    }

    /// <summary>Number of the first byte that nothing was written to, or -1 if there is none.</summary>
    public long FirstUninitialized(nint address, long bytes)
    {
        if (bytes == 0) return -1;
        Allocation allocation = Find((ulong)address, (ulong)bytes) ?? throw new ArgumentException(Describe((ulong)address, bytes), nameof(address));
        for (long done = 0; done < bytes;)
        {
            int part = (int)Math.Min(bytes - done, 1 << 30);
            int index = new Span<byte>(allocation.Written + ((ulong)address - allocation.Address) + done, part).IndexOfAnyExcept(byte.MaxValue);
            if (index >= 0) return done + index;
            done += part;
        }
        return -1;
    }

    /// <summary>Whether the bytes lie in one allocation.</summary>
    public bool Contains(nint address, long bytes) => Find((ulong)address, (ulong)bytes) != null;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Allocation allocation in _allocations) allocation.Dispose();
        _allocations = [];
    }

    /// <summary>The allocation that holds all of the bytes, or null.</summary>
    internal Allocation? Find(ulong address, ulong bytes)
    {
        Allocation[] allocations = _allocations;
        int low = 0, high = allocations.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            Allocation allocation = allocations[middle];
            if (address < allocation.Address) high = middle - 1;
            else if (address - allocation.Address >= allocation.Bytes) low = middle + 1;
            else return bytes <= allocation.Bytes - (address - allocation.Address) ? allocation : null;
        }
        return null;
    }

    /// <summary>For people: what is wrong with an address.</summary>
    internal string Describe(ulong address, long bytes)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{bytes} bytes at 0x{address:X}");
        lock (_lock)
        {
            if (_freed.Any(range => address < range.End && range.Address < address + (ulong)bytes)) return $"{text} are in memory that was freed";
            Allocation? before = _allocations.LastOrDefault(item => item.Address <= address);
            if (before == null) return $"{text} are outside of all allocations";
            ulong offset = address - before.Address;
            return $"{text} are outside of all allocations; the one before has {before.Bytes} bytes, and this is byte {offset} from its start";
        }
    }
}

/// <summary>An allocation with a shadow byte for each of its bytes: 255 when something was written there.</summary>
internal sealed unsafe class Allocation : IDisposable
{
    /// <summary>Bytes of a page of the race detector.</summary>
    public const int PageBytes = 1 << PageShift;

    /// <summary>Logarithm of <see cref="PageBytes"/>.</summary>
    public const int PageShift = 12;

    /// <summary>Nothing is written yet.</summary>
    public Allocation(ulong address, ulong bytes)
    {
        Address = address;
        Bytes = bytes;
        Written = (byte*)NativeMemory.AllocZeroed((nuint)Math.Max(bytes, 1) + 64);
        Pages = new GlobalPage?[(bytes >> PageShift) + 2];
    }

    /// <summary>Address of the first byte.</summary>
    public ulong Address { get; }

    /// <summary>Size.</summary>
    public ulong Bytes { get; }

    /// <summary>The shadow bytes.</summary>
    public byte* Written { get; private set; }

    /// <summary>The race detector's pages, made when they are first needed.</summary>
    public GlobalPage?[] Pages { get; }

    /// <summary>Marks bytes as written.</summary>
    public void MarkWritten(ulong offset, ulong bytes) => NativeMemory.Fill(Written + offset, (nuint)bytes, byte.MaxValue);

    /// <summary>Whether all of a few bytes were written.</summary>
    public bool IsWritten(ulong offset, int bytes) => Shadow.AllSet(Written + offset, bytes);

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(Written);
        Written = null;
    }
}

/// <summary>Shadow bytes of an access of 1, 2, 4, 8 or 16 bytes.</summary>
internal static unsafe class Shadow
{
    /// <summary>Whether all are 255.</summary>
    public static bool AllSet(byte* shadow, int bytes) => bytes switch
    {
        1 => *shadow == byte.MaxValue,
        2 => *(ushort*)shadow == ushort.MaxValue,
        4 => *(uint*)shadow == uint.MaxValue,
        8 => *(ulong*)shadow == ulong.MaxValue,
        _ => Vector128.Load(shadow) == Vector128<byte>.AllBitsSet,
    };

    /// <summary>Sets all to 255.</summary>
    public static void Set(byte* shadow, int bytes)
    {
        switch (bytes)
        {
            case 1:
                *shadow = byte.MaxValue;
                break;
            case 2:
                *(ushort*)shadow = ushort.MaxValue;
                break;
            case 4:
                *(uint*)shadow = uint.MaxValue;
                break;
            case 8:
                *(ulong*)shadow = ulong.MaxValue;
                break;
            default:
                Vector128<byte>.AllBitsSet.Store(shadow);
                break;
        }
    }
}
