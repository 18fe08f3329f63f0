using System.Reflection;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Training;

namespace Patching.Model.Pipeline;

/// <summary>
/// The procedure of "Patching open-vocabulary models by interpolating weights" (Ilharco et al. 2022), one call per arrow:
/// open model and data -> heads from text -> fine-tune the image tower under the frozen head -> interpolate -> save -> evaluate every data set under every alpha -> results.
/// </summary>
public sealed class PatchPipeline : IDisposable
{
    private readonly PatchSettings settings;
    private readonly PipelineEvents events;
    private readonly ClipModel model;
    private readonly HeadCache heads;
    private readonly BatchOptions batches;

    /// <summary>Opens the model.</summary>
    /// <exception cref="InputException">A setting is impossible or the model cannot be used.</exception>
    public PatchPipeline(Device device, PatchSettings settings, PipelineEvents events)
    {
        settings.Check();
        this.settings = settings;
        this.events = events;
        model = ClipModel.Open(device, settings.Model, settings.Activation, settings.Tokenizer);
        heads = new HeadCache(settings.Save is null ? null : Path.Combine(settings.Save, "heads"));
        batches = new BatchOptions(settings.BatchSize, model.Config.Vision.ImageSize) { Workers = settings.Workers, SkipBadImages = settings.SkipBadImages };
    }

    /// <summary>Version of this program, as recorded in results.</summary>
    public static string Version { get; } = typeof(PatchPipeline).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>Fine-tunes, interpolates, saves and evaluates.</summary>
    /// <returns>A record per data set and alpha, in the order they were asked for.</returns>
    public IReadOnlyList<ResultRecord> Patch(CancellationToken cancellation)
    {
        // Everything that can be wrong with the data is found before the first step is computed.
        ImageDataset[] evaluated = OpenEvaluated();
        (ParameterSet finetuned, FinetuneSettings? recipe) = settings.Load is null ? Train(evaluated, cancellation) : (LoadFinetuned(settings.Load), null);
        using ParameterSet theta1 = finetuned;
        using PatchedModels line = new(model, theta1);
        if (settings.Save is not null) SaveModels(line, recipe);
        return Evaluate(evaluated, [.. settings.Alphas], alpha => line.At(alpha!.Value), recipe, null, cancellation);
    }

    /// <summary>Only fine-tunes, and saves the fine-tuned model as alpha 1.</summary>
    public void Finetune(CancellationToken cancellation)
    {
        ImageDataset[] evaluated = settings.EvalEveryEpoch ? OpenEvaluated() : [];
        (ParameterSet finetuned, FinetuneSettings? recipe) = Train(evaluated, cancellation);
        using ParameterSet theta1 = finetuned;
        using PatchedModels line = new(model, theta1);
        if (settings.Save is not null) SaveModels(line, recipe);
    }

    /// <summary>Only evaluates the model as it is.</summary>
    public IReadOnlyList<ResultRecord> EvaluateModel(CancellationToken cancellation)
    {
        using VisionParameters weights = new(model.Vision, model.Config);
        weights.Pack(model.Device);
        return Evaluate(OpenEvaluated(), [null], _ => weights, null, null, cancellation);
    }

    /// <inheritdoc/>
    public void Dispose() => model.Dispose();

    private ImageDataset[] OpenEvaluated() => [.. settings.EvalDatasets.Select(name => Open(name, DatasetSplit.Test))];

    private ImageDataset Open(string name, DatasetSplit split)
    {
        ImageDataset dataset = DatasetCatalog.Open(name, split, settings.DataLocation);
        foreach (string note in dataset.Notes) events.Note?.Invoke(note);
        return dataset;
    }

    private (ParameterSet Finetuned, FinetuneSettings Recipe) Train(ImageDataset[] evaluated, CancellationToken cancellation)
    {
        ImageDataset dataset = Open(settings.TrainDataset, DatasetSplit.Train);
        FinetuneSettings recipe = Recipe(dataset.Count, "");
        recipe.Check(settings.WarmupLength is not null);
        (ZeroShotHead head, string headKey) = heads.Get(model, dataset);
        recipe = Recipe(dataset.Count, headKey);
        TrainingEvents reports = new()
        {
            Note = events.Note,
            Progress = events.Training,
            EpochDone = settings.EvalEveryEpoch ? (epoch, weights) => EvaluateEpoch(evaluated, epoch, weights, recipe, cancellation) : null,
        };
        string? directory = settings.Save is null ? null : Path.Combine(settings.Save, "finetune");
        TrainingRun run = new(model, recipe, batches, directory, settings.Overwrite, reports);
        return (run.Run(dataset, head, cancellation), recipe);
    }

