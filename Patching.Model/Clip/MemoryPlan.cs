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
    public static IReadOnlyList<MemoryRole> Training(ClipConfig config, int batch, int classes)
    {
        long parameters = ParameterSet.BytesFor(ParameterTable.Vision(config));
        return
        [
            new("weights", parameters),
            new("gradients", parameters),
            new("AdamW moments", 2 * parameters),
            new("activations", VisionActivations.BytesFor(config, batch, training: true)),
            new("head and loss", ImageClassifier.BytesFor(batch, config.EmbeddingWidth, classes)),
        ];
    }

    /// <summary>Contrastive training of both towers: weights, gradients and moments, the activations of a micro-batch, features and loss of the batch.</summary>
    public static IReadOnlyList<MemoryRole> Pretraining(ClipConfig config, int batch, int microBatch)
    {
        long parameters = ParameterSet.BytesFor(ParameterTable.All(config));
        return
        [
            new("parameters", parameters),
            new("gradients", parameters),
            new("AdamW moments", 2 * parameters),
            new("image activations", VisionActivations.BytesFor(config, microBatch, training: true)),
            new("text activations", TextActivations.BytesFor(config, microBatch, config.Text!.ContextLength, training: true)),
            new("features and loss", ContrastiveLoss.BytesFor(batch, config.EmbeddingWidth) + 2L * batch * config.EmbeddingWidth * sizeof(float)),
        ];
    }

    /// <summary>An evaluation of patched models: both ends, working weights, activations of a forward pass.</summary>
    public static IReadOnlyList<MemoryRole> Evaluation(ClipConfig config, int batch, int classes)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.Vision(config);
        return
        [
            new("original, fine-tuned, interpolated and packed weights", 4 * ParameterSet.BytesFor(table)),
            new("activations", VisionActivations.BytesFor(config, batch, training: false)),
            new("head", ImageClassifier.BytesFor(batch, config.EmbeddingWidth, classes)),
        ];
    }
}
