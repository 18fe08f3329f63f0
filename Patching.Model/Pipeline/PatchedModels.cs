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
    private readonly Dictionary<double, (ParameterSet Weights, ImageParameters Tensors)> held = [];
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

    /// <summary>
    /// Keeps the weights of several alphas side by side if they take no more than a quarter of the device's memory; those held before are let go.
    /// </summary>
    /// <returns>Whether they are held; <see cref="At"/> then returns them, each valid until the next call of this method.</returns>
    public bool Hold(IReadOnlyList<double> alphas)
    {
        Release();
        // The host has packed copies as large as the weights.
        long bytes = 2 * ParameterSet.BytesFor(finetuned.Table, model.Precision) * alphas.Count;
        if (bytes > model.Device.MemoryBytes / 4) return false;
        foreach (double alpha in alphas)
        {
            ParameterSet weights = new(model.Device, "interpolated parameters", finetuned.Table, model.Precision);
            ImageParameters tensors = ImageParameters.Of(weights, model.Config);
            held.Add(alpha, (weights, tensors));
            Interpolation.Forward(model.Device, weights.Flat, original.Flat, finetuned.Flat, alpha, weights.Rounded);
            tensors.Pack(model.Device);
        }
        return true;
    }

    /// <summary>The weights for one alpha, valid until the next call, or longer if <see cref="Hold"/> keeps them.</summary>
    public ImageParameters At(double alpha)
    {
        if (held.TryGetValue(alpha, out (ParameterSet Weights, ImageParameters Tensors) kept)) return kept.Tensors;
        if (current == alpha) return workingTensors;
        Interpolation.Forward(model.Device, working.Flat, original.Flat, finetuned.Flat, alpha, working.Rounded);
        workingTensors.Pack(model.Device);
        current = alpha;
        return workingTensors;
    }

    /// <summary>All weights of the line for one alpha, of which <see cref="At"/> gives the image tower; valid as long as that.</summary>
    public ParameterSet WeightsAt(double alpha)
    {
        At(alpha);
        return held.TryGetValue(alpha, out (ParameterSet Weights, ImageParameters Tensors) kept) ? kept.Weights : working;
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
        Release();
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
        Release();
        workingTensors.Dispose();
        working.Dispose();
    }

    private void Release()
    {
        foreach ((ParameterSet weights, ImageParameters tensors) in held.Values)
        {
            tensors.Dispose();
            weights.Dispose();
        }
        held.Clear();
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
