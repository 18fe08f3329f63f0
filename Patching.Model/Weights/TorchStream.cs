using System.Buffers.Binary;
using Patching.Model.Pickle;

namespace Patching.Model.Weights;

/// <summary>
/// What <c>torch.save</c> wrote before version 1.6, and still writes for storages inside plain pickles: five pickles one after the other
/// (magic number, protocol, system, the object, the keys of its storages), then for every key the number of elements (int64) and the
/// elements.
/// </summary>
internal static class TorchStream
{
    private const long ProtocolVersion = 1001;

    /// <summary>The first pickle: the number 0x1950a86a20f9469cfc6c.</summary>
    public static ReadOnlySpan<byte> Magic => [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, (byte)'.'];

    /// <summary>Reads the object and places its storages.</summary>
    /// <param name="file">The file.</param>
    /// <param name="start">Where the stream begins in it.</param>
    /// <param name="length">Bytes of the stream.</param>
    /// <param name="isNested">Whether it lies inside a pickle.</param>
    /// <exception cref="InputException">The stream is damaged or asks for something that is refused.</exception>
    public static object? Read(MappedFile file, long start, long length, bool isNested)
    {
        long position = start, end = start + length;
        if (length < Magic.Length || !file.Span(start, Magic.Length).SequenceEqual(Magic))
            throw Wrong(file, "does not begin with PyTorch's magic number");
        position += Magic.Length;
        var vocabulary = new TorchVocabulary(file, isNested);
        object? Next()
        {
            object? value = PickleReader.Read(file.Path, file.Memory(position, end - position), vocabulary, out int used);
            position += used;
            return value;
        }
        if (Next() is not ProtocolVersion) throw Wrong(file, $"is not of the one known version, {ProtocolVersion}");
        if (Next() is not Dictionary<string, object?> system || !system.TryGetValue("little_endian", out object? order))
            throw Wrong(file, "does not say on what system it was written");
        if (order is not true)
            throw Wrong(file, "was written on a big-endian machine, which is not supported; save it again on a common one");
        object? value = Next();
        if (Next() is not List<object?> keys) throw Wrong(file, "has no list of its storages");
        foreach (object? key in keys) position += Place(file, vocabulary, PickleReader.Text(key), position, end);
        if (position != end) throw Wrong(file, $"has {end - position} bytes after its last storage; it is damaged");
        if (vocabulary.Storages.Values.FirstOrDefault(storage => storage.Offset is null) is { } missing)
            throw Wrong(file, $"does not hold storage '{HostileText.Show(missing.Key)}'; it is cut short or damaged");
        return value;
    }

    /// <returns>Bytes of the storage and its count.</returns>
    private static long Place(MappedFile file, TorchVocabulary vocabulary, string? key, long position, long end)
    {
        if (key is null || !vocabulary.Storages.TryGetValue(key, out TorchStorage? storage))
            throw Wrong(file, $"holds storage '{HostileText.Show(key ?? "?")}', which no tensor uses; it is damaged");
        if (storage.Offset is not null) throw Wrong(file, $"holds storage '{HostileText.Show(key)}' twice");
        if (end - position < sizeof(long) + storage.Length)
            throw Wrong(file, $"ends before the {storage.Length} bytes of storage '{HostileText.Show(key)}'; it is cut short");
        long elements = BinaryPrimitives.ReadInt64LittleEndian(file.Span(position, sizeof(long)));
        // The count is in elements whose size only the pickle knows; some versions count the bytes.
        if (elements < 0 || elements > storage.Length
            || (elements == 0 ? storage.Length != 0 : storage.Length % elements != 0 || storage.Length / elements > 8))
            throw Wrong(file, $"has {elements} elements in storage '{HostileText.Show(key)}' of {storage.Length} bytes; it is damaged");
        storage.Offset = position + sizeof(long);
        return sizeof(long) + storage.Length;
    }

    private static InputException Wrong(MappedFile file, string what) => new($"{file.Path}: PyTorch stream: {what}");
}
