using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using YamlDotNet.Core;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace Patching.Model.Tasks;

/// <summary>Recipes as files: YAML, and JSON, which is a part of it. Unknown settings are errors, so that a misspelt one is not silently the default.</summary>
public static class RecipeFile
{
    private const long LargestFile = 1 << 20;

    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.KebabCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower) },
        IgnoreReadOnlyProperties = true,
    };

    /// <summary>Reads a recipe.</summary>
    /// <exception cref="InputException">The file cannot be read or is no recipe; the message names the line.</exception>
    public static TaskRecipe Read(string path)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > LargestFile }) throw new InputException($"{path}: is too large for a recipe");
            IDeserializer deserializer = new DeserializerBuilder()
                .WithNamingConvention(HyphenatedNamingConvention.Instance).WithDuplicateKeyChecking().Build();
            return deserializer.Deserialize<RecipeText?>(File.ReadAllText(path))?.ToRecipe() ?? throw new InputException($"{path}: is empty; a recipe names at least model, train-datasets and eval-datasets");
        }
        catch (YamlException error)
        {
            string reason = (error.InnerException is null ? error.Message : $"{error.Message}: {error.InnerException.Message}").ReplaceLineEndings(" ");
            throw new InputException($"{path} line {error.Start.Line}: is no recipe ({reason})", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({error.Message})", error);
        }
    }

    /// <summary>One line of JSON with every setting that a recipe came to; it is a recipe itself.</summary>
    public static string Write(TaskRecipe recipe) => JsonSerializer.Serialize(recipe, Format);

    /// <summary>A recipe as it is written; what is missing is the default.</summary>
    private sealed class RecipeText
    {
        public string? Name { get; set; }

        public TaskStrategy Strategy { get; set; }

        public string? Model { get; set; }

        public string? DataLocation { get; set; }

        public List<string>? TrainDatasets { get; set; }

        public List<string>? EvalDatasets { get; set; }

        public bool? Balanced { get; set; }

        public bool? BothOrders { get; set; }

        public double? Alpha { get; set; }

        public double? MaxDrop { get; set; }

        public double? Resolution { get; set; }

        public int? Budget { get; set; }

        public int? Epochs { get; set; }

        public double? Lr { get; set; }

        public double? Wd { get; set; }

        public double? Ls { get; set; }

        public int? BatchSize { get; set; }

        public int? WarmupLength { get; set; }

        public double? ClipNorm { get; set; }

        public int? Seed { get; set; }

        public TaskRecipe ToRecipe()
        {
            TaskRecipe d = new();
            return new TaskRecipe
            {
                Name = Name,
                Strategy = Strategy,
                Model = Model ?? d.Model,
                DataLocation = DataLocation ?? d.DataLocation,
                TrainDatasets = TrainDatasets ?? [],
                EvalDatasets = EvalDatasets ?? [],
                Balanced = Balanced ?? d.Balanced,
                BothOrders = BothOrders ?? d.BothOrders,
                Alpha = Alpha,
                MaxDrop = MaxDrop,
                Resolution = Resolution ?? d.Resolution,
                Budget = Budget ?? d.Budget,
                Epochs = Epochs ?? d.Epochs,
                Lr = Lr ?? d.Lr,
                Wd = Wd ?? d.Wd,
                Ls = Ls ?? d.Ls,
                BatchSize = BatchSize ?? d.BatchSize,
                WarmupLength = WarmupLength,
                ClipNorm = ClipNorm ?? d.ClipNorm,
                Seed = Seed ?? d.Seed,
            };
        }
    }
}