    private FinetuneSettings Recipe(int images, string headKey) => new()
    {
        TrainDataset = settings.TrainDataset,
        TrainImages = images,
        BaseModelSha256 = model.Checkpoint.Sha256,
        HeadKey = headKey,
        Epochs = settings.Epochs,
        LearningRate = settings.LearningRate,
        WeightDecay = settings.WeightDecay,
        LabelSmoothing = settings.LabelSmoothing,
        BatchSize = settings.BatchSize,
        WarmupLength = settings.WarmupLength ?? PatchSettings.DefaultWarmupLength,
        ClipNorm = settings.ClipNorm,
        Seed = settings.Seed,
    };

    private ParameterSet LoadFinetuned(string path)
    {
        using Weights.ClipCheckpoint checkpoint = Weights.ClipCheckpoint.Open(path, model.Config.Activation);
        if (checkpoint.Config.Vision != model.Config.Vision || checkpoint.Config.EmbeddingWidth != model.Config.EmbeddingWidth)
            throw new InputException($"--load {path}: its image tower is not of the same architecture as that of {settings.Model}");
        ParameterSet finetuned = new(model.Device, "fine-tuned parameters", model.Vision.Table);
        finetuned.Load(checkpoint.Read);
        return finetuned;
    }

    private void SaveModels(PatchedModels line, FinetuneSettings? recipe)
    {
        foreach (double alpha in settings.Alphas)
        {
            string directory = line.Save(settings.Save!, alpha, recipe?.ToJson() ?? $"loaded from {settings.Load}", settings.Command, settings.Overwrite);
            events.Note?.Invoke($"saved {directory}");
        }
    }

    private void EvaluateEpoch(ImageDataset[] evaluated, int epoch, ParameterSet weights, FinetuneSettings recipe, CancellationToken cancellation)
    {
        using VisionParameters tensors = new(weights, model.Config);
        tensors.Pack(model.Device);
        Evaluate(evaluated, [null], _ => tensors, recipe, epoch, cancellation);
    }

    private List<ResultRecord> Evaluate(
        ImageDataset[] datasets, IReadOnlyList<double?> alphas, Func<double?, VisionParameters> weightsAt, FinetuneSettings? recipe, int? epoch,
        CancellationToken cancellation)
    {
        using Evaluator evaluator = new(model, batches);
        List<ResultRecord> all = [];
        foreach (ImageDataset dataset in datasets)
        {
            (ZeroShotHead head, string headKey) = heads.Get(model, dataset);
            EvaluationScore[] scores = evaluator.Evaluate(
                dataset, head, alphas.Count, i => weightsAt(alphas[i]), (done, total) => events.Progress?.Invoke($"evaluate {dataset.Name}", done, total), cancellation);
            ResultRecord[] records = [.. scores.Select((score, i) => Record(score, alphas[i], headKey, recipe, epoch))];
            if (settings.ResultsDb is not null) ResultRecord.Append(settings.ResultsDb, records);
            events.Results?.Invoke(records);
            all.AddRange(records);
        }
        return all;
    }

    private ResultRecord Record(EvaluationScore score, double? alpha, string headKey, FinetuneSettings? recipe, int? epoch) => new()
    {
        ExpName = settings.ExpName,
        Model = settings.Model,
        ModelSha256 = model.Checkpoint.Sha256,
        EvalDataset = score.Dataset,
        Alpha = alpha,
        Top1 = score.Top1,
        Correct = score.Correct,
        Count = score.Count,
        Skipped = score.Skipped,
        HeadKey = headKey,
        Epoch = epoch,
        Finetune = recipe,
        Device = model.Device.Name,
        Version = Version,
        Command = settings.Command,
        Time = DateTime.UtcNow,
    };
}
