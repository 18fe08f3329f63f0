using System.Text.Json;
using System.Text.Json.Serialization;
using Patching.Model.Clip;

namespace Patching.Model.Training;

/// <summary>Everything that decides what contrastive training computes; stored with its state as <see cref="FinetuneSettings"/> are.</summary>
public sealed record ContrastiveSettings
{
    /// <summary>Pairs to learn from, as named on the command line.</summary>
    public required string TrainDataset { get; init; }

    /// <summary>Pairs in it, so that a changed file is noticed.</summary>
    public required int TrainPairs { get; init; }

    /// <summary>SHA-256 of the weights to start from, or a description of how they are drawn.</summary>
    public required string StartsFrom { get; init; }

    /// <summary>Hash of what the texts are made from, where they are class names in templates of a model's own; absent where they belong to the pairs.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Texts { get; init; }

    /// <summary>Passes over the pairs.</summary>
    public int Epochs { get; init; } = 10;

    /// <summary>Pairs per step: each is told from this many minus one others. An incomplete batch at the end of a pass is left out.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Pairs whose activations are held in memory at once; smaller than the batch costs a second forward pass.</summary>
    public int MicroBatch { get; init; } = 128;

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>AdamW's decoupled weight decay, on matrices and embeddings only.</summary>
    public double WeightDecay { get; init; } = 0.2;

    /// <summary>Decay of the running mean of gradients.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the running mean of squared gradients; CLIP's vision transformers were trained with 0.98.</summary>
    public double Beta2 { get; init; } = 0.98;

    /// <summary>AdamW's epsilon, CLIP's value for vision transformers.</summary>
    public double Epsilon { get; init; } = 1e-6;

    /// <summary>Steps of linear warm-up.</summary>
    public int WarmupLength { get; init; }

    /// <summary>Largest norm of the gradient.</summary>
    public double ClipNorm { get; init; } = 1.0;

    /// <summary>Decides the order of the pairs, their crops and the choice among several texts of an image.</summary>
    public int Seed { get; init; }

    /// <summary>Arithmetic of forward and backward in both towers; the loss is single precision.</summary>
    public TowerPrecision Precision { get; init; }

    /// <summary>Steps of one pass.</summary>
    [JsonIgnore]
    public int StepsPerEpoch => TrainPairs / BatchSize;

    /// <summary>Steps of the whole run.</summary>
    [JsonIgnore]
    public long TotalSteps => (long)StepsPerEpoch * Epochs;

    /// <summary>The learning rate over the run.</summary>
    [JsonIgnore]
    public CosineSchedule Schedule => new(LearningRate, WarmupLength, TotalSteps);

    /// <summary>The run that these settings describe.</summary>
    [JsonIgnore]
    public TrainingPlan Plan => new(JsonSerializer.Serialize(this, FinetuneSettings.Format), Seed, StepsPerEpoch, TotalSteps);
}
