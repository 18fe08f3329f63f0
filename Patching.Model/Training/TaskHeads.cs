using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Model.Training;

/// <summary>
/// The frozen heads of one task or of several that are trained together. Labels of several tasks are numbered one task after the other, as <see cref="Data.JointDataset"/> does. A batch is put
/// in the order of its tasks; every head then computes loss and gradient of its own images, so a class competes only with those of its own task.
/// </summary>
internal sealed class TaskHeads : IDisposable
{
    private readonly ImageClassifier[] classifiers;
    private readonly PinnedUpload[] labelUploads;
    private readonly int[] firstLabels;
    private readonly Arena? joined;
    private Tensor dFeatures;
    private int[] counts;

    /// <summary>Allocates the heads and their buffers.</summary>
    public TaskHeads(Device device, IReadOnlyList<ZeroShotHead> heads, int batch, TowerPrecision precision)
    {
        classifiers = [.. heads.Select(head => new ImageClassifier(device, head, batch, precision))];
        labelUploads = [.. classifiers.Select(classifier => new PinnedUpload(device, classifier.Labels))];
        firstLabels = [.. heads.Select((_, task) => heads.Take(task).Sum(head => head.Classes))];
        counts = new int[heads.Count];
        if (heads.Count > 1)
            joined = Arena.Allocate(device, "joint gradient", arena => dFeatures = arena.Take("d_features", precision.Operands(), batch, heads[0].EmbeddingWidth));
    }

    /// <summary>What the launches of a batch depend on: how many images there are of each task.</summary>
    public string Composition => string.Join(' ', counts);

    /// <summary>Puts a batch in the order of its tasks and uploads the labels.</summary>
    /// <param name="pixels">Images [n, S, S, 3].</param>
    /// <param name="labels">n labels.</param>
    /// <returns>The images in order; those given where there is one task.</returns>
    public ReadOnlySpan<byte> Upload(ReadOnlySpan<byte> pixels, ReadOnlySpan<int> labels)
    {
        counts = new int[classifiers.Length];
        if (classifiers.Length == 1)
        {
            counts[0] = labels.Length;
            labelUploads[0].Upload(labels);
            return pixels;
        }
        int imageBytes = pixels.Length / labels.Length;
        byte[] sorted = new byte[pixels.Length];
        int[] ofTask = new int[labels.Length];
        int placed = 0;
        for (int task = 0; task < classifiers.Length; task++)
        {
            for (int i = 0; i < labels.Length; i++)
            {
                if (TaskOf(labels[i]) != task) continue;
                pixels.Slice(i * imageBytes, imageBytes).CopyTo(sorted.AsSpan(placed++ * imageBytes));
                ofTask[counts[task]++] = labels[i] - firstLabels[task];
            }
            if (counts[task] > 0) labelUploads[task].Upload<int>(ofTask.AsSpan(0, counts[task]));
        }
        return sorted;
    }

    /// <summary>Launches the loss of the batch uploaded last.</summary>
    /// <returns>The gradient of its mean with respect to the features.</returns>
    public Tensor Loss(Tensor features, float smoothing)
    {
        if (classifiers.Length == 1) return classifiers[0].Loss(features, smoothing);
        int first = 0;
        for (int task = 0; task < classifiers.Length; first += counts[task++])
        {
            if (counts[task] > 0) classifiers[task].LossOfPart(features.SliceRows(first, counts[task]), dFeatures.SliceRows(first, counts[task]), smoothing, features.Rows);
        }
        return dFeatures.Prefix(features.Rows, features.Columns);
    }

    /// <summary>Losses of all images of the batch uploaded last; waits for the device.</summary>
    public IEnumerable<float> Losses() => classifiers.Zip(counts).Where(pair => pair.Second > 0).SelectMany(pair => pair.First.Losses(pair.Second).ToArray());

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PinnedUpload upload in labelUploads) upload.Dispose();
        foreach (ImageClassifier classifier in classifiers) classifier.Dispose();
        joined?.Dispose();
    }

    private int TaskOf(int label)
    {
        int task = firstLabels.Length - 1;
        while (firstLabels[task] > label) task--;
        return task;
    }
}
