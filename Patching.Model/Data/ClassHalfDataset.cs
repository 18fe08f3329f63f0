namespace Patching.Model.Data;

/// <summary>
/// The images of one half of a data set's classes, as for broad transfer in the paper: the classes are divided at random, the same way every time, so that a model can be patched on one half and
/// tested on the other, whose classes it has never seen.
/// </summary>
internal sealed class ClassHalfDataset : SubsetDataset
{
    private readonly Dictionary<int, int> labels;

    private ClassHalfDataset(string name, ImageDataset whole, int[] images, int[] classes)
        : base(name, whole, images, [.. classes.Select(label => whole.ClassNames[label])]) => labels = classes.Index().ToDictionary(pair => pair.Item, pair => pair.Index);

    /// <summary>Takes one half.</summary>
    /// <param name="name">Name of the half.</param>
    /// <param name="whole">The data set.</param>
    /// <param name="second">Whether it is half B.</param>
    /// <exception cref="InputException">There is only one class, or no image of the half.</exception>
    public static ClassHalfDataset Of(string name, ImageDataset whole, bool second)
    {
        int classes = whole.ClassNames.Count;
        if (classes < 2) throw new InputException($"{name}: a data set of {classes} class has no halves");
        int[] order = TorchPermutation.Create(classes, 0), half = [.. (second ? order[(classes / 2)..] : order[..(classes / 2)]).Order()];
        int[] images = [.. Enumerable.Range(0, whole.Count).Where(i => half.Contains(whole.Label(i)))];
        if (images.Length == 0) throw new InputException($"{name}: there are no images of its {half.Length} classes");
        return new ClassHalfDataset(name, whole, images, half);
    }

    /// <inheritdoc/>
    public override int Label(int index) => labels[base.Label(index)];

    /// <inheritdoc/>
    public override int? WrittenLabel(int index) => base.WrittenLabel(index) is { } written && labels.TryGetValue(written, out int label) ? label : null;
}
