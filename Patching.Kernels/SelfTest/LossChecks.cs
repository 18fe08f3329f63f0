using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary>Self-test of <see cref="L2Normalize"/>, <see cref="CrossEntropy"/> and <see cref="Prediction"/>.</summary>
internal static class LossChecks
{
    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        (int Rows, int Columns)[] shapes = small ? [(2, 3), (5, 37), (8, 100)] : [(2, 3), (67, 211), (128, 1000)];
        foreach ((int rows, int columns) in shapes)
        {
            string size = $"{rows}x{columns}";
            yield return new SelfTestCheck("L2Normalize.Forward", size, trial => Normalize(trial, rows, columns));
            yield return new SelfTestCheck("L2Normalize.Backward", size, trial => NormalizeBackward(trial, rows, columns));
            yield return new SelfTestCheck("CrossEntropy.Forward", size, trial => Loss(trial, rows, columns, 0));
            yield return new SelfTestCheck("CrossEntropy.Forward smoothing", size, trial => Loss(trial, rows, columns, 0.1f));
            yield return new SelfTestCheck("Prediction.Forward", size, trial => Predict(trial, rows, columns));
        }
    }

    private static void Normalize(Trial trial, int rows, int columns)
    {
        float[] x = trial.Normal((long)rows * columns);
        Tensor y = trial.Poisoned(rows, columns), inverse = trial.Poisoned(rows), alone = trial.Poisoned(rows, columns), tx = trial.Tensor(x, rows, columns);
        trial.Launch(() => L2Normalize.Forward(trial.Device, y, inverse, tx));
        trial.Launch(() => L2Normalize.Forward(trial.Device, alone, default, tx));
        (double[] exact, double[] exactInverse) = L2NormalizeReference.Forward<double>(Wide(x), columns);
        (double[] plain, double[] plainInverse) = L2NormalizeReference.Forward<float>(Wide(x), columns);
        trial.Compare("y", y, exact, plain);
        trial.Compare("inverse norm", inverse, exactInverse, plainInverse);
        trial.Compare("y without inverse norm", alone, exact, plain);
    }

    private static void NormalizeBackward(Trial trial, int rows, int columns)
    {
        float[] x = trial.Normal((long)rows * columns), dy = trial.Normal((long)rows * columns);
        (double[] y, double[] inverse) = L2NormalizeReference.Forward<double>(Wide(x), columns);
        float[] savedY = [.. y.Select(v => (float)v)], savedInverse = [.. inverse.Select(v => (float)v)];
        Tensor dx = trial.Poisoned(rows, columns), tdy = trial.Tensor(dy, rows, columns);
        Tensor ty = trial.Tensor(savedY, rows, columns), tinverse = trial.Tensor(savedInverse, rows);
        trial.Launch(() => L2Normalize.Backward(trial.Device, dx, tdy, ty, tinverse));
        trial.Compare(
            "dx", dx, L2NormalizeReference.Backward<double>(Wide(dy), Wide(savedY), Wide(savedInverse)),
            L2NormalizeReference.Backward<float>(Wide(dy), Wide(savedY), Wide(savedInverse)));
    }

    private static void Loss(Trial trial, int rows, int classes, float smoothing)
    {
        // Logits as a CLIP head makes them: cosines times a hundred.
        float[] logits = trial.Normal((long)rows * classes, 10, 20);
        int[] labels = trial.Integers(rows, classes);
        float scale = 1f / rows;
        Tensor loss = trial.Poisoned(rows), dlogits = trial.Poisoned(rows, classes), alone = trial.Poisoned(rows);
        Tensor tlogits = trial.Tensor(logits, rows, classes), tlabels = trial.Tensor(labels, rows);
        trial.Launch(() => CrossEntropy.Forward(trial.Device, loss, dlogits, tlogits, tlabels, smoothing, scale));
        trial.Launch(() => CrossEntropy.Forward(trial.Device, alone, default, tlogits, tlabels, smoothing, scale));
        (double[] exactLoss, double[] exactGradient) = CrossEntropyReference.Forward<double>(Wide(logits), labels, smoothing, scale);
        (double[] plainLoss, double[] plainGradient) = CrossEntropyReference.Forward<float>(Wide(logits), labels, smoothing, scale);
        trial.Compare("loss", loss, exactLoss, plainLoss);
        trial.Compare("dlogits", dlogits, exactGradient, plainGradient);
        trial.Compare("loss without gradient", alone, exactLoss, plainLoss);
    }

    private static void Predict(Trial trial, int rows, int classes)
    {
        float[] logits = trial.Normal((long)rows * classes, 5);
        int[] labels = trial.Integers(rows, classes);
        for (int row = 0; row < rows; row++)
        {
            // A tie with the largest in every row, where there is room for one, and one with the label's: the lower index wins.
            logits[(row + 1) * classes - 1] = logits.AsSpan(row * classes, classes).ToArray().Max();
            logits[row * classes + row % classes] = logits[row * classes + labels[row]];
        }
        Tensor predicted = trial.Tensor([.. Enumerable.Repeat(-7, rows)], rows), ranks = trial.Tensor([.. Enumerable.Repeat(-7, rows)], rows);
        Tensor confidences = trial.Poisoned(rows), tlogits = trial.Tensor(logits, rows, classes), tlabels = trial.Tensor(labels, rows);
        trial.Launch(() => Prediction.Forward(trial.Device, predicted, ranks, confidences, tlogits, tlabels));
        (int[] exactClasses, int[] exactRanks, double[] exact) = PredictionReference.Forward<double>(Wide(logits), labels);
        double[] plain = PredictionReference.Forward<float>(Wide(logits), labels).Confidences;
        trial.CompareExactly("classes", predicted, exactClasses);
        trial.CompareExactly("ranks", ranks, exactRanks);
        trial.Compare("confidences", confidences, exact, plain);
    }
}
