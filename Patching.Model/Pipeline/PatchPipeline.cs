using System.Collections.Immutable;
using System.Globalization;
using System.Reflection;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Training;
using Patching.Model.Weights;

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
    private ParameterSet? bothTowers;

    /// <summary>Opens the model.</summary>
    /// <exception cref="InputException">A setting is impossible or the model cannot be used.</exception>
    public PatchPipeline(Device device, PatchSettings settings, PipelineEvents events)
    {
        settings.Check();
        this.settings = settings;
        this.events = events;
        model = ClipModel.Open(device, settings.Model, settings.Activation, settings.Tokenizer, settings.Precision);
        if (settings.BatchNorm is not null && BatchNorm is null)
        {
            model.Dispose();
            throw new InputException($"--batch-norm: the image tower of {settings.Model} is a vision transformer and has no batch normalisation; leave it out");
        }
        heads = new HeadCache(settings.Save is null ? null : Path.Combine(settings.Save, "heads"));
        batches = new BatchOptions(settings.BatchSize, model.Config.Image.ImageSize) { Resize = model.Checkpoint.Preprocess.Resize, Workers = settings.Workers, SkipBadImages = settings.SkipBadImages };
    }

    /// <summary>Version of this program, as recorded in results.</summary>
    public static string Version { get; } = typeof(PatchPipeline).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>Fine-tunes, interpolates, saves and evaluates.</summary>
    /// <returns>A record per data set and alpha, in the order they were asked for.</returns>
    public IReadOnlyList<ResultRecord> Patch(CancellationToken cancellation)
    {
        // Everything that can be wrong with the data is found before the first step is computed.
        ImageDataset? training = settings.Load is null ? Open(settings.TrainDataset, DatasetSplit.Train) : null;
        ImageDataset[] evaluated = OpenEvaluated(training);
        (ParameterSet finetuned, string recipe, FinetuneSettings? trained) = training is null ? Load(settings.Load!) : Train(training, evaluated, cancellation);
        using ParameterSet theta1 = finetuned;
        using PatchedModels line = new(model, Original, theta1);
        if (settings.Save is not null) SaveModels(line, recipe);
        Candidates candidates = new([.. settings.Alphas], alpha => line.At(alpha!.Value), Tuned(line.Weights, recipe));
        return Evaluate(evaluated, candidates, trained, null, cancellation);
    }

    /// <summary>Only fine-tunes, and saves the fine-tuned model as alpha 1.</summary>
    public void Finetune(CancellationToken cancellation)
    {
        ImageDataset training = Open(settings.TrainDataset, DatasetSplit.Train);
        ImageDataset[] evaluated = settings.EvalEveryEpoch ? OpenEvaluated(training) : [];
        (ParameterSet finetuned, string recipe, _) = Train(training, evaluated, cancellation);
        using ParameterSet theta1 = finetuned;
        using PatchedModels line = new(model, Original, theta1);
        if (settings.Save is not null) SaveModels(line, recipe);
    }

    /// <summary>Only evaluates the model as it is.</summary>
    public IReadOnlyList<ResultRecord> EvaluateModel(CancellationToken cancellation)
    {
        using ImageParameters weights = ImageParameters.Of(model.Vision, model.Config);
        weights.Pack(model.Device);
        return Evaluate(OpenEvaluated(null), new Candidates([null], _ => weights, null), null, null, cancellation);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        bothTowers?.Dispose();
        model.Dispose();
    }

    /// <summary>What is trained: the image tower, or both.</summary>
    private ImmutableArray<ParameterSpec> Table => settings.TrainText ? ContrastiveTrainer.Table(model.Config, out _) : ParameterTable.Vision(model.Config);

    /// <summary>theta0.</summary>
    private ParameterSet Original => settings.TrainText ? bothTowers ??= LoadOriginal() : model.Vision;

    private ParameterSet LoadOriginal()
    {
        ParameterSet weights = new(model.Device, "original parameters", Table, model.Precision);
        weights.Load(model.Checkpoint.Read);
        return weights;
    }

    private void RequireBothTowers()
    {
        if (model.Tower is not VisionTransformer)
            throw new InputException($"--train-text: the image tower of {settings.Model} is a ResNet; only vision transformers can be trained with texts");
        _ = model.Tokenizer;
    }

    private TunedTexts? Tuned(ParameterSet weights, string origin) => settings.TrainText ? new TunedTexts(weights, origin) : null;

    // Notes come when all data sets are known to be usable, so that an error stands alone.
    private ImageDataset[] OpenEvaluated(ImageDataset? training)
    {
        ImageDataset[] evaluated = [.. settings.EvalDatasets.Select(name => Open(name, DatasetSplit.Test))];
        foreach (string note in evaluated.Prepend(training).SelectMany(dataset => dataset?.Notes ?? [])) events.Note?.Invoke(note);
        return evaluated;
    }

    private ImageDataset Open(string name, DatasetSplit split) => DatasetCatalog.Open(name, split, settings.DataLocation);

    private (ParameterSet Finetuned, string Recipe, FinetuneSettings? Settings) Train(ImageDataset dataset, ImageDataset[] evaluated, CancellationToken cancellation)
    {
        settings.Recipe(dataset.Count, "", "", model.Precision).Check(settings.WarmupLength is not null);
        if (settings.TrainText) RequireBothTowers();
        RequireMemory("fine-tuning", settings.TrainText
            ? MemoryPlan.Pretraining(model.Config, settings.BatchSize, settings.BatchSize, model.Precision)
            : MemoryPlan.Training(model.Config, settings.BatchSize, dataset.ClassNames.Count, model.Precision));
        FinetuneSettings recipe = settings.Recipe(dataset.Count, model.Checkpoint.Sha256, heads.Key(model, dataset), model.Precision) with { BatchNorm = BatchNorm };
        CheckSave(recipe.ToJson());
        TrainingEvents reports = new()
        {
            Note = events.Note,
            Progress = events.Training,
            EpochDone = settings.EvalEveryEpoch ? (epoch, weights) => EvaluateEpoch(evaluated, epoch, weights, recipe, cancellation) : null,
        };
        string? directory = settings.Save is null ? null : Path.Combine(settings.Save, "finetune");
        TrainingRun run = new(settings.TrainText ? recipe.Contrastive.Plan : recipe.Plan, batches, directory, settings.Overwrite, reports);
        run.CheckState();
        return (Finished(run) ?? Train(run, recipe, dataset, cancellation), recipe.ToJson(), recipe);
    }

    private ParameterSet? Finished(TrainingRun run) => run.Finished(path =>
    {
        ParameterSet parameters = new(model.Device, "fine-tuned parameters", Table);
        TrainingCheckpoint.LoadParameters(path, parameters);
        return parameters;
    });

    private ParameterSet Train(TrainingRun run, FinetuneSettings recipe, ImageDataset dataset, CancellationToken cancellation)
    {
        if (settings.TrainText) return TrainBoth(run, recipe, dataset, cancellation);
        (ZeroShotHead head, _) = heads.Get(model, dataset);
        using Finetuner finetuner = new(model.Device, model.Config, model.Tower, model.Checkpoint.Read, head, recipe);
        run.Run(finetuner, dataset, cancellation);
        return finetuner.DetachParameters();
    }

    private ParameterSet TrainBoth(TrainingRun run, FinetuneSettings recipe, ImageDataset dataset, CancellationToken cancellation)
    {
        LabelTexts texts = new(LabelTexts.Of(dataset), model.Tokenizer, model.Config.Text!.ContextLength, settings.Seed);
        TextTransformer tower = new(model.Device, model.Config, model.Precision);
        using ContrastiveTrainer trainer = new(
            model.Device, model.Config, (VisionTransformer)model.Tower, tower, model.Checkpoint.Read, texts.Choose, recipe.Contrastive);
        run.Run(trainer, dataset, cancellation);
        return trainer.DetachParameters();
    }

    private (ParameterSet Finetuned, string Recipe, FinetuneSettings? Settings) Load(string path)
    {
        // A lone file may not say its activation; a directory does.
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(path, Directory.Exists(path) ? settings.Activation : model.Config.Activation);
        if (checkpoint.Config.Image != model.Config.Image || checkpoint.Config.EmbeddingWidth != model.Config.EmbeddingWidth
            || checkpoint.Config.Activation != model.Config.Activation || checkpoint.Config.LayerNormEpsilon != model.Config.LayerNormEpsilon)
            throw new InputException($"--load {path}: its image tower is not of the same architecture as that of {settings.Model}");
        if (settings.TrainText && (checkpoint.Config.Text is null || checkpoint.Config.Text != model.Config.Text))
            throw new InputException($"--load {path}: has no text tower of the same architecture as that of {settings.Model}; leave out --train-text");
        string recipe = $"loaded {checkpoint.Sha256}";
        CheckSave(recipe);
        ParameterSet finetuned = new(model.Device, "fine-tuned parameters", Table);
        finetuned.Load(checkpoint.Read);
        return (finetuned, recipe, null);
    }

    // What saving would refuse is refused before hours of training.
    private void CheckSave(string recipe)
    {
        if (settings.Save is null) return;
        foreach (double alpha in settings.Alphas) PatchedModels.CheckSave(model, settings.Save, alpha, recipe, settings.Overwrite);
    }

    /// <summary>How a fine-tune normalises; null where the model has nothing to normalise over batches.</summary>
    private BatchNormStatistics? BatchNorm => model.Config.Image is ResNetConfig ? settings.BatchNorm ?? BatchNormStatistics.Frozen : null;

    // Memory of the host is granted on paper and missing later, so the plan is compared with what there is.
    private void RequireMemory(string job, IReadOnlyList<MemoryRole> plan)
    {
        long needed = plan.Sum(role => role.Bytes);
        if (needed > model.Device.MemoryBytes)
            throw new InputException(string.Create(
                CultureInfo.InvariantCulture,
                $"--batch-size {settings.BatchSize}: {job} needs {needed >> 20} MiB, {model.Device.Name} has {model.Device.MemoryBytes >> 20} MiB; use a smaller one"));
    }

    private void SaveModels(PatchedModels line, string recipe)
    {
        foreach (double alpha in settings.Alphas)
        {
            string directory = line.Save(settings.Save!, alpha, recipe, settings.Command, settings.Overwrite);
            events.Note?.Invoke($"saved {directory}");
        }
    }

    private void EvaluateEpoch(ImageDataset[] evaluated, int epoch, ParameterSet weights, FinetuneSettings recipe, CancellationToken cancellation)
    {
        using ImageParameters tensors = ImageParameters.Of(weights, model.Config);
        tensors.Pack(model.Device);
        TunedTexts? texts = Tuned(weights, string.Create(CultureInfo.InvariantCulture, $"{recipe.ToJson()} epoch {epoch}"));
        Evaluate(evaluated, new Candidates([null], _ => tensors, texts), recipe, epoch, cancellation);
    }

    private List<ResultRecord> Evaluate(
        ImageDataset[] datasets, Candidates candidates, FinetuneSettings? recipe, int? epoch, CancellationToken cancellation)
    {
        int classes = datasets.Max(dataset => dataset.ClassNames.Count);
        RequireMemory("evaluating", MemoryPlan.Evaluation(model.Config, settings.BatchSize, classes, model.Precision, settings.TrainText));
        using Evaluator evaluator = new(model, batches);
        List<ResultRecord> all = [];
        foreach (ImageDataset dataset in datasets)
        {
            IEnumerable<(EvaluationScore Score, string HeadKey)> scores = candidates.Texts is { } texts
                ? UnderTheirOwnHeads(evaluator, dataset, candidates, texts, cancellation)
                : UnderOneHead(evaluator, dataset, candidates, cancellation);
            ResultRecord[] records = [.. scores.Select((scored, i) => Record(scored.Score, candidates.Alphas[i], scored.HeadKey, recipe, epoch))];
            if (settings.ResultsDb is not null) ResultRecord.Append(settings.ResultsDb, records);
            events.Results?.Invoke(records);
            all.AddRange(records);
        }
        return all;
    }

    private IEnumerable<(EvaluationScore Score, string HeadKey)> UnderOneHead(
        Evaluator evaluator, ImageDataset dataset, Candidates candidates, CancellationToken cancellation)
    {
        (ZeroShotHead head, string key) = heads.Get(model, dataset);
        return evaluator.Evaluate(
            dataset, head, candidates.Alphas.Count, i => candidates.Images(candidates.Alphas[i]),
            (done, total) => events.Progress?.Invoke($"evaluate {dataset.Name}", done, total), cancellation).Select(score => (score, key));
    }

    // The head changes with the text tower, so every candidate makes a pass over the images of its own.
    private IEnumerable<(EvaluationScore Score, string HeadKey)> UnderTheirOwnHeads(
        Evaluator evaluator, ImageDataset dataset, Candidates candidates, TunedTexts texts, CancellationToken cancellation)
    {
        for (int i = 0; i < candidates.Alphas.Count; i++)
        {
            double? alpha = candidates.Alphas[i];
            ImageParameters images = candidates.Images(alpha);
            ZeroShotHead head = model.BuildHead(dataset.ClassNames, ZeroShotPrompts.For(dataset.Name).Templates, texts.Weights);
            int before = i;
            EvaluationScore score = evaluator.Evaluate(
                dataset, head, 1, _ => images,
                (done, total) => events.Progress?.Invoke($"evaluate {dataset.Name}", before * total + done, candidates.Alphas.Count * total), cancellation).Single();
            yield return (score, heads.Key(model, dataset, string.Create(CultureInfo.InvariantCulture, $"{texts.Origin} alpha {alpha:R}")));
        }
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
        Precision = model.Precision,
        Version = Version,
        Command = settings.Command,
        Time = DateTime.UtcNow,
    };

    /// <summary>Weights to evaluate: those of each alpha, or one set without.</summary>
    /// <param name="Alphas">The alphas; one that is null for a single set.</param>
    /// <param name="Images">The image tower of an alpha, valid until the next call.</param>
    /// <param name="Texts">The text towers, where they change with the alpha.</param>
    private sealed record Candidates(IReadOnlyList<double?> Alphas, Func<double?, ImageParameters> Images, TunedTexts? Texts);

    /// <summary>Text towers that are not the checkpoint's.</summary>
    /// <param name="Weights">Holds the text tower that goes with the image tower last asked for.</param>
    /// <param name="Origin">What they came from, for the key of their heads.</param>
    private sealed record TunedTexts(ParameterSet Weights, string Origin);
}
