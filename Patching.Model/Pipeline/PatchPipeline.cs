using System.Collections.Immutable;
using System.Globalization;
using System.Reflection;
using Patching.Kernels;
using Patching.Model.Choosing;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Reports;
using Patching.Model.Training;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <summary>
/// The procedure of "Patching open-vocabulary models by interpolating weights" (Ilharco et al. 2022), one call per arrow:
/// open model and data -> heads from text -> fine-tune the image tower under the frozen head -> interpolate -> save -> evaluate every data set under every alpha -> results.
/// </summary>
public sealed partial class PatchPipeline : IDisposable
{
    private readonly PatchSettings settings;
    private readonly PipelineEvents events;
    private readonly ClipModel model;
    private readonly HeadCache heads;
    private readonly BatchOptions batches;
    private readonly ImageCache? cache;
    private readonly List<ResultRecord> measured = [];
    private ParameterSet? bothTowers;

    /// <summary>Opens the model.</summary>
    /// <exception cref="InputException">A setting is impossible or the model cannot be used.</exception>
    public PatchPipeline(Device device, PatchSettings settings, PipelineEvents events)
    {
        settings.Check();
        // Images that decide about alpha must not have been trained on.
        if (settings.Choice is not null) settings = settings with { TrainDataset = DatasetCatalog.ValidationName(settings.TrainDataset) };
        this.settings = settings;
        this.events = events;
        // A head is saved before the image tower is loaded: nothing may be left behind if that cannot be used.
        model = ClipModel.Open(device, settings.Model, settings.Activation, settings.Tokenizer, settings.Precision, checkNumbers: settings.Save is not null);
        if (settings.BatchNorm is not null && BatchNorm is null)
        {
            model.Dispose();
            throw new InputException($"--batch-norm: the image tower of {settings.Model} is a vision transformer and has no batch normalisation; leave it out");
        }
        heads = new HeadCache(settings.Save is null ? null : Path.Combine(settings.Save, "heads"));
        batches = new BatchOptions(settings.BatchSize, model.Config.Image.ImageSize)
        {
            Resize = model.Checkpoint.Preprocess.Resize,
            Workers = settings.Workers,
            SkipBadImages = settings.SkipBadImages,
            ReducedJpeg = settings.ReducedJpeg,
            Balanced = settings.Balanced,
        };
        cache = settings.Cache is null || settings.DryRun ? null : new ImageCache(settings.Cache, events.Note, events.Progress);
    }

    /// <summary>Version of this program, as recorded in results.</summary>
    public static string Version { get; } = typeof(PatchPipeline).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>What <see cref="Patch"/> chose; null where it was not asked to.</summary>
    public ChoiceOutcome? Chosen { get; private set; }

    /// <summary>Fine-tunes, interpolates, saves and evaluates; or chooses alpha on held-out images, saves that model and tests it.</summary>
    /// <returns>A record per data set and alpha, in the order they were asked for.</returns>
    public IReadOnlyList<ResultRecord> Patch(CancellationToken cancellation)
    {
        // Everything that can be wrong with the data is found before the first step is computed.
        ImageDataset? training = settings.Load is null ? OpenTraining() : null;
        ImageDataset[] evaluated = OpenEvaluated(training, cancellation), heldOut = OpenHeldOut(cancellation);
        (ParameterSet finetuned, string recipe, FinetuneSettings? trained) = training is null ? Load(settings.Load!) : Train(training, evaluated, cancellation);
        using ParameterSet theta1 = finetuned;
        using PatchedModels line = new(model, Original, theta1);
        IReadOnlyList<ResultRecord> results = settings.Choice is { } choice
            ? Choose(choice, line, recipe, trained, heldOut, evaluated, cancellation) : Evaluate(line, recipe, trained, evaluated, cancellation);
        SaveReport();
        return results;
    }

