using System.Collections.Immutable;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Model.Merging;

/// <summary>Where a merged model goes.</summary>
/// <param name="Folder">The model directory to be created.</param>
/// <param name="Type">F32, F16 or BF16.</param>
/// <param name="Command">The command line, for the metadata.</param>
/// <param name="Overwrite">Whether an existing model may be replaced.</param>
public sealed record MergeOutput(string Folder, SafetensorsType Type = SafetensorsType.F32, string Command = "", bool Overwrite = false)
{
    /// <summary>Refuses now what writing would refuse later.</summary>
    /// <exception cref="InputException">The folder cannot be written.</exception>
    public void Check()
    {
        PatchSettings.CheckFolder("--out", Folder);
        CheckpointWriter.RequireReplaceable(Folder, Overwrite);
    }
}

/// <summary>Models on disk that fit together, to be merged by a <see cref="MergeMethod"/> without training.</summary>
public sealed class ModelMerge : IDisposable
{
    private readonly ImmutableArray<ClipCheckpoint> models;

    private ModelMerge(ImmutableArray<ClipCheckpoint> models)
    {
        this.models = models;
        ModelComparison.RequireSame(models[0], models.Skip(1));
        Notes = [.. ModelComparison.Notes(models[0], models.Skip(1))];
        Table = ParameterTable.All(models[0].Config);
        // Each hash reads a whole file; they do not depend on each other.
        Parallel.ForEach(models, model => _ = model.Sha256);
        Inputs = [.. models.Select(model => new MergeInput(model.Path, model.Sha256, model.Read))];
    }

    /// <summary>The models in the order they were given.</summary>
    public ImmutableArray<MergeInput> Inputs { get; }

    /// <summary>Their parameters.</summary>
    public ImmutableArray<ParameterSpec> Table { get; }

    /// <summary>What a user should know about the models, a sentence each.</summary>
    public ImmutableArray<string> Notes { get; }

    /// <summary>The architecture that they share.</summary>
    public ClipConfig Config => models[0].Config;

    /// <summary>Opens the models and checks that they fit together.</summary>
    /// <param name="paths">Model directories or checkpoint files; preprocessing and tokenizer of the first go into the result.</param>
    /// <param name="activation">The non-linearity, where the user states it.</param>
    /// <exception cref="InputException">A model cannot be used, or differs from the first: every mismatch is listed.</exception>
    public static ModelMerge Open(IReadOnlyList<string> paths, ActivationKind? activation)
    {
        List<ClipCheckpoint> opened = [];
        try
        {
            foreach (string path in paths) opened.Add(ClipCheckpoint.Open(path, activation));
            return new ModelMerge([.. opened]);
        }
        catch
        {
            foreach (ClipCheckpoint model in opened) model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The order in which models are merged: by their hashes and numbers, not as given, so that the same models in another order give the same bytes. The first
    /// <paramref name="fixedModels"/> keep their places.
    /// </summary>
    /// <param name="fixedModels">How many models come first whatever their hashes: 1 where there is a base.</param>
    /// <param name="numbers">A number per model, to order those that are the same; null where there is none.</param>
    /// <returns>Indices into <see cref="Inputs"/>.</returns>
    public int[] CanonicalOrder(int fixedModels, IReadOnlyList<double>? numbers = null) =>
    [
        .. Enumerable.Range(0, fixedModels),
        .. Enumerable.Range(fixedModels, Inputs.Length - fixedModels).OrderBy(i => Inputs[i].Sha256, StringComparer.Ordinal).ThenBy(i => numbers?[i] ?? 0),
    ];

    /// <summary>The merged parameters.</summary>
    /// <param name="method">How to merge.</param>
    /// <param name="order">Indices into <see cref="Inputs"/>, in the order the method means.</param>
    /// <param name="table">The parameters wanted; all where not given.</param>
    public MergedParameters Merge(MergeMethod method, IReadOnlyList<int> order, ImmutableArray<ParameterSpec>? table = null) =>
        new(table ?? Table, [.. order.Select(i => Inputs[i])], method);

    /// <summary>Merges and writes a complete model directory.</summary>
    /// <param name="method">How to merge.</param>
    /// <param name="order">Indices into <see cref="Inputs"/>, in the order the method means.</param>
    /// <param name="output">Where to.</param>
    /// <exception cref="InputException">A value is no number, or the folder cannot be written.</exception>
    public void Save(MergeMethod method, IReadOnlyList<int> order, MergeOutput output)
    {
        MergedParameters merged = Merge(method, order);
        Dictionary<string, string> metadata = new()
        {
            ["merge_method"] = method.Description,
            ["merged_models_sha256"] = string.Join(',', order.Select(i => Inputs[i].Sha256)),
            ["command"] = output.Command,
        };
        Write(models[0], merged.Make, output, metadata);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ClipCheckpoint model in models) model.Dispose();
    }

    /// <summary>Writes a model whose parameters are made one ahead of the writer.</summary>
    /// <param name="like">The model whose architecture, preprocessing and tokenizer it gets.</param>
    /// <param name="make">Fills the first elements of an array with a parameter.</param>
    /// <param name="output">Where to.</param>
    /// <param name="metadata">Texts for the header.</param>
    /// <param name="lateMetadata">What takes their place when all parameters are written, where some are not known before.</param>
    internal static void Write(
        ClipCheckpoint like, Action<ParameterSpec, float[]> make, MergeOutput output, IReadOnlyDictionary<string, string> metadata,
        Func<IReadOnlyDictionary<string, string>>? lateMetadata = null)
    {
        ReadAhead ahead = new(ParameterTable.All(like.Config), make);
        try
        {
            CheckpointWriter.SaveSupplied(
                output.Folder, like.Config, like.Preprocess, ahead.Next, naming: null, output.Type, metadata, like.TokenizerDirectory, output.Overwrite, like.Counters, lateMetadata);
        }
        finally
        {
            ahead.Finish();
        }
    }
}
