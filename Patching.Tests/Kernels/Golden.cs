using System.Text.Json;

namespace Patching.Tests.Kernels;

/// <summary>Values computed by the original's tools in double precision, as nested lists of numbers.</summary>
internal static class Golden
{
    private static readonly Lazy<JsonDocument> Document = new(() =>
        JsonDocument.Parse(File.ReadAllText(Repository.Fixture("numeric", "numeric.json"))));

    /// <summary>A section of numeric.json.</summary>
    public static JsonElement Section(string name) => Document.Value.RootElement.GetProperty(name);

    /// <summary>All numbers of nested lists in order.</summary>
    public static double[] Numbers(this JsonElement element) =>
        element.ValueKind == JsonValueKind.Array ? [.. element.EnumerateArray().SelectMany(item => item.Numbers())] : [element.GetDouble()];

    /// <summary>All numbers of nested lists in order, rounded to single precision.</summary>
    public static float[] Floats(this JsonElement element) => [.. element.Numbers().Select(value => (float)value)];

    /// <summary>Rows and columns of a list of lists.</summary>
    public static (int Rows, int Columns) Extents(this JsonElement element) => (element.GetArrayLength(), element[0].GetArrayLength());
}
