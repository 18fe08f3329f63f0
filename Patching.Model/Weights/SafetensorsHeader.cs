using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Unicode;

namespace Patching.Model.Weights;

/// <summary>
/// The JSON header of a safetensors file, parsed and checked against the size of the data: what comes out of <see cref="Parse"/> can be
/// read without further checks.
/// </summary>
/// <remarks>
/// Format: u64 little-endian length n, n bytes of JSON, then the data. The JSON is an object <c>{"NAME": {"dtype", "shape", "data_offsets":
/// [begin, end]}, ..., "__metadata__": {"KEY": "TEXT"}}</c>; offsets count from the end of the header, and the tensors must cover the data
/// without holes or overlaps. Specification: https://github.com/huggingface/safetensors.
/// </remarks>
internal sealed class SafetensorsHeader
{
    /// <summary>Longest header that the format allows.</summary>
    public const int MaxBytes = 100_000_000;

    /// <summary>The member that holds texts instead of a tensor.</summary>
    public const string MetadataName = "__metadata__";

    private readonly string _path;
    private readonly long _dataOffset;
    private readonly long _dataLength;
    private readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafetensorsHeader(string path, long dataOffset, long dataLength)
    {
        _path = path;
        _dataOffset = dataOffset;
        _dataLength = dataLength;
    }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    /// <summary>The texts of <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Parses and checks a header.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="json">The bytes of the JSON.</param>
    /// <param name="dataOffset">Where the data begins in the file.</param>
    /// <param name="dataLength">Bytes of data in the file.</param>
    public static SafetensorsHeader Parse(string path, byte[] json, long dataOffset, long dataLength)
    {
        var header = new SafetensorsHeader(path, dataOffset, dataLength);
        try
        {
            if (json is not [(byte)'{', ..] || !Utf8.IsValid(json))
                throw header.Wrong("the header is not a JSON object; this is not a safetensors file");
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false });
            foreach (JsonProperty member in document.RootElement.EnumerateObject())
            {
                if (member.Name == MetadataName) header.AddMetadata(member.Value);
                else header.AddTensor(member.Name, member.Value);
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new InputException($"{path}: the header is not valid JSON ({HostileText.Show(error.Message)})", error);
        }
        header.CheckCoverage();
        return header;
    }

    private void AddMetadata(JsonElement metadata)
    {
        if (metadata.ValueKind != JsonValueKind.Object) throw Wrong("__metadata__ is not an object");
        foreach (JsonProperty member in metadata.EnumerateObject())
        {
            if (member.Value.ValueKind != JsonValueKind.String)
                throw Wrong($"__metadata__ member '{HostileText.Show(member.Name)}' is not a text");
            _metadata.Add(member.Name, member.Value.GetString()!);
        }
    }

    private void AddTensor(string name, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object) throw WrongTensor(name, "is not described by an object");
        if (!value.TryGetProperty("dtype", out JsonElement type) || type.ValueKind != JsonValueKind.String)
            throw WrongTensor(name, "has no dtype");
        if (!Enum.TryParse(type.GetString(), out SafetensorsType known) || known.ToString() != type.GetString())
            throw WrongTensor(name, $"has the unknown dtype '{HostileText.Show(type.GetString()!)}'");
        ImmutableArray<long> shape = NonNegative(name, value, "shape");
        ImmutableArray<long> offsets = NonNegative(name, value, "data_offsets");
        if (offsets is not [long begin, long end]) throw WrongTensor(name, "must have two data_offsets");
        if (begin > end || end > _dataLength)
            throw WrongTensor(name, $"has data_offsets [{begin}, {end}] outside the {_dataLength} bytes of data; the file is cut short");
        var entry = new SafetensorsEntry(name, known, shape, _dataOffset + begin, end - begin);
        if (TensorEntry.ByteCount(known, shape) != entry.Length)
            throw WrongTensor(name, $"has {entry.Length} bytes of data, which is not what {known} {entry.ShapeText} needs");
        _tensors.Add(name, entry);
    }

    private ImmutableArray<long> NonNegative(string name, JsonElement tensor, string member)
    {
        if (!tensor.TryGetProperty(member, out JsonElement list) || list.ValueKind != JsonValueKind.Array)
            throw WrongTensor(name, $"has no list '{member}'");
        var numbers = ImmutableArray.CreateBuilder<long>(list.GetArrayLength());
        foreach (JsonElement item in list.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out long number) || number < 0)
                throw WrongTensor(name, $"has '{HostileText.Show(item.GetRawText())}' in '{member}'; expected whole numbers of at least 0");
            numbers.Add(number);
        }
        return numbers.MoveToImmutable();
    }

    private void CheckCoverage()
    {
        long position = _dataOffset;
        string previous = "";
        foreach (SafetensorsEntry entry in _tensors.Values.Cast<SafetensorsEntry>()
            .OrderBy(entry => entry.Offset).ThenBy(entry => entry.Length))
        {
            if (entry.Offset < position)
                throw WrongTensor(entry.Name, $"overlaps tensor '{HostileText.Show(previous)}'; the file is damaged");
            if (entry.Offset > position)
                throw WrongTensor(entry.Name, $"leaves a hole of {entry.Offset - position} bytes before it; the file is damaged");
            position = entry.Offset + entry.Length;
            previous = entry.Name;
        }
        long rest = _dataOffset + _dataLength - position;
        if (rest > 0) throw Wrong($"{rest} bytes after the last tensor belong to none; the file is damaged");
    }

    private InputException Wrong(string what) => new($"{_path}: {what}");

    private InputException WrongTensor(string name, string what) => Wrong($"tensor '{HostileText.Show(name)}' {what}");
}
