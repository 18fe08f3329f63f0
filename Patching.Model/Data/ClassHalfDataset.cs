using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// The images of one half of a data set's classes, as for broad transfer in the paper: the classes are divided at random, the same way every time, so that a model can be patched on one half and
/// tested on the other, whose classes it has never seen.
/// </summary>
internal sealed class ClassHalfDataset : ImageDataset
{
    private readonly ImageDataset whole;
    private readonly int[] images;
    private readonly Dictionary<int, int> labels;

    private ClassHalfDataset(string name, ImageDataset whole, int[] classes)
        : base(name, [.. classes.Select(label => whole.ClassNames[label])])
    {
        this.whole = whole;
        labels = classes.Index().ToDictionary(pair => pair.Item, pair => pair.Index);
        images = [.. Enumerable.Range(0, whole.Count).Where(i => labels.ContainsKey(whole.Label(i)))];
        if (images.Length == 0) throw new InputException($"{name}: there are no images of its {classes.Length} classes");
    }

    /// <summary>Takes one half.</summary>
    /// <param name="name">Name of the half.</param>
    /// <param name="whole">The data set.</param>
    /// <param name="second">Whether it is half B.</param>
    /// <exception cref="InputException">There is only one class.</exception>
    public static ClassHalfDataset Of(string name, ImageDataset whole, bool second)
    {
        int classes = whole.ClassNames.Count;
        if (classes < 2) throw new InputException($"{name}: a data set of {classes} class has no halves");
        int[] order = TorchPermutation.Create(classes, 0);
        return new ClassHalfDataset(name, whole, [.. (second ? order[(classes / 2)..] : order[..(classes / 2)]).Order()]);
    }

    /// <inheritdoc/>
    public override int Count => images.Length;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes => whole.Notes;

    /// <inheritdoc/>
    public override int Label(int index) => labels[whole.Label(images[index])];

    /// <inheritdoc/>
    public override RgbImage Load(int index) => whole.Load(images[index]);

    /// <inheritdoc/>
    public override string Describe(int index) => whole.Describe(images[index]);
}
