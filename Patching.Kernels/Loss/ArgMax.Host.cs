namespace Patching.Kernels;

/// <content>
/// The host implementation: the same loop, rows divided among the threads. It is not vectorised: the branch is almost never taken after the
/// first few elements, and a batch of logits is thousands of times smaller than the layers that made it.
/// </content>
public static partial class ArgMax
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor indices, Tensor logits)
    {
        int classes = logits.Columns;
        int* pIndices = indices.HostInts;
        float* pLogits = logits.HostFloats;
        threads.For(logits.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++) pIndices[row] = IndexOfLargest(pLogits + row * classes, classes);
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
}