    /// <summary>Only fine-tunes, and saves the fine-tuned model as alpha 1.</summary>
    public void Finetune(CancellationToken cancellation)
    {
        ImageDataset training = OpenTraining();
        ImageDataset[] evaluated = settings.EvalEveryEpoch ? OpenEvaluated(training, cancellation) : [];
        (ParameterSet finetuned, string recipe, _) = Train(training, evaluated, cancellation);
        using ParameterSet theta1 = finetuned;
        using PatchedModels line = new(model, Original, theta1);
        if (settings.Save is not null) SaveModels(line, recipe, settings.SavedAlphas ?? settings.Alphas);
    }

    /// <summary>Only evaluates the model as it is.</summary>
    public IReadOnlyList<ResultRecord> EvaluateModel(CancellationToken cancellation)
    {
        using ImageParameters weights = ImageParameters.Of(model.Vision, model.Config);
        weights.Pack(model.Device);
        return Evaluate(OpenEvaluated(null, cancellation), [null], _ => weights, null, null, cancellation);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        cache?.Dispose();
        bothTowers?.Dispose();
        model.Dispose();
    }

    /// <summary>What is trained: the image tower, or both.</summary>
    private ImmutableArray<ParameterSpec> Table => settings.TrainText ? ContrastiveTrainer.Table(model.Config, out _) : ParameterTable.Vision(model.Config);

    /// <summary>Where the fine-tune keeps its state; null where nothing is kept.</summary>
    private string? FinetuneFolder => settings.Save is null ? null : Path.Combine(settings.Save, "finetune");

    /// <summary>The folder from which results see other files.</summary>
    private string ResultsFolder => Path.GetDirectoryName(Path.GetFullPath(settings.ResultsDb ?? "results")) ?? "/";

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

    // Notes come when all data sets are known to be usable, so that an error stands alone.
    private ImageDataset[] OpenEvaluated(ImageDataset? training, CancellationToken cancellation)
    {
        ImageDataset[] evaluated = [.. settings.EvalDatasets.Select(name => Open(name, DatasetSplit.Test))];
        foreach (string note in evaluated.Prepend(training).SelectMany(dataset => dataset?.Notes ?? [])) events.Note?.Invoke(note);
        return Cached(evaluated, cancellation);
    }

    private ImageDataset[] Cached(ImageDataset[] evaluated, CancellationToken cancellation) =>
        cache is null ? evaluated : [.. evaluated.Select(dataset => cache.ForEvaluation(dataset, batches, cancellation))];

    private ImageDataset OpenTraining()
    {
        ImageDataset dataset = Open(settings.TrainDataset, DatasetSplit.Train);
        return settings.Shots is { } shots ? FewShots.Take(dataset, shots, settings.Seed, events.Note) : dataset;
    }

    private ImageDataset[] OpenHeldOut(CancellationToken cancellation)
    {
        if (settings.Choice is null) return [];
        string[] names = [.. settings.EvalDatasets.Select(DatasetCatalog.Canonical)];
        if (names.FirstOrDefault(DatasetCatalog.IsValidation) is { } divided)
            throw new InputException($"--eval-datasets {divided}: name the data set without Val; its held-out part chooses alpha, its test images judge the choice");
        bool[] isPatched = [.. names.Select(IsPatched)];
        if (!isPatched.Contains(true)) throw new InputException($"--eval-datasets: the patching task is not among them, so nothing can be chosen; add it");
        if (!isPatched.Contains(false)) throw new InputException($"--eval-datasets: there is no other task than the patching task, so nothing can be lost; add a supported task");
        return Cached([.. names.Select(name => Open(DatasetCatalog.ValidationName(name), DatasetSplit.Test))], cancellation);
    }

    private bool IsPatched(string name) => DatasetCatalog.ValidationName(name) == DatasetCatalog.ValidationName(settings.TrainDataset);

    private List<ResultRecord> Evaluate(PatchedModels line, string recipe, FinetuneSettings? trained, ImageDataset[] evaluated, CancellationToken cancellation)
    {
        if (settings.Save is not null) SaveModels(line, recipe, settings.SavedAlphas ?? settings.Alphas);
        return EvaluateLine(evaluated, line, settings.Alphas, trained, cancellation);
    }

