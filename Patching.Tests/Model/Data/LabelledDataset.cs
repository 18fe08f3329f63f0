using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Tests.Model.Data;

/// <summary>Noise pictures, large enough that two crops are never the same.</summary>
internal sealed class LabelledDataset(int[] labels, int classes, Func<int, int>? picture = null)
    : ImageDataset("labelled", [.. Enumerable.Range(0, classes).Select(i => $"class {i}")])
{
    private const int Side = 300;

    public override int Count => labels.Length;

    public int CountOf(int label) => labels.Count(value => value == label);

    public override int Label(int index) => labels[index];

    public override RgbImage Load(int index)
    {
        byte[] pixels = new byte[3 * Side * Side];
        new Random(picture?.Invoke(index) ?? index).NextBytes(pixels);
        return new RgbImage(Side, Side, pixels);
    }

    public override string SourceFile(int index) => "memory";

    public override string Describe(int index) => index.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
