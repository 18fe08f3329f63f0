using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Model.Evaluation;

/// <summary>A few images whose prediction two models disagree about, as small pictures for people to look at.</summary>
/// <param name="Indices">Places in the data set, rising.</param>
/// <param name="Pixels">[K, 64, 64, 3], red first: the short side resized to 64 pixels, the centre cut out.</param>
internal sealed record FlippedImages(int[] Indices, byte[] Pixels)
{
    /// <summary>Side of the pictures in pixels.</summary>
    public const int Side = 64;

    /// <summary>The most pictures.</summary>
    public const int Most = 24;

    /// <summary>Chooses among all flips, and loads what it chose; an image that can no longer be read is left out.</summary>
    /// <param name="dataset">The images.</param>
    /// <param name="labels">Their right classes.</param>
    /// <param name="before">Predictions of one model; -1 for an image that was not seen.</param>
    /// <param name="after">Those of the other.</param>
    public static FlippedImages Choose(ImageDataset dataset, int[] labels, int[] before, int[] after)
    {
        int[] flips = [.. Enumerable.Range(0, labels.Length).Where(i => before[i] >= 0 && after[i] >= 0 && before[i] != after[i])];
        ImagePreprocessor preprocessor = new(Side);
        List<int> indices = [];
        List<byte> pixels = [];
        byte[] picture = new byte[preprocessor.OutputBytes];
        foreach (int index in Spread(flips, labels).Order())
        {
            try
            {
                preprocessor.Apply(dataset.Load(index), picture);
            }
            catch (InputException)
            {
                continue;
            }
            indices.Add(index);
            pixels.AddRange(picture);
        }
        return new FlippedImages([.. indices], [.. pixels]);
    }

    /// <summary>
    /// Spread over the right classes: the first flip of every class, then the second of every class, and so on; of the round that does not fit as a whole, classes at equal distances.
    /// </summary>
    internal static int[] Spread(int[] flips, int[] labels)
    {
        List<int> chosen = [];
        IEnumerable<int[]> rounds = flips.GroupBy(i => labels[i]).OrderBy(ofClass => ofClass.Key)
            .SelectMany(ofClass => ofClass.Select((index, round) => (index, round))).GroupBy(flip => flip.round, flip => flip.index)
            .OrderBy(round => round.Key).Select(round => round.ToArray());
        foreach (int[] round in rounds)
        {
            int room = Math.Min(round.Length, Most - chosen.Count);
            chosen.AddRange(Enumerable.Range(0, room).Select(k => round[(int)((long)k * round.Length / room)]));
        }
        return [.. chosen];
    }
}
