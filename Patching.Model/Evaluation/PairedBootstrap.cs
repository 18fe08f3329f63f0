using Patching.Model.Images;

namespace Patching.Model.Evaluation;

/// <summary>How much accuracy changes between two models on the same images, and how sure that is.</summary>
/// <param name="Before">Accuracy of the first model, 0 to 1, on the images that both saw.</param>
/// <param name="After">Accuracy of the second.</param>
/// <param name="Low">Lower end of the 95 % interval of <c>After - Before</c>.</param>
/// <param name="High">Upper end.</param>
/// <param name="Sure">Share of resamples whose drop <c>Before - After</c> is within the bound asked about; null where none was.</param>
public sealed record PairedChange(double Before, double After, double Low, double High, double? Sure);

/// <summary>
/// Paired bootstrap over images (Efron and Tibshirani 1993): both models are judged on the same resampled images, so what is hard about an image cancels. Of an image only the change
/// counts, which is -1, 0 or 1; a resample is therefore a draw of n of these, and the interval is that between the percentiles 2.5 and 97.5 of the resampled mean changes.
/// </summary>
public static class PairedBootstrap
{
    private const int Resamples = 2000;

    /// <summary>Compares the predictions of two models.</summary>
    /// <param name="labels">Right class of every image.</param>
    /// <param name="before">Predicted classes of the first model; -1 for an image that could not be read.</param>
    /// <param name="after">Those of the second.</param>
    /// <param name="mostDrop">The largest drop that is allowed, 0 to 1, where the user wants to know how sure it is.</param>
    public static PairedChange Compare(IReadOnlyList<int> labels, int[] before, int[] after, double? mostDrop)
    {
        int seen = 0, right0 = 0, right1 = 0, gained = 0, lost = 0;
        for (int i = 0; i < before.Length; i++)
        {
            if (before[i] < 0 || after[i] < 0) continue;
            bool was = before[i] == labels[i], isNow = after[i] == labels[i];
            seen++;
            if (was) right0++;
            if (isNow) right1++;
            if (isNow && !was) gained++;
            if (was && !isNow) lost++;
        }
        if (seen == 0) return new PairedChange(0, 0, 0, 0, null);
        double[] changes = new double[Resamples];
        for (int r = 0; r < Resamples; r++)
        {
            SampleRandom random = SampleRandom.ForSample(0, 0, r);
            int sum = 0;
            for (int i = 0; i < seen; i++)
            {
                int drawn = random.NextInt(seen);
                if (drawn < gained) sum++;
                else if (drawn < gained + lost) sum--;
            }
            changes[r] = (double)sum / seen;
        }
        Array.Sort(changes);
        // A hair more than the bound, so that a drop that equals it counts as within it.
        double? sure = mostDrop is { } bound ? changes.Count(change => -change <= bound + 1e-12) / (double)Resamples : null;
        return new PairedChange((double)right0 / seen, (double)right1 / seen, changes[Resamples / 40], changes[^(Resamples / 40 + 1)], sure);
    }
}
