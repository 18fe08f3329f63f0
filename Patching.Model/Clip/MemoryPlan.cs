using System.Collections.Immutable;
using System.Globalization;
using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>Memory by role, computed by the same layouts that allocate it.</summary>
/// <param name="Role">What the memory holds.</param>
/// <param name="Bytes">How much there is of it.</param>
public sealed record MemoryRole(string Role, long Bytes);

/// <summary>How much device memory a job takes before it starts.</summary>
public static class MemoryPlan
{
    /// <summary>A fine-tune: weights, gradients, moments, activations.</summary>
    public static IReadOnlyList<MemoryRole> Training(ClipConfig config, int batch, int classes, TowerPrecision precision) => Training(config, batch, [classes], precision);

    /// <summary>The same on several tasks at once, each with its own head.</summary>
    public static IReadOnlyList<MemoryRole> Training(ClipConfig config, int batch, IReadOnlyList<int> classes, TowerPrecision precision)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.Vision(config);
        long parameters = ParameterSet.BytesFor(table);
        List<MemoryRole> plan =
        [
            new("weights", parameters),
            new("gradients", parameters),
            new("AdamW moments", 2 * parameters),
            new("activations", ImageActivations.BytesOf(config, batch, training: true, precision)),
            new("head and loss", classes.Sum(ofTask => ImageClassifier.BytesFor(batch, config.EmbeddingWidth, ofTask, precision))),
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

    /// <summary>
    /// What is held beside a fine-tune of several tasks: models that are finished, and what scores candidates on held-out images.
    /// </summary>
    /// <param name="config">The model.</param>
    /// <param name="batch">Images of a batch.</param>
    /// <param name="classes">The most classes of a data set.</param>
    /// <param name="finished">How many image towers are kept.</param>
    /// <param name="precision">Arithmetic of the towers.</param>
    public static IReadOnlyList<MemoryRole> Scoring(ClipConfig config, int batch, int classes, int finished, TowerPrecision precision)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.Vision(config);
        long parameters = ParameterSet.BytesFor(table), working = ParameterSet.BytesFor(table, precision);
        return
        [
            new("finished image towers", finished * parameters),
            // Only the host has packed weights.
            new("weights being scored", precision == TowerPrecision.BFloat16 ? working : 2 * working),
            new("activations of scoring", ImageActivations.BytesOf(config, batch, training: false, precision)),
            new("head of scoring", ImageClassifier.BytesFor(batch, config.EmbeddingWidth, classes, precision)),
        ];
    }

    /// <summary>Refuses a job that does not fit: memory of the host is granted on paper and missing later, so the plan is compared with what there is.</summary>
    /// <param name="device">Where it would run.</param>
    /// <param name="flag">The flag, with its value, that a smaller one would help.</param>
    /// <param name="job">What needs the memory.</param>
    /// <param name="plan">How much.</param>
    /// <exception cref="InputException">There is not enough.</exception>
    public static void Require(Device device, string flag, string job, IReadOnlyList<MemoryRole> plan)
    {
        long needed = plan.Sum(role => role.Bytes);
        if (needed > device.MemoryBytes)
            throw new InputException(string.Create(
                CultureInfo.InvariantCulture, $"{flag}: {job} needs {needed >> 20} MiB, {device.Name} has {device.MemoryBytes >> 20} MiB; use a smaller one"));
    }

    // Two batches of pixels on their way, on the devices that have mixed precision.
    private static IEnumerable<MemoryRole> Uploads(ClipConfig config, int batch, TowerPrecision precision) =>
        precision == TowerPrecision.BFloat16 ? [new("uploads", 2L * batch * 3 * config.Image.ImageSize * config.Image.ImageSize)] : [];
}
