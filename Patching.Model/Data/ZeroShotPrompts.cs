using System.Text.Json;

namespace Patching.Model.Data;

/// <summary>
/// What the zero-shot head of a data set is built from: the class names and the prompt templates of the original (its <c>templates.py</c>
/// and the <c>classnames</c> of its data sets; they come from OpenAI's CLIP). Every template holds <see cref="Placeholder"/> where the
/// class name goes.
/// </summary>
/// <remarks>
/// The table is the embedded resource <c>ZeroShotPrompts.json</c>. Data sets whose class names are those of their folders or annotation
/// files (MTSD, <c>folder:PATH</c>) have an empty <see cref="ClassNames"/> here: take <see cref="ImageDataset.ClassNames"/>, which is right
/// for every data set.
/// </remarks>
public sealed class ZeroShotPrompts
{
    /// <summary>Stands in a template for the class name.</summary>
    public const string Placeholder = "{CLASS}";

    private static readonly Dictionary<string, ZeroShotPrompts> Table = ReadTable();

    private ZeroShotPrompts(IReadOnlyList<string> classNames, IReadOnlyList<string> templates)
    {
        ClassNames = classNames;
        Templates = templates;
    }

    /// <summary>
    /// Prompts for data sets the original does not know, image folders above all: the two plain templates CLIP's authors use for natural
    /// photos (SUN397, STL10), "a photo of a {CLASS}." and "a photo of the {CLASS}.".
    /// </summary>
    public static ZeroShotPrompts Default { get; } = new([], ["a photo of a {CLASS}.", "a photo of the {CLASS}."]);

    /// <summary>Names of the data sets in the table, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Table.Keys.Order(StringComparer.OrdinalIgnoreCase)];

    /// <summary>Class names, indexed by label; empty where the data set's files give them.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>Templates in the original's order.</summary>
    public IReadOnlyList<string> Templates { get; }

    /// <summary>
    /// Prompts of a data set by its name, case-insensitive. <c>MNISTVal</c> has those of <c>MNIST</c>, <c>ImageNetV2</c> those of
    /// <c>ImageNet</c>; names that hold a path have <see cref="Default"/>.
    /// </summary>
    /// <exception cref="InputException">The table has no such name.</exception>
    public static ZeroShotPrompts For(string datasetName)
    {
        datasetName = DatasetCatalog.WithoutHalf(datasetName);
        if (DatasetCatalog.PrefixOf(datasetName) is not null) return Default;
        if (Table.TryGetValue(datasetName, out ZeroShotPrompts? prompts)) return prompts;
        if (Table.TryGetValue(DatasetCatalog.WithoutValidationSuffix(datasetName), out prompts)) return prompts;
        // The same classes, photographed anew.
        if (DatasetCatalog.WithoutValidationSuffix(datasetName)
            .Equals("ImageNetV2", StringComparison.OrdinalIgnoreCase)) return Table["ImageNet"];
        throw new InputException(
            $"no prompt templates are known for data set '{datasetName}'; known are {string.Join(", ", Names)} and folder:PATH");
    }

    /// <summary>The texts of one class: every template with the class name filled in.</summary>
    public string[] Fill(string className) => Fill(Templates, className);

    /// <summary>Every one of the given templates with the class name filled in.</summary>
    public static string[] Fill(IReadOnlyList<string> templates, string className) =>
        [.. templates.Select(template => template.Replace(Placeholder, className, StringComparison.Ordinal))];

    private static Dictionary<string, ZeroShotPrompts> ReadTable()
    {
        using Stream stream = typeof(ZeroShotPrompts).Assembly.GetManifestResourceStream("ZeroShotPrompts.json")!;
        using JsonDocument document = JsonDocument.Parse(stream);
        var table = new Dictionary<string, ZeroShotPrompts>(StringComparer.OrdinalIgnoreCase);
        foreach (JsonProperty dataset in document.RootElement.EnumerateObject())
            table.Add(dataset.Name, new ZeroShotPrompts(Strings(dataset.Value, "classNames"), Strings(dataset.Value, "templates")));
        return table;
    }

    private static string[] Strings(JsonElement dataset, string member) =>
        dataset.TryGetProperty(member, out JsonElement values) ? [.. values.EnumerateArray().Select(value => value.GetString()!)] : [];
}
