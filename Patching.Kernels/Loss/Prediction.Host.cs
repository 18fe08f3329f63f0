namespace Patching.Kernels;

/// <content>
/// The host implementation: rows divided among the threads, only the exponentials on vectors. The branches of the rest are almost never taken after the first few elements, and
/// a batch of logits is thousands of times smaller than the layers that made it.
/// </content>
public static partial class Prediction
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor classes, Tensor ranks, Tensor confidences, Tensor logits, Tensor labels)
    {
        int count = logits.Columns;
        int* pClasses = classes.HostInts, pRanks = ranks.HostInts, pLabels = labels.HostInts;
        float* pConfidences = confidences.HostFloats, pLogits = logits.HostFloats;
        threads.For(logits.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                float* values = pLogits + row * count;
                int predicted = IndexOfLargest(values, count);
                pClasses[row] = predicted;
                pRanks[row] = Rank(values, count, pLabels[row]);
                pConfidences[row] = 1 / CrossEntropy.Exponentials(null, values, count, values[predicted]).Sum;
            }
        });
    }

    private static unsafe int IndexOfLargest(float* values, int count)
    {
        int index = 0;
        while (index < count - 1 && float.IsNaN(values[index])) index++;
        if (float.IsNaN(values[index])) return 0;
        for (int k = index + 1; k < count; k++)
        {
            if (values[k] > values[index]) index = k;
        }
        return index;
    }

    private static unsafe int Rank(float* values, int count, int label)
    {
        if (label < 0 || label >= count) return count;
        float own = values[label];
        int rank = 0;
        for (int k = 0; k < count; k++)
        {
            bool beats = float.IsNaN(own) ? !float.IsNaN(values[k]) || k < label : values[k] > own || (values[k] == own && k < label);
            if (beats) rank++;
        }
        return rank;
    }
}