    private List<ResultRecord> Choose(
        ChoiceSettings choice, PatchedModels line, string recipe, FinetuneSettings? trained, ImageDataset[] heldOut, ImageDataset[] evaluated, CancellationToken cancellation)
    {
        List<ResultRecord> last = [];
        AlphaChooser chooser = new(choice, (datasets, alphas) =>
        {
            List<EvaluationScore[]> scores = [];
            last = EvaluateLine([.. datasets], line, alphas, trained, cancellation, scores.Add);
            return [.. scores];
        });
        bool[] isPatched = [.. settings.EvalDatasets.Select(IsPatched)];
        double alpha = chooser.Choose(heldOut, isPatched, settings.Alphas);
        if (settings.Save is not null) SaveModels(line, recipe, [.. (settings.SavedAlphas ?? []).Append(alpha).Distinct()]);
        Chosen = chooser.Test(alpha, heldOut, evaluated, isPatched, [.. ((double[])[0, alpha, 1]).Distinct()], chooser.Budget(settings.Alphas));
        if (settings.Save is not null) Chosen.Save(Path.Combine(settings.Save, "choice.json"), settings.Command);
        return last;
    }

    private ImageDataset Open(string name, DatasetSplit split) => DatasetCatalog.Open(name, split, settings.DataLocation);

    private (ParameterSet Finetuned, string Recipe, FinetuneSettings? Settings) Train(ImageDataset dataset, ImageDataset[] evaluated, CancellationToken cancellation)
    {
        (FinetuneSettings recipe, TrainingRun run) = Prepare(dataset, evaluated, cancellation);
        ParameterSet tuned = settings.TrainText ? Finished(run) ?? TrainBoth(run, recipe, dataset, cancellation) : TaskFinetune.Run(
            model, () => cache?.ForTraining(dataset, batches, cancellation) ?? dataset, [heads.Get(model, dataset).Head], model.Checkpoint.Read, recipe, run,
            cancellation);
        return (tuned, recipe.ToJson(), recipe);
    }

    /// <summary>Settles what the fine-tune computes, and refuses what cannot be done or saved before any of it is computed.</summary>
    private (FinetuneSettings Recipe, TrainingRun Run) Prepare(ImageDataset dataset, ImageDataset[] evaluated, CancellationToken cancellation)
    {
        settings.Recipe(dataset.Count, "", "", model.Precision).Check(settings.WarmupLength is not null);
        if (settings.TrainText) RequireBothTowers();
        RequireMemory("fine-tuning", TrainingMemory(dataset));
        FinetuneSettings recipe = settings.Recipe(dataset.Count, model.Checkpoint.Sha256, heads.Key(model, dataset), model.Precision) with { BatchNorm = BatchNorm };
        CheckSave(recipe.ToJson());
        TrainingEvents reports = new()
        {
            Note = events.Note,
            Progress = events.Training,
            EpochDone = settings.EvalEveryEpoch ? (epoch, weights) => EvaluateEpoch(evaluated, epoch, weights, recipe, cancellation) : null,
        };
        TrainingRun run = new(settings.TrainText ? recipe.Contrastive.Plan : recipe.Plan, batches, FinetuneFolder, settings.Overwrite, reports);
        run.CheckState();
        return (recipe, run);
    }

    private IReadOnlyList<MemoryRole> TrainingMemory(ImageDataset dataset) => settings.TrainText
        ? MemoryPlan.Pretraining(model.Config, settings.BatchSize, settings.BatchSize, model.Precision)
        : MemoryPlan.Training(model.Config, settings.BatchSize, dataset.ClassNames.Count, model.Precision);

    private IReadOnlyList<MemoryRole> EvaluationMemory(IEnumerable<ImageDataset> datasets) => MemoryPlan.Evaluation(
        model.Config, settings.BatchSize, datasets.Max(dataset => dataset.ClassNames.Count), model.Precision, settings.TrainText);

    private ParameterSet? Finished(TrainingRun run) => run.Finished(path =>
    {
        ParameterSet parameters = new(model.Device, "fine-tuned parameters", Table);
        TrainingCheckpoint.LoadParameters(path, parameters);
        return parameters;
    });

