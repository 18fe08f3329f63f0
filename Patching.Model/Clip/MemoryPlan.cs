using System.Collections.Immutable;

namespace Patching.Model.Clip;

/// <summary>Memory by role, computed by the same layouts that allocate it.</summary>
/// <param name="Role">What the memory holds.</param>
/// <param name="Bytes">How much there is of it.</param>
public sealed record MemoryRole(string Role, long Bytes);

/// <summary>How much device memory a job takes before it starts.</summary>
public static class MemoryPlan
{
    /// <summary>A fine-tune: weights, gradients, moments, activations.</summary>
    public static IReadOnlyList<MemoryRole> Training(ClipConfig config, int batch, int classes, TowerPrecision precision)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.Vision(config);
        long parameters = ParameterSet.BytesFor(table);
        List<MemoryRole> plan =
        [
            new("weights", parameters),
            new("gradients", parameters),
            new("AdamW moments", 2 * parameters),
            new("activations", ImageActivations.BytesOf(config, batch, training: true, precision)),
            new("head and loss", ImageClassifier.BytesFor(batch, config.EmbeddingWidth, classes, precision)),
        ];
        if (precision == TowerPrecision.BFloat16) plan.Insert(1, new("weights, rounded", ParameterSet.BytesFor(table, precision) - parameters));
        return [.. plan, .. Uploads(config, batch, precision)];
    }

    /// <summary>Contrastive training of both towers: weights, gradients and moments, the activations of a micro-batch, features and loss of the batch.</summary>
    public static IReadOnlyList<MemoryRole> Pretraining(ClipConfig config, int batch, int microBatch, TowerPrecision precision)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.All(config);
        long parameters = ParameterSet.BytesFor(table), gradient = precision == TowerPrecision.BFloat16 ? 2L * microBatch * config.EmbeddingWidth : 0;
        return
        [
            new("parameters", ParameterSet.BytesFor(table, precision)),
            new("gradients", parameters),
            new("AdamW moments", 2 * parameters),
            new("image activations", VisionActivations.BytesFor(config, microBatch, training: true, precision)),
            new("text activations", TextActivations.BytesFor(config, microBatch, config.Text!.ContextLength, training: true, precision)),
            new("features and loss", ContrastiveLoss.BytesFor(batch, config.EmbeddingWidth) + 2L * batch * config.EmbeddingWidth * sizeof(float) + gradient),
        ];
    }

    /// <summary>An evaluation of patched models: both ends, working weights (of both towers, where both were trained), activations of a forward pass.</summary>
    public static IReadOnlyList<MemoryRole> Evaluation(ClipConfig config, int batch, int classes, TowerPrecision precision, bool trainedText = false)
    {
        ImmutableArray<ParameterSpec> table = trainedText ? ParameterTable.All(config) : ParameterTable.Vision(config);
        long parameters = ParameterSet.BytesFor(table, precision);
        return
        [
            // Only the host has packed weights, and only other devices have rounded ones.
            precision == TowerPrecision.BFloat16
                ? new("original, fine-tuned and interpolated weights", 3 * parameters)
                : new("original, fine-tuned, interpolated and packed weights", 4 * parameters),
            new("activations", ImageActivations.BytesOf(config, batch, training: false, precision)),
            new("head", ImageClassifier.BytesFor(batch, config.EmbeddingWidth, classes, precision)),
            .. Uploads(config, batch, precision),
        ];
    }

    // Two batches of pixels on their way, on the devices that have mixed precision.
    private static IEnumerable<MemoryRole> Uploads(ClipConfig config, int batch, TowerPrecision precision) =>
        precision == TowerPrecision.BFloat16 ? [new("uploads", 2L * batch * 3 * config.Image.ImageSize * config.Image.ImageSize)] : [];
}
