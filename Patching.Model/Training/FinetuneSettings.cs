using System.Text.Json;
using System.Text.Json.Serialization;
using Patching.Model.Clip;

namespace Patching.Model.Training;

/// <summary>
/// Everything that decides what a fine-tune computes. It is stored in every checkpoint; a checkpoint is continued, and a finished fine-tune reused, only where
/// all of it is equal.
/// </summary>
public sealed record FinetuneSettings
{
    /// <summary>How settings are written: snake case, numbers exactly.</summary>
    internal static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = JsonNumberHandling.Strict,
    };

    /// <summary>The training data set, as named on the command line.</summary>
    public required string TrainDataset { get; init; }

    /// <summary>Images in it, so that a changed folder is noticed.</summary>
    public required int TrainImages { get; init; }

    /// <summary>SHA-256 of the base model's weights file.</summary>
    public required string BaseModelSha256 { get; init; }

    /// <summary>SHA-256 of the frozen head's key: templates and class names.</summary>
    public required string HeadKey { get; init; }

    /// <summary>Passes over the data.</summary>
    public int Epochs { get; init; } = 10;

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 0.001;

    /// <summary>AdamW's decoupled weight decay, applied to every trained tensor as in the original.</summary>
    public double WeightDecay { get; init; } = 0.1;

    /// <summary>Label smoothing.</summary>
    public double LabelSmoothing { get; init; }

    /// <summary>Images per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Steps of linear warm-up.</summary>
    public int WarmupLength { get; init; } = 500;

    /// <summary>Largest norm of the gradient.</summary>
    public double ClipNorm { get; init; } = 1.0;

    /// <summary>Decides the order of the images and their crops.</summary>
    public int Seed { get; init; }

    /// <summary>Images of every class that are trained on; null for all.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Shots { get; init; }

    /// <summary>Every class is visited equally often.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Balanced { get; init; }

    /// <summary>Decode large JPEGs at a fraction of their size.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool ReducedJpeg { get; init; }

    /// <summary>Arithmetic of forward and backward.</summary>
    public TowerPrecision Precision { get; init; }

    /// <summary>
    /// Whether the text tower is trained as well, under the contrastive objective of <see cref="ContrastiveSettings"/>: both towers start from the base model. Not
    /// written where it is not so, as in the files of before there was a choice.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool TrainText { get; init; }

    /// <summary>Where a ResNet gets its statistics; absent for transformers, which have none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public BatchNormStatistics? BatchNorm { get; init; }

    /// <summary>Steps of one pass; the last batch may be short.</summary>
    [JsonIgnore]
    public int StepsPerEpoch => (int)(((long)TrainImages + BatchSize - 1) / BatchSize);

    /// <summary>Steps of the whole run.</summary>
    [JsonIgnore]
    public long TotalSteps => (long)StepsPerEpoch * Epochs;

    /// <summary>The learning rate over the run.</summary>
    [JsonIgnore]
    public CosineSchedule Schedule => new(LearningRate, WarmupLength, TotalSteps);

    /// <summary>The run that these settings describe.</summary>
    [JsonIgnore]
    public TrainingPlan Plan => new(ToJson(), Seed, StepsPerEpoch, TotalSteps);

    /// <summary>The contrastive training that fine-tunes both towers with these settings.</summary>
    [JsonIgnore]
    public ContrastiveSettings Contrastive => new()
    {
        TrainDataset = TrainDataset,
        TrainPairs = TrainImages,
        StartsFrom = BaseModelSha256,
        Texts = HeadKey,
        Epochs = Epochs,
        BatchSize = BatchSize,
        MicroBatch = BatchSize,
        LearningRate = LearningRate,
        WeightDecay = WeightDecay,
        WarmupLength = WarmupLength,
        ClipNorm = ClipNorm,
        Seed = Seed,
        Precision = Precision,
    };

    /// <summary>Refuses settings that cannot train.</summary>
    /// <param name="warmupWasAsked">Whether the user set the warm-up; the default one must not be longer than the run, or no step would reach the learning rate.</param>
    /// <exception cref="InputException">A setting is impossible; the message names its flag.</exception>
    public void Check(bool warmupWasAsked)
    {
        CheckNumbers();
        Require(
            !TrainText || TrainImages >= BatchSize || Epochs == 0,
            $"--batch-size {BatchSize}: {TrainDataset} has only {TrainImages} images, too few for one batch of --train-text");
        Require(
            warmupWasAsked || Epochs == 0 || WarmupLength < TotalSteps,
            $"--warmup_length: the default warm-up of {WarmupLength} steps is not shorter than the run of {TotalSteps} steps; try --warmup_length {TotalSteps / 10}");
    }

    /// <summary>Refuses numbers that are impossible whatever the data.</summary>
    /// <exception cref="InputException">The message names the flag.</exception>
    public void CheckNumbers()
    {
        Require(Epochs >= 0, $"--epochs {Epochs}: must be 0 or more");
        Require(BatchSize > 0, $"--batch-size {BatchSize}: must be 1 or more");
        Require(float.IsFinite((float)LearningRate) && LearningRate >= 0, $"--lr {LearningRate}: must be a number of 0 or more");
        Require(float.IsFinite((float)WeightDecay) && WeightDecay >= 0, $"--wd {WeightDecay}: must be a number of 0 or more");
        Require(LabelSmoothing is >= 0 and < 1, $"--ls {LabelSmoothing}: must be in [0, 1)");
        Require(!TrainText || LabelSmoothing == 0, $"--ls {LabelSmoothing}: contrastive training has no labels to smooth; leave it out with --train-text");
        Require(!TrainText || BatchSize > 1, $"--batch-size {BatchSize}: contrastive training compares pairs, so a batch needs at least 2");
        Require(WarmupLength >= 0, $"--warmup_length {WarmupLength}: must be 0 or more");
        Require(float.IsFinite((float)ClipNorm) && ClipNorm > 0, $"--clip-norm {ClipNorm}: must be a positive number");
    }

    /// <summary>One line of JSON with every setting; equal settings give equal text.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Format);

    private static void Require(bool holds, FormattableString message)
    {
        if (!holds) throw new InputException(FormattableString.Invariant(message));
    }
}
