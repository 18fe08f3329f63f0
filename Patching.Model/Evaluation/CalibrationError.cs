namespace Patching.Model.Evaluation;

/// <summary>
/// Expected calibration error (Naeini et al. 2015; with these bins, Guo et al. 2017): how far confidence is from accuracy. Predictions are divided by their confidence into
/// <see cref="Bins"/> bins of equal width, <c>((m-1)/M, m/M]</c>; <c>ECE = sum over bins of |B|/n |accuracy(B) - mean confidence(B)|</c>, from 0 (of the predictions made with 70 %
/// confidence, 70 % are right) to 1.
/// </summary>
public static class CalibrationError
{
    /// <summary>M.</summary>
    public const int Bins = 15;

    /// <summary>The error of some predictions; null where there is none or a confidence is no number from 0 to 1.</summary>
    /// <param name="predictions">Confidence of each, and whether it is right.</param>
    public static double? Of(IEnumerable<(float Confidence, bool IsRight)> predictions)
    {
        // Of a bin |B| |accuracy - confidence| is |right - sum of confidences|.
        double[] excess = new double[Bins];
        long count = 0;
        foreach ((float confidence, bool isRight) in predictions)
        {
            if (!(confidence is >= 0 and <= 1)) return null;
            excess[BinOf(confidence)] += (isRight ? 1 : 0) - (double)confidence;
            count++;
        }
        return count == 0 ? null : excess.Sum(Math.Abs) / count;
    }

    /// <summary>The bin of a confidence from 0 to 1, counted from 0.</summary>
    internal static int BinOf(float confidence) => Math.Max(0, (int)Math.Ceiling((double)confidence * Bins) - 1);
}
