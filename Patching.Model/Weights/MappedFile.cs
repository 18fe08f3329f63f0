using System.Buffers;
using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace Patching.Model.Weights;

/// <summary>
/// A file that is mapped into memory as a whole, read-only: the operating system reads what is touched and may drop it again, so a file of
/// any size costs no memory of ours. What is wanted elsewhere in memory, such as a model's weights, is read there without going through the map.
/// Reading is safe from several threads; disposing while another thread reads is not.
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly SafeFileHandle _handle;
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private byte* _start;
    private bool _disposed;

    private MappedFile(string path, SafeFileHandle handle)
    {
        Path = path;
        _handle = handle;
        Length = RandomAccess.GetLength(handle);
        // An empty file cannot be mapped.
        if (Length == 0) return;
        _map = MemoryMappedFile.CreateFromFile(handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
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
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(path);
            return new MappedFile(path, handle);
        }
        catch (Exception error)
        {
            handle?.Dispose();
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

    /// <summary>
    /// Reads a part of the file to another place in memory. Of a file that is read once this is faster than copying from the map, which would have to be set up page
    /// by page, and a file that somebody cuts short meanwhile is an error instead of the end of the process.
    /// </summary>
    /// <exception cref="InputException">The file has become shorter, or the disk fails.</exception>
    public void Read(long offset, Span<byte> destination)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - destination.Length);
        try
        {
            while (destination.Length > 0)
            {
                int count = RandomAccess.Read(_handle, destination, offset);
                if (count == 0)
                    throw new InputException($"{Path}: ends after {offset} bytes and had {Length} when it was opened; it was changed meanwhile, try again");
                destination = destination[count..];
                offset += count;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{Path}: cannot be read ({HostileText.Show(error.Message)})", error);
        }
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

    /// <summary>Unmaps and closes the file.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        if (_view is not null) _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view?.Dispose();
        _map?.Dispose();
        _handle.Dispose();
        _start = null;
    }

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
