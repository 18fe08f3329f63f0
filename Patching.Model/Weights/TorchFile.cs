using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Patching.Model.Pickle;

namespace Patching.Model.Weights;

/// <summary>
/// The tensors of a PyTorch file, read in place: archives of <c>torch.save</c> since 1.6 and of TorchScript (zip), streams of before 1.6,
/// and modules saved with <c>pickle.dump</c>, as the original does. Nothing in the file is ever run; docs/checkpoints.md describes the
/// formats and what is refused.
/// </summary>
public sealed class TorchFile : TensorFile
{
    // CLIP's have some hundred kilobytes; storages are not in the pickle.
    private const int LongestPickle = 1 << 26;

    // Tied weights are two tensors over one storage. More than a few of them over the same bytes are a bomb.
    private const int MostUses = 4;

    private readonly MappedFile _file;
    private readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);

    private TorchFile(MappedFile file)
        : base(file.Path)
    {
        _file = file;
        object? root;
        (Container, root) = Unpickle(file);
        TorchTensors found = TorchTensors.Find(file.Path, root);
        Int128 bytes = 0;
        foreach ((string name, TorchTensor tensor) in found.Tensors)
        {
            var entry = new Entry(name, tensor);
            bytes += (Int128)entry.Elements * TensorEntry.ElementSize(entry.DType);
            _tensors.Add(name, entry);
        }
        if (bytes > (Int128)file.Length * MostUses)
            throw new InputException(
                $"{file.Path}: its tensors have {bytes} bytes and the file {file.Length}: the same data is used over and over");
        Notes = [.. found.Notes];
        Metadata = found.Activation is { } activation
            ? new Dictionary<string, string> { [ClipCheckpoint.ActivationKey] = activation }
            : new Dictionary<string, string>();
    }

    /// <inheritdoc/>
    public override string Container { get; }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    /// <summary>The activation, where the file holds a module whose classes show it; nothing else.</summary>
    public override IReadOnlyDictionary<string, string> Metadata { get; }

    /// <inheritdoc/>
    public override ImmutableArray<string> Notes { get; }

    /// <summary>Opens a file, reads its pickle as data and checks every tensor against the file.</summary>
    /// <exception cref="InputException">The file cannot be read, is damaged, or asks for code to be run; the message says
    /// which.</exception>
    public static new TorchFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new TorchFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Whether a file begins as one of PyTorch's or Python's does.</summary>
    internal static bool Recognises(MappedFile file)
    {
        ReadOnlySpan<byte> start = file.Span(0, (int)Math.Min(file.Length, 512));
        return start.StartsWith(ZipDirectory.Magic) || IsTar(start) || IsPickle(start);
    }

    /// <inheritdoc/>
    public override void Dispose() => _file.Dispose();

    internal override void Copy(TensorEntry entry, long first, Span<byte> destination)
    {
        var place = (Entry)entry;
        int size = TensorEntry.ElementSize(entry.DType);
        if (place.IsContiguous) _file.Read(place.Offset + first * size, destination);
        else Gather(place, first, destination.Length / size, size, destination);
    }

    /// <summary>Copies elements that lie apart, in row-major order of their indices.</summary>
    private void Gather(Entry entry, long first, int count, int size, Span<byte> destination)
    {
        ImmutableArray<long> shape = entry.Shape, strides = entry.Tensor.Strides;
        Span<long> index = stackalloc long[shape.Length];
        long place = 0, rest = first;
        for (int axis = shape.Length - 1; axis >= 0; axis--)
        {
            (rest, index[axis]) = Math.DivRem(rest, shape[axis]);
            place += index[axis] * strides[axis];
        }
        for (int i = 0; i < count; i++)
        {
            _file.Span(entry.Offset + place * size, size).CopyTo(destination[(i * size)..]);
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                place += strides[axis];
                if (++index[axis] < shape[axis]) break;
                place -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
    }

    // A safetensors file whose header has 640 to 1535 bytes may begin with the same two bytes, but its ninth is a brace.
    private static bool IsPickle(ReadOnlySpan<byte> start) => start is [0x80, >= 2 and <= 5, ..] && !(start.Length > 8 && start[8] == '{');

    private static bool IsTar(ReadOnlySpan<byte> start) => start.Length > 262 && start.Slice(257, 5).SequenceEqual("ustar"u8);

    private static (string Container, object? Root) Unpickle(MappedFile file)
    {
        ReadOnlySpan<byte> start = file.Span(0, (int)Math.Min(file.Length, 512));
        if (start.StartsWith(ZipDirectory.Magic)) return ReadArchive(file);
        if (IsTar(start))
            throw new InputException(
                $"{file.Path}: is a tar archive; those of PyTorch before 0.4 are not supported, load and save it with a newer version");
        if (start.StartsWith(TorchStream.Magic))
            return ("PyTorch stream (before 1.6)", TorchStream.Read(file, 0, file.Length, isNested: false));
        object? root = PickleReader.Read(file.Path, file.Memory(0, file.Length), new TorchVocabulary(file), out int length);
        if (length != file.Length)
            throw new InputException($"{file.Path}: has {file.Length - length} bytes after its pickle; it is damaged");
        return ("Python pickle", root);
    }

    /// <summary>NAME/data.pkl is the object, NAME/data/KEY the bytes of storage KEY, NAME/byteorder its order.</summary>
    private static (string Container, object? Root) ReadArchive(MappedFile file)
    {
        ZipDirectory archive = ZipDirectory.Read(file);
        string[] pickles = [.. archive.Entries.Keys.Where(name =>
            name.EndsWith("/data.pkl", StringComparison.Ordinal) && name.Count(c => c == '/') == 1)];
        if (pickles.Length != 1)
            throw new InputException($"{file.Path}: is a zip archive with {pickles.Length} entries NAME/data.pkl; PyTorch's have one");
        string root = pickles[0][..^"data.pkl".Length];
        if (archive.Entries.TryGetValue($"{root}byteorder", out ZipEntry? byteOrder))
        {
            string order = Encoding.Latin1.GetString(archive.Unpack(byteOrder, 16).Span).Trim();
            if (order != "little")
                throw new InputException(
                    $"{file.Path}: its byte order is '{HostileText.Show(order)}', only 'little' is supported; save it again on a common machine");
        }
        var vocabulary = new TorchVocabulary(file);
        object? value =
            PickleReader.Read($"{file.Path} (data.pkl)", archive.Unpack(archive.Entries[pickles[0]], LongestPickle), vocabulary);
        foreach (TorchStorage storage in vocabulary.Storages.Values) Place(file, archive, $"{root}data/{storage.Key}", storage);
        bool isScript = archive.Entries.Keys.Any(name => name.StartsWith($"{root}code/", StringComparison.Ordinal));
        return (isScript ? "TorchScript archive (its code is ignored)" : "PyTorch archive", value);
    }

    private static void Place(MappedFile file, ZipDirectory archive, string name, TorchStorage storage)
    {
        if (!archive.Entries.TryGetValue(name, out ZipEntry? entry))
            throw new InputException(
                $"{file.Path}: has no entry '{HostileText.Show(name)}', which its data.pkl refers to; the file is damaged");
        if (entry.Compressed)
            throw new InputException(
                $"{file.Path}: its entry '{HostileText.Show(name)}' is compressed, which PyTorch never does;"
                + " unpack the archive and zip it without compression (zip -0)");
        if (entry.Length != storage.Length)
            throw new InputException(string.Create(
                CultureInfo.InvariantCulture,
                $"{file.Path}: its entry '{HostileText.Show(name)}' has {entry.Length} bytes, but data.pkl needs {storage.Length}; the file is damaged"));
        storage.Offset = entry.Offset;
    }

    private sealed record Entry(string Name, TorchTensor Tensor) : TensorEntry(Name, Tensor.Type, Tensor.Shape)
    {
        /// <summary>Where element (0, 0, ...) begins in the file.</summary>
        public long Offset { get; } = Tensor.Storage.Offset!.Value + Tensor.FirstByte;

        /// <summary>Whether the elements follow each other in row-major order.</summary>
        public bool IsContiguous { get; } = FollowEachOther(Tensor);

        private static bool FollowEachOther(TorchTensor tensor)
        {
            long step = 1;
            for (int axis = tensor.Shape.Length - 1; axis >= 0; axis--)
            {
                // The step along an axis of size 1 is never taken.
                if (tensor.Shape[axis] > 1 && tensor.Strides[axis] != step) return false;
                step *= tensor.Shape[axis];
            }
            return true;
        }
    }
}