    private ParameterSet TrainBoth(TrainingRun run, FinetuneSettings recipe, ImageDataset dataset, CancellationToken cancellation)
    {
        using ContrastiveTrainer trainer = TrainerOfBoth(recipe, dataset);
        run.Run(trainer, cache?.ForTraining(dataset, batches, cancellation) ?? dataset, cancellation);
        return trainer.DetachParameters();
    }

    private ContrastiveTrainer TrainerOfBoth(FinetuneSettings recipe, ImageDataset dataset)
    {
        LabelTexts texts = new(LabelTexts.Of(dataset), model.Tokenizer, model.Config.Text!.ContextLength, settings.Seed);
        TextTransformer tower = new(model.Device, model.Config, model.Precision);
        return new ContrastiveTrainer(
            model.Device, model.Config, (VisionTransformer)model.Tower, tower, model.Checkpoint.Read, texts.Choose, recipe.Contrastive);
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
        IEnumerable<double> alphas = settings.Choice is { } choice
            ? [.. settings.SavedAlphas ?? [], .. choice.Search ? Enumerable.Range(0, choice.Steps + 1).Select(choice.AlphaAt) : settings.Alphas.Append(0)]
            : settings.SavedAlphas ?? settings.Alphas;
        foreach (double alpha in alphas.Distinct()) PatchedModels.CheckSave(model, settings.Save, alpha, recipe, settings.Overwrite);
    }

    /// <summary>How a fine-tune normalises; null where the model has nothing to normalise over batches.</summary>
    private BatchNormStatistics? BatchNorm => model.Config.Image is ResNetConfig ? settings.BatchNorm ?? BatchNormStatistics.Frozen : null;

    private void RequireMemory(string job, IReadOnlyList<MemoryRole> plan) =>
        MemoryPlan.Require(model.Device, string.Create(CultureInfo.InvariantCulture, $"--batch-size {settings.BatchSize}"), job, plan);

    private void SaveModels(PatchedModels line, string recipe, IReadOnlyList<double> alphas)
    {
        foreach (double alpha in alphas)
        {
            string directory = line.Save(settings.Save!, alpha, recipe, settings.Command, settings.Overwrite);
            events.Note?.Invoke($"saved {directory}");
        }
    }

    private void SaveReport()
    {
        if (settings.Save is null) return;
        string path = HtmlReport.Save(settings.Save, measured, ResultsFolder);
        events.Note?.Invoke($"report: {path}");
    }

    private void EvaluateEpoch(ImageDataset[] evaluated, int epoch, ParameterSet weights, FinetuneSettings recipe, CancellationToken cancellation)
    {
        using ImageParameters tensors = ImageParameters.Of(weights, model.Config);
        tensors.Pack(model.Device);
        TunedTexts? texts = settings.TrainText ? new(_ => weights, string.Create(CultureInfo.InvariantCulture, $"{recipe.ToJson()} epoch {epoch}")) : null;
        Evaluate(evaluated, [null], _ => tensors, recipe, epoch, cancellation, texts: texts);
    }

    private List<ResultRecord> EvaluateLine(
        ImageDataset[] datasets, PatchedModels line, IReadOnlyList<double> alphas, FinetuneSettings? recipe, CancellationToken cancellation, Action<EvaluationScore[]>? scored = null)
    {
        bool resident = line.Hold(alphas);
        TunedTexts? texts = settings.TrainText ? new(alpha => line.WeightsAt(alpha!.Value), recipe?.ToJson() ?? $"loaded {settings.Load}") : null;
        return Evaluate(datasets, [.. alphas], alpha => line.At(alpha!.Value), recipe, null, cancellation, scored, resident, texts);
    }

