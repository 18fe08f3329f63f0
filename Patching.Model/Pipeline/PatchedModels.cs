using System.Globalization;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <summary>
/// The line between two models, <c>theta(alpha) = (1 - alpha) theta0 + alpha theta1</c>, as working weights on the device and as model directories on disk.
/// </summary>
public sealed class PatchedModels : IDisposable
{
    private const string AlphaKey = "alpha";
    private const string BaseKey = "base_model_sha256";
    private const string RecipeKey = "finetune_settings";

    private readonly ClipModel model;
    private readonly ParameterSet original;
    private readonly ParameterSet finetuned;
    private readonly ParameterSet working;
    private readonly ImageParameters workingTensors;
    private double? current;

    /// <summary>Prepares working weights; takes no ownership of the ends.</summary>
    /// <param name="model">The model that theta0 comes from, and whatever the line does not change.</param>
    /// <param name="original">theta0: the image tower, or both.</param>
    /// <param name="finetuned">theta1, of the same table.</param>
    public PatchedModels(ClipModel model, ParameterSet original, ParameterSet finetuned)
    {
        this.model = model;
        this.original = original;
        this.finetuned = finetuned;
        working = new ParameterSet(model.Device, "interpolated parameters", finetuned.Table, model.Precision);
        workingTensors = ImageParameters.Of(working, model.Config);
    }

    /// <summary>All weights of the line for the last alpha that <see cref="At"/> was asked for.</summary>
    public ParameterSet Weights => working;

    /// <summary>The image tower for one alpha, valid until the next call.</summary>
    public ImageParameters At(double alpha)
    {
        if (current == alpha) return workingTensors;
        Interpolation.Forward(model.Device, working.Flat, original.Flat, finetuned.Flat, alpha, working.Rounded);
        workingTensors.Pack(model.Device);
        current = alpha;
        return workingTensors;
    }

    /// <summary>Folder of one alpha's model: the shortest decimal that reads back as the same number, so no two alphas share a name.</summary>
    public static string DirectoryName(double alpha) => "alpha=" + alpha.ToString("R", CultureInfo.InvariantCulture);

    /// <summary>
    /// Writes the model of one alpha as a complete model directory: what was trained interpolated, the rest and the tokenizer from the base model. A directory that holds this very model already
    /// is left as it is.
    /// </summary>
    /// <param name="parent">Where <see cref="DirectoryName"/> is made.</param>
    /// <param name="alpha">Weight of theta1.</param>
    /// <param name="recipe">What theta1 came from, for the metadata.</param>
    /// <param name="command">The command line, for the metadata.</param>
    /// <param name="overwrite">Whether another model of that name may be replaced.</param>
    /// <returns>The directory.</returns>
    public string Save(string parent, double alpha, string recipe, string command, bool overwrite)
    {
        string directory = Path.Combine(parent, DirectoryName(alpha));
        Dictionary<string, string> metadata = Identity(model, alpha, recipe);
        if (IsSaved(directory, metadata)) return directory;
        metadata["command"] = command;
        At(alpha);
        HashSet<string> trained = [.. working.Table.Select(spec => spec.Name)];
        CheckpointWriter.Save(
            directory, model.Config, model.Checkpoint.Preprocess, (spec, values) =>
            {
                if (trained.Contains(spec.Name)) working.Fetch(spec, values);
                else model.Checkpoint.Read(spec, values);
            },
            metadata: metadata, tokenizerDirectory: model.Checkpoint.TokenizerDirectory, overwrite: overwrite, counters: model.Checkpoint.Counters);
        return directory;
    }

    /// <summary>Refuses now what <see cref="Save"/> would refuse later: a directory that holds another model, or something else.</summary>
    /// <exception cref="InputException">The directory cannot be written.</exception>
    public static void CheckSave(ClipModel model, string parent, double alpha, string recipe, bool overwrite)
    {
        string directory = Path.Combine(parent, DirectoryName(alpha));
        if (!IsSaved(directory, Identity(model, alpha, recipe))) CheckpointWriter.RequireReplaceable(directory, overwrite);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        workingTensors.Dispose();
        working.Dispose();
    }

    private static Dictionary<string, string> Identity(ClipModel model, double alpha, string recipe) => new()
    {
        [AlphaKey] = alpha.ToString("R", CultureInfo.InvariantCulture),
        [BaseKey] = model.Checkpoint.Sha256,
        [RecipeKey] = recipe,
    };

    private static bool IsSaved(string directory, Dictionary<string, string> identity)
    {
        if (!Directory.Exists(directory)) return false;
        try
        {
            using ClipCheckpoint existing = ClipCheckpoint.Open(directory);
            return identity.All(pair => existing.Metadata.TryGetValue(pair.Key, out string? value) && value == pair.Value);
        }
        catch (InputException)
        {
            return false;
        }
    }
}
