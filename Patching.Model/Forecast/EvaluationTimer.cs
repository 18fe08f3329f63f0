using System.Diagnostics;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;

namespace Patching.Model.Forecast;

/// <summary>
/// Seconds that the evaluation of an image takes under several alphas, by evaluating a few images spread over the data set: once under one alpha, and again under as many as a few seconds
/// allow, up to all. What one alpha more costs is what the others cost, too.
/// </summary>
/// <param name="evaluator">The evaluator of the run.</param>
/// <param name="head">Gives a head of so many classes.</param>
/// <param name="batchSize">Images of a batch.</param>
internal sealed class EvaluationTimer(Evaluator evaluator, Func<int, ZeroShotHead> head, int batchSize)
{
    private const double EnoughSeconds = 1;
    private const double MostSeconds = 8;

    private bool isWarm;

    /// <summary>Measures.</summary>
    /// <param name="dataset">The data set.</param>
    /// <param name="candidates">How many alphas there will be.</param>
    /// <param name="select">The weights of one of them.</param>
    /// <param name="resident">Whether all weights stay side by side.</param>
    /// <param name="cancellation">Interrupts it.</param>
    /// <returns>Seconds per image, under all alphas together.</returns>
    /// <exception cref="InputException">An image cannot be read.</exception>
    public double Measure(ImageDataset dataset, int candidates, Func<int, ImageParameters> select, bool resident, CancellationToken cancellation)
    {
        ZeroShotHead ofClasses = head(dataset.ClassNames.Count);
        double Seconds(int images, int alphas)
        {
            ImageDataset part = new SubsetDataset(dataset.Name, dataset, [.. Enumerable.Range(0, images).Select(i => (int)((long)i * dataset.Count / images))]);
            Stopwatch watch = Stopwatch.StartNew();
            evaluator.Evaluate(part, ofClasses, alphas, select, null, cancellation, resident);
            return watch.Elapsed.TotalSeconds;
        }

        int images = Math.Min(batchSize, dataset.Count);
        if (!isWarm) Seconds(images, 1);
        isWarm = true;
        double one = Seconds(images, 1);
        while (one < EnoughSeconds && images < dataset.Count)
        {
            images = (int)Math.Min(dataset.Count, Math.Max(2L * images, (long)(images * EnoughSeconds / one)));
            one = Seconds(images, 1);
        }
        int several = Math.Clamp((int)(MostSeconds / one), 2, Math.Max(candidates, 2));
        double more = candidates == 1 ? 0 : Math.Max(0, Seconds(images, several) - one) / (several - 1);
        return (one + (candidates - 1) * more) / images;
    }
}