    private List<ResultRecord> Evaluate(
        ImageDataset[] datasets, IReadOnlyList<double?> alphas, Func<double?, ImageParameters> weightsAt, FinetuneSettings? recipe, int? epoch,
        CancellationToken cancellation, Action<EvaluationScore[]>? scored = null, bool resident = false, TunedTexts? texts = null)
    {
        RequireMemory("evaluating", EvaluationMemory(datasets));
        using Evaluator evaluator = new(model, batches);
        List<ResultRecord> all = [];
        foreach (ImageDataset dataset in datasets)
        {
            (EvaluationScore Score, string HeadKey)[] results = texts is null
                ? UnderOneHead(evaluator, dataset, alphas, weightsAt, resident, cancellation)
                : [.. alphas.Select((_, i) => UnderItsOwnHead(evaluator, dataset, alphas, i, weightsAt, texts, cancellation))];
            scored?.Invoke([.. results.Select(result => result.Score)]);
            string? predictions = SavePredictions(dataset, alphas, [.. results.Select(result => result.Score)]);
            ResultRecord[] records = [.. results.Select((result, i) => Record(result.Score, alphas[i], result.HeadKey, recipe, epoch) with { Predictions = predictions })];
            if (settings.ResultsDb is not null) ResultRecord.Append(settings.ResultsDb, records);
            events.Results?.Invoke(records);
            all.AddRange(records);
            measured.AddRange(records);
        }
        return all;
    }

    // Of the final models only: a file per epoch would say little more than its row.
    private string? SavePredictions(ImageDataset dataset, IReadOnlyList<double?> alphas, EvaluationScore[] scores)
    {
        if (settings.Save is null || alphas.Contains(null)) return null;
        string path = PredictionFile.Write(Path.Combine(settings.Save, "predictions"), dataset, [.. alphas.Select(alpha => alpha!.Value)], scores);
        return Path.GetRelativePath(ResultsFolder, path);
    }

    private (EvaluationScore Score, string HeadKey)[] UnderOneHead(
        Evaluator evaluator, ImageDataset dataset, IReadOnlyList<double?> alphas, Func<double?, ImageParameters> weightsAt, bool resident, CancellationToken cancellation)
    {
        (ZeroShotHead head, string key) = heads.Get(model, dataset);
        EvaluationScore[] scores = evaluator.Evaluate(
            dataset, head, alphas.Count, i => weightsAt(alphas[i]), (done, total) => events.Progress?.Invoke($"evaluate {dataset.Name}", done, total), cancellation, resident);
        return [.. scores.Select(score => (score, key))];
    }

    // The head changes with the text tower, so every alpha makes a pass over the images of its own.
    private (EvaluationScore Score, string HeadKey) UnderItsOwnHead(
        Evaluator evaluator, ImageDataset dataset, IReadOnlyList<double?> alphas, int index, Func<double?, ImageParameters> weightsAt, TunedTexts texts,
        CancellationToken cancellation)
    {
        double? alpha = alphas[index];
        ZeroShotHead head = model.BuildHead(dataset.ClassNames, dataset.Templates, texts.WeightsAt(alpha));
        EvaluationScore score = evaluator.Evaluate(
            dataset, head, 1, _ => weightsAt(alpha),
            (done, total) => events.Progress?.Invoke($"evaluate {dataset.Name}", index * total + done, alphas.Count * total), cancellation).Single();
        return (score, heads.Key(model, dataset, string.Create(CultureInfo.InvariantCulture, $"{texts.Origin} alpha {alpha:R}")));
    }

    private ResultRecord Record(EvaluationScore score, double? alpha, string headKey, FinetuneSettings? recipe, int? epoch) =>
        ResultRecord.Of(score, model, settings.Model, headKey, settings.Command) with
        {
            ExpName = settings.ExpName,
            Alpha = alpha,
            Epoch = epoch,
            Finetune = recipe,
            TrainingLog = recipe is null || settings.Save is null ? null : Path.GetRelativePath(ResultsFolder, TrainingRun.LogIn(FinetuneFolder!)),
        };

    /// <summary>Text towers that are not the checkpoint's.</summary>
    /// <param name="WeightsAt">Weights that hold the text tower of an alpha.</param>
    /// <param name="Origin">What they came from, for the key of their heads.</param>
    private sealed record TunedTexts(Func<double?, ParameterSet> WeightsAt, string Origin);
}
