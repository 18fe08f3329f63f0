using Patching.Kernels;

namespace Patching.Benchmarks.Gpu;

/// <summary>Operands for kernels: products of random numbers draw more power, and so run slower, than products of zeros.</summary>
internal static class RandomNumbers
{
    private const int Block = 1 << 20;

    /// <summary>Fills a tensor with normal numbers; a block of them is made here and repeated on the device.</summary>
    public static void Fill(Tensor tensor, int seed)
    {
        Random random = new(seed);
        int count = checked((int)tensor.Count), first = Math.Min(Block, count);
        float[] values = new float[first];
        for (int i = 0; i < first; i++)
            values[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        // A column, so that a row is an element and a slice begins anywhere.
        Tensor column = tensor.Reshape(count, 1);
        column.SliceRows(0, first).CopyFrom(values);
        for (int done = first; done < count; done += Math.Min(done, count - done))
        {
            int more = Math.Min(done, count - done);
            column.SliceRows(done, more).CopyFrom(column.SliceRows(0, more));
        }
    }
}
