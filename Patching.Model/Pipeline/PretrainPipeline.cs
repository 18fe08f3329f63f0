using System.Globalization;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Images;
using Patching.Model.Text;
using Patching.Model.Training;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <summary>
/// Contrastive training of a whole CLIP (Radford et al. 2021), one call per arrow: images with texts -> vocabulary -> model, new or given -> training of both towers ->
/// an ordinary model directory.
/// </summary>
public sealed class PretrainPipeline
{
    private readonly Device device;
    private readonly PretrainSettings settings;
    private readonly PipelineEvents events;

    /// <summary>Prepares the pipeline.</summary>
    /// <exception cref="InputException">A setting is impossible.</exception>
    public PretrainPipeline(Device device, PretrainSettings settings, PipelineEvents events)
    {
        settings.Check();
        this.device = device;
        this.settings = settings;
        this.events = events;
    }

    /// <summary>Where the finished model is.</summary>
    public string ModelDirectory => Path.Combine(settings.Save, "model");

    /// <summary>Trains and saves the model.</summary>
    /// <exception cref="InputException">Data or model cannot be used.</exception>
    /// <exception cref="OperationCanceledException">Interrupted; the state has been saved.</exception>
    public void Run(CancellationToken cancellation)
    {
        ImageDataset dataset = DatasetCatalog.Open(settings.TrainDataset, DatasetSplit.Train, settings.DataLocation);
        foreach (string note in dataset.Notes) events.Note?.Invoke(note);
        if (dataset.Count < settings.BatchSize)
            throw new InputException($"--batch-size {settings.BatchSize}: {dataset.Name} has only {dataset.Count} images, too few for one batch");
        using ClipCheckpoint? given = settings.Model is null ? null : ClipCheckpoint.Open(settings.Model);
        string[][] texts = LabelTexts.Of(dataset);
        (string vocabulary, ClipTokenizer tokenizer) = Tokenizer(given, texts);
        ClipConfig config = given?.Config ?? settings.Architecture.ToConfig(tokenizer.VocabularySize, tokenizer.EndOfText);
        if (config.Image is not VisionConfig)
            throw new InputException($"--model {settings.Model}: its image tower is a ResNet; only vision transformers can be trained with texts");
        if (config.Text is null) throw new InputException($"--model {settings.Model}: has no text tower, so it cannot learn from texts");
        PreprocessConfig preprocess = given?.Preprocess ?? PreprocessConfig.Default(config.Vision.ImageSize);
        ContrastiveSettings recipe = Recipe(dataset, given, config);
        Train(dataset, config, preprocess, given, recipe, new LabelTexts(texts, tokenizer, config.Text.ContextLength, settings.Seed), vocabulary, cancellation);
    }

    private (string Directory, ClipTokenizer Tokenizer) Tokenizer(ClipCheckpoint? given, string[][] texts)
    {
        if ((settings.Tokenizer ?? given?.TokenizerDirectory) is { } existing) return (existing, ClipTokenizer.Load(existing));
        if (given is not null) throw new InputException($"--model {settings.Model}: no vocab.json and merges.txt beside it; name their folder with --tokenizer");
        string learnt = Path.Combine(settings.Save, "vocabulary");
        VocabularyTrainer trainer = new();
        foreach (string text in texts.SelectMany(ofLabel => ofLabel)) trainer.Add(text);
        int size = trainer.Write(learnt, settings.VocabularySize);
        events.Note?.Invoke($"learnt a vocabulary of {size} tokens from {texts.Sum(ofLabel => ofLabel.Length)} texts: {learnt}");
        return (learnt, ClipTokenizer.Load(learnt));
    }

    private ContrastiveSettings Recipe(ImageDataset dataset, ClipCheckpoint? given, ClipConfig config)
    {
        ContrastiveSettings recipe = new()
        {
            TrainDataset = settings.TrainDataset,
            TrainPairs = dataset.Count,
            StartsFrom = given?.Sha256 ?? config.ToString(),
            Epochs = settings.Epochs,
            BatchSize = settings.BatchSize,
            MicroBatch = settings.MicroBatch == 0 ? settings.BatchSize : Math.Min(settings.MicroBatch, settings.BatchSize),
            LearningRate = settings.LearningRate,
            WeightDecay = settings.WeightDecay,
            ClipNorm = settings.ClipNorm,
            Seed = settings.Seed,
            Precision = TowerPrecisions.On(device, settings.Precision),
        };
        return recipe with { WarmupLength = settings.WarmupLength ?? (int)(recipe.TotalSteps / 20) };
    }

    private void Train(
        ImageDataset dataset, ClipConfig config, PreprocessConfig preprocess, ClipCheckpoint? given, ContrastiveSettings recipe, LabelTexts texts, string vocabulary,
        CancellationToken cancellation)
    {
        MemoryPlan.Require(
            device, string.Create(CultureInfo.InvariantCulture, $"--micro-batch {recipe.MicroBatch}"), "training",
            MemoryPlan.Pretraining(config, recipe.BatchSize, recipe.MicroBatch, recipe.Precision));
        CheckpointWriter.RequireReplaceable(ModelDirectory, settings.Overwrite || Directory.Exists(Path.Combine(settings.Save, "pretrain")));
        ParameterSource initial = given is null ? (spec, values) => ClipInitialization.Fill(config, settings.Seed, spec, values) : given.Read;
        NormalizationTable table = new(preprocess.Mean.AsSpan(), preprocess.Std.AsSpan());
        using VisionTransformer images = new(device, config, table.Values);
        using ContrastiveTrainer trainer = new(device, config, images, new TextTransformer(device, config, recipe.Precision), initial, texts.Choose, recipe);
        BatchOptions batches = new(recipe.BatchSize, config.Vision.ImageSize) { Workers = settings.Workers, SkipBadImages = settings.SkipBadImages };
        TrainingEvents reports = new() { Note = events.Note, Progress = events.Pretraining };
        TrainingRun run = new(recipe.Plan, batches, Path.Combine(settings.Save, "pretrain"), settings.Overwrite, reports);
        using ImageCache? cache = settings.Cache is null ? null : new ImageCache(settings.Cache, events.Note, events.Progress);
        run.Run(trainer, cache?.ForTraining(dataset, batches, cancellation) ?? dataset, cancellation);
        Dictionary<string, string> metadata = new() { ["pretrain_settings"] = recipe.Plan.Settings, ["command"] = settings.Command };
        CheckpointWriter.Save(
            ModelDirectory, config, preprocess, trainer.Parameters.Fetch, metadata: metadata, tokenizerDirectory: vocabulary, overwrite: true);
        events.Note?.Invoke($"saved {ModelDirectory}");
    }
}
