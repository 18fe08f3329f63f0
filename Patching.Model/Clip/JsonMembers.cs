using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;

namespace Patching.Model.Clip;

/// <summary>
/// An object of a configuration file together with where it stands, so that every access either gives a value of the right type or says in
/// one line which member of which file is wrong.
/// </summary>
internal readonly struct JsonMembers
{
    // Real ones have a few kilobytes; the limit keeps a wrong file from being read into memory.
    private const long MaxFileBytes = 4 << 20;

    private const int MaxListLength = 64;

    private readonly JsonElement _element;
    private readonly string _where;

    private JsonMembers(string source, string where, JsonElement element)
    {
        Source = source;
        _where = where;
        _element = element;
    }

    /// <summary>The file, as it begins every message.</summary>
    public string Source { get; }

    /// <summary>Reads a file that must hold one JSON object without duplicate members.</summary>
    public static JsonMembers ReadFile(string path)
    {
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > MaxFileBytes)
                throw new InputException($"{path}: {stream.Length} bytes are too many for a configuration file; give a CLIP model's own");
            byte[] bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            return Parse(path, bytes);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new InputException($"{path}: cannot be read ({error.Message})", error);
        }
    }

    /// <summary>Parses text that must hold one JSON object without duplicate members.</summary>
    public static JsonMembers Parse(string source, ReadOnlyMemory<byte> utf8)
    {
        if (!Utf8.IsValid(utf8.Span)) throw new InputException($"{source}: is not valid JSON (the text is not UTF-8)");
        try
        {
            // Not disposed on purpose: the elements are used after this method, and a parsed document of a few kilobytes is ordinary
            // garbage.
            var document = JsonDocument.Parse(utf8, new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind == JsonValueKind.Object) return new(source, "", document.RootElement);
            throw new InputException($"{source}: expected a JSON object, found {Kind(document.RootElement)}");
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new InputException($"{source}: is not valid JSON ({error.Message.ReplaceLineEndings(" ")})", error);
        }
    }

    /// <summary>Whether the member exists and is not null.</summary>
    public bool Has(string name) => TryGet(name, out _);

    /// <summary>Whether the member is an object.</summary>
    public bool HasObject(string name) => TryGet(name, out JsonElement value) && value.ValueKind == JsonValueKind.Object;

    /// <summary>A member that is an object.</summary>
    public JsonMembers Object(string name)
    {
        if (!TryGet(name, out JsonElement value)) throw Wrong(name, "is missing");
        if (value.ValueKind != JsonValueKind.Object) throw Wrong(name, $"must be an object, found {Kind(value)}");
        return new(Source, $"{_where}{name}.", value);
    }

    /// <summary>A whole number of at least 1, or the default where the member is absent.</summary>
    public int Positive(string name, int absent)
    {
        if (!TryGet(name, out JsonElement value)) return absent;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int number) || number < 1)
            throw Wrong(name, $"must be a whole number from 1 to {int.MaxValue}, found {Kind(value)}");
        return number;
    }

    /// <summary>A finite number, or the default where the member is absent.</summary>
    public double Number(string name, double absent)
    {
        if (!TryGet(name, out JsonElement value)) return absent;
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number) || !double.IsFinite(number))
            throw Wrong(name, $"must be a number, found {Kind(value)}");
        return number;
    }

    /// <summary>A text, or the default where the member is absent.</summary>
    public string Text(string name, string absent)
    {
        if (!TryGet(name, out JsonElement value)) return absent;
        if (value.ValueKind != JsonValueKind.String) throw Wrong(name, $"must be a text, found {Kind(value)}");
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException error)
        {
            throw new InputException($"{Source}: {_where}{name} is not valid text", error);
        }
    }

    /// <summary>True or false, or the default where the member is absent.</summary>
    public bool Flag(string name, bool absent)
    {
        if (!TryGet(name, out JsonElement value)) return absent;
        if (value.ValueKind is not (JsonValueKind.True or JsonValueKind.False))
            throw Wrong(name, $"must be true or false, found {Kind(value)}");
        return value.GetBoolean();
    }

    /// <summary>A list of exactly <paramref name="count"/> finite numbers, or null where the member is absent.</summary>
    public float[]? Floats(string name, int count)
    {
        if (!TryGet(name, out JsonElement value)) return null;
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() != count)
            throw Wrong(name, $"must be a list of {count} numbers, found {Kind(value)}");
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++)
        {
            JsonElement item = value[i];
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetSingle(out numbers[i]) || !float.IsFinite(numbers[i]))
                throw Wrong(name, $"must be a list of {count} numbers, item {i} is {Kind(item)}");
        }
        return numbers;
    }

    /// <summary>Whether the member is a list.</summary>
    public bool HasList(string name) => TryGet(name, out JsonElement value) && value.ValueKind == JsonValueKind.Array;

    /// <summary>A list of a few whole numbers of at least 1.</summary>
    public int[] Integers(string name)
    {
        if (!HasList(name)) throw Wrong(name, "must be a list of whole numbers");
        _ = TryGet(name, out JsonElement list);
        if (list.GetArrayLength() > MaxListLength) throw Wrong(name, $"is {Kind(list)} numbers, more than any model has");
        int[] numbers = new int[list.GetArrayLength()];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (list[i].ValueKind != JsonValueKind.Number || !list[i].TryGetInt32(out numbers[i]) || numbers[i] < 1)
                throw Wrong(name, $"must be a list of whole numbers from 1, item {i} is {Kind(list[i])}");
        }
        return numbers;
    }

    /// <summary>The error "FILE: MEMBER what".</summary>
    public InputException Wrong(string name, string what) => new($"{Source}: {_where}{name} {what}");

    private bool TryGet(string name, out JsonElement value) =>
        _element.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>
    /// The value itself where it is short, else its kind and size; always one line, because JSON escapes line breaks in texts.
    /// </summary>
    private static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => string.Create(CultureInfo.InvariantCulture, $"a list of {value.GetArrayLength()}"),
        _ => value.GetRawText() is { Length: <= 60 } text ? text : $"{value.GetRawText()[..60]}...",
    };
}
