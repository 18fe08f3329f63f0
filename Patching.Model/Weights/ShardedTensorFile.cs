using System.Collections.Immutable;
using System.Text.Json;

namespace Patching.Model.Weights;

/// <summary>
/// Tensors that are spread over several files, with an index in JSON that says which is where: <c>{"weight_map": {"NAME": "FILE"}}</c>. The
/// files are all opened and checked, and must hold exactly what the index says; none is read before it is needed.
/// </summary>
public sealed class ShardedTensorFile : TensorFile
{
    /// <summary>How the name of an index ends.</summary>
    public const string IndexSuffix = ".index.json";

    private const int MaxIndexBytes = 1 << 25;
    private const int MaxShards = 1000;

    private readonly SortedDictionary<string, TensorFile> _shards = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorFile> _places = new(StringComparer.Ordinal);

    private ShardedTensorFile(string path)
        : base(path)
    {
        try
        {
            Dictionary<string, string> map = ReadIndex(path);
            string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
            RequireFiles(folder, [.. map.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)]);
            foreach ((string tensor, string shard) in map) Place(tensor, shard);
            foreach ((string name, TensorFile shard) in _shards)
                if (shard.Tensors.Keys.FirstOrDefault(tensor => map.GetValueOrDefault(tensor) != name) is { } unlisted)
                    throw Wrong(
                        $"does not list tensor '{HostileText.Show(unlisted)}' of {HostileText.Show(name)}; the files do not belong together");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override string Container => $"{_shards.Count} files, {_shards.Values.First().Container}";

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    /// <summary>The texts of the first file.</summary>
    public override IReadOnlyDictionary<string, string> Metadata => _shards.Values.First().Metadata;

    /// <summary>The files, in order of their names; the index is not among them.</summary>
    public override ImmutableArray<string> Files => [.. _shards.Values.SelectMany(shard => shard.Files)];

    /// <inheritdoc/>
    public override ImmutableArray<string> Notes => [.. _shards.Values.SelectMany(shard => shard.Notes).Distinct()];

    /// <summary>Opens an index and all files it names.</summary>
    /// <exception cref="InputException">The index or a file is missing, damaged, or they contradict each other.</exception>
    public static new ShardedTensorFile Open(string path) => new(path);

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (TensorFile shard in _shards.Values) shard.Dispose();
    }

    internal override void Copy(TensorEntry entry, long first, Span<byte> destination) => _places[entry.Name].Copy(entry, first, destination);

    private static Dictionary<string, string> ReadIndex(string path)
    {
        using MappedFile file = MappedFile.Open(path);
        InputException Wrong(string what) => new($"{path}: {what}");
        if (file.Length > MaxIndexBytes) throw Wrong($"has {file.Length} bytes, too many for an index");
        try
        {
            using var document =
                JsonDocument.Parse(file.Memory(0, file.Length), new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("weight_map", out JsonElement map)
                || map.ValueKind != JsonValueKind.Object)
                throw Wrong("has no object 'weight_map'; it is no index of weights");
            var files = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (JsonProperty tensor in map.EnumerateObject())
            {
                string? name = tensor.Value.ValueKind == JsonValueKind.String ? tensor.Value.GetString() : null;
                if (name is null || !IsPlain(name))
                    throw Wrong(
                        $"places tensor '{HostileText.Show(tensor.Name)}' in '{HostileText.Show(name ?? tensor.Value.GetRawText())}'"
                        + ", which is no name of a file beside it");
                files.Add(tensor.Name, name);
            }
            return files.Count > 0 ? files : throw Wrong("lists no tensors");
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new InputException($"{path}: is not valid JSON ({HostileText.Show(error.Message)})", error);
        }
    }

    /// <summary>A name without folders, of a container that is no index itself.</summary>
    private static bool IsPlain(string name) =>
        name.Length is > 0 and <= 255 && !name.AsSpan().ContainsAny("/\\:\0") && name is not ("." or "..")
            && !name.EndsWith(IndexSuffix, StringComparison.Ordinal);

    private void RequireFiles(string folder, string[] names)
    {
        if (names.Length > MaxShards) throw Wrong($"names {names.Length} files; {MaxShards} are allowed");
        string[] missing = [.. names.Where(name => !File.Exists(System.IO.Path.Combine(folder, name)))];
        if (missing.Length > 0)
            throw Wrong(
                $"{missing.Length} of its {names.Length} files are missing: {string.Join(", ", missing.Take(20).Select(HostileText.Show))}");
        foreach (string name in names) _shards.Add(name, TensorFile.Open(System.IO.Path.Combine(folder, name)));
    }

    private void Place(string tensor, string shard)
    {
        if (!_shards[shard].Tensors.TryGetValue(tensor, out TensorEntry? entry))
            throw Wrong($"places tensor '{HostileText.Show(tensor)}' in {HostileText.Show(shard)}, which does not hold it");
        _tensors.Add(tensor, entry);
        _places.Add(tensor, _shards[shard]);
    }

    private InputException Wrong(string what) => new($"{Path}: {what}");
}
