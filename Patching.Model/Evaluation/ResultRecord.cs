using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Patching.Model.Clip;
using Patching.Model.Pipeline;
using Patching.Model.Training;

namespace Patching.Model.Evaluation;

/// <summary>One evaluation with every setting that led to it: one line of a results file.</summary>
public sealed record ResultRecord
{
    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Name of the experiment, if it was given one.</summary>
    public string? ExpName { get; init; }

    /// <summary>The model as named by the user.</summary>
    public required string Model { get; init; }

    /// <summary>SHA-256 of the model's weights.</summary>
    public required string ModelSha256 { get; init; }

    /// <summary>The data set evaluated.</summary>
    public required string EvalDataset { get; init; }

    /// <summary>Weight of the fine-tuned model; absent where a single model was evaluated.</summary>
    public double? Alpha { get; init; }

    /// <summary>Share of correct predictions, 0 to 1.</summary>
    public required double Top1 { get; init; }

    /// <summary>Share of images whose label is among the five largest logits; absent where there are no more than five classes.</summary>
    public double? Top5 { get; init; }

    /// <summary>Mean over the classes of the share of their images that are predicted correctly.</summary>
    public double? MeanPerClass { get; init; }

    /// <summary><see cref="CalibrationError"/>, 0 to 1; absent where the logits are no numbers.</summary>
    public double? Ece { get; init; }

    /// <summary>Correct predictions.</summary>
    public required int Correct { get; init; }

    /// <summary>Images evaluated.</summary>
    public required int Count { get; init; }

    /// <summary>Images left out because they cannot be read.</summary>
    public required int Skipped { get; init; }

    /// <summary>
    /// Images of typographic attacks on which the written word won over the true label; absent where nothing is written on the images.
    /// </summary>
    public int? Misled { get; init; }

    /// <summary>SHA-256 of the manifest that names the images; absent where none was given.</summary>
    public string? Manifest { get; init; }

    /// <summary>The <see cref="PredictionFile"/> with what was predicted of every image, relative to the results file; absent where none was written.</summary>
    public string? Predictions { get; init; }

    /// <summary>Hash of the templates, class names and model the head was built from.</summary>
    public required string HeadKey { get; init; }

    /// <summary>Epochs done, where the evaluation happened during training.</summary>
    public int? Epoch { get; init; }

    /// <summary>Settings of the fine-tune; absent where nothing was trained.</summary>
    public FinetuneSettings? Finetune { get; init; }

    /// <summary>Where the fine-tune logged its curve, seen from the folder of the results file; absent where nothing was saved.</summary>
    public string? TrainingLog { get; init; }

    /// <summary>The recipe of a run over several tasks, as one line of JSON; absent otherwise.</summary>
    public string? Recipe { get; init; }

    /// <summary>How much of each fine-tuned model is in the one evaluated, in the order of the recipe's tasks; absent where <see cref="Alpha"/> says it.</summary>
    public IReadOnlyList<double>? Coefficients { get; init; }

    /// <summary>The device, in words.</summary>
    public required string Device { get; init; }

    /// <summary>Arithmetic of the towers.</summary>
    public required TowerPrecision Precision { get; init; }

    /// <summary>Version of this program.</summary>
    public required string Version { get; init; }

    /// <summary>The command line.</summary>
    public required string Command { get; init; }

    /// <summary>When, in UTC.</summary>
    public required DateTime Time { get; init; }

    /// <summary>A record of a score; what else led to it is for the caller to say.</summary>
    /// <param name="score">The score.</param>
    /// <param name="model">The model that the images were evaluated with, or whose weights were changed for it.</param>
    /// <param name="named">How the user named it.</param>
    /// <param name="headKey">Hash of the head.</param>
    /// <param name="command">The command line.</param>
    public static ResultRecord Of(EvaluationScore score, ClipModel model, string named, string headKey, string command) => new()
    {
        Model = named,
        ModelSha256 = model.Checkpoint.Sha256,
        EvalDataset = score.Dataset,
        Top1 = score.Top1,
        Top5 = score.Top5,
        MeanPerClass = score.MeanPerClass,
        Ece = score.CalibrationError,
        Correct = score.Correct,
        Count = score.Count,
        Skipped = score.Skipped,
        Misled = score.Misled,
        Manifest = score.Manifest,
        HeadKey = headKey,
        Device = model.Device.Name,
        Precision = model.Precision,
        Version = PatchPipeline.Version,
        Command = command,
        Time = DateTime.UtcNow,
    };

    /// <summary>One line of JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Format);

    /// <summary>Appends records to a results file, all in one write so that lines of concurrent runs do not mix.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Append(string path, IEnumerable<ResultRecord> records)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            File.AppendAllText(path, string.Concat(records.Select(record => record.ToJson() + "\n")));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"--results-db {path}: cannot be written ({error.Message})", error);
        }
    }
}
