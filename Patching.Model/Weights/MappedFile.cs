using System.Buffers;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;

namespace Patching.Model.Weights;

/// <summary>
/// A file that is mapped into memory as a whole, read-only: the operating system reads what is touched and may drop it again, so a file of
/// any size costs no memory of ours. Reading is safe from several threads; disposing while another thread reads is not.
/// </summary>
internal sealed unsafe partial class MappedFile : IDisposable
{
    private const int AdviseWillNeed = 3;
    private const int AdviseNotNeeded = 4;

    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private byte* _start;
    private bool _disposed;

    private MappedFile(string path, FileStream stream)
    {
        Path = path;
        Length = stream.Length;
        // An empty file cannot be mapped.
        if (Length == 0)
        {
            stream.Dispose();
            return;
        }
        _map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
        _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _start = start + _view.PointerOffset;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Bytes of the file when it was opened.</summary>
    public long Length { get; }

    /// <summary>Opens and maps a file.</summary>
    /// <exception cref="InputException">It does not exist or cannot be read; the message says why in one line.</exception>
    public static MappedFile Open(string path)
    {
        FileStream? stream = null;
        try
        {
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            return new MappedFile(path, stream);
        }
        catch (Exception error)
        {
            stream?.Dispose();
            if (error is FileNotFoundException or DirectoryNotFoundException)
                throw new InputException($"{path}: there is no such file", error);
            if (error is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
                throw new InputException($"{path}: cannot be read ({HostileText.Show(error.Message)})", error);
            throw;
        }
    }

    /// <summary>A part of the file, valid until it is disposed.</summary>
    public ReadOnlySpan<byte> Span(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - length);
        return new ReadOnlySpan<byte>(_start + offset, length);
    }

    /// <summary>The same as memory that can be kept until the file is disposed; at most 2 GiB from the offset, as much as there
    /// is.</summary>
    public ReadOnlyMemory<byte> Memory(long offset, long length) => new Window(this, offset, (int)Math.Min(length, int.MaxValue)).Memory;

    /// <summary>Where in the file a part lies that came from <see cref="Memory"/>; null for other memory.</summary>
    public long? OffsetOf(ReadOnlySpan<byte> part)
    {
        fixed (byte* first = part)
            return first >= _start && first + part.Length <= _start + Length && first != null ? first - _start : null;
    }

    /// <summary>
    /// Says that all of the file will be read soon, so that the disk works ahead of those who read it instead of waiting for each of their questions. Returns at once;
    /// nothing happens where the system has no such call.
    /// </summary>
    public void Prefetch()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!OperatingSystem.IsLinux() || Length == 0) return;
        nint start = (nint)_start;
        // The call itself takes a while. Advice about memory that has been unmapped meanwhile is refused by the system and does no harm.
        _ = Task.Run(() => Advise((void*)start, (nuint)Length, AdviseWillNeed));
    }

    /// <summary>
    /// Gives back the memory of what has been read, where the system can; it stays in the system's cache and comes back when it is read again.
    /// </summary>
    public void Forget()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (OperatingSystem.IsLinux() && Length > 0) _ = Advise(_start, (nuint)Length, AdviseNotNeeded);
    }

    /// <summary>Unmaps and closes the file.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        if (_view is not null) _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view?.Dispose();
        _map?.Dispose();
        _start = null;
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);

    private sealed class Window(MappedFile file, long offset, int length) : MemoryManager<byte>
    {
        public override Span<byte> GetSpan()
        {
            // MemoryManager knows only writable spans; this one leaves the class as ReadOnlyMemory.
            _ = file.Span(offset, length);
            return new Span<byte>(file._start + offset, length);
        }

        public override MemoryHandle Pin(int elementIndex = 0) => new(file._start + offset + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
