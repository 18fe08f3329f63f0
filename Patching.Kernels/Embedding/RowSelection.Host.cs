namespace Patching.Kernels;

/// <content>The host implementation. Scatter clears with all threads; the few selected rows are then added by one, in order.</content>
public static partial class RowSelection
{
    private static unsafe void GatherHost(HostThreads threads, Tensor y, Tensor x, Tensor rows)
    {
        int width = x.Columns, count = x.Rows;
        float* py = y.HostFloats, px = x.HostFloats;
        int* pRows = rows.HostInts;
        threads.For(rows.Count, (first, end) =>
        {
            for (long b = first; b < end; b++)
            {
                if (pRows[b] < 0 || pRows[b] >= count)
                    HostRow.Fill(py + b * width, float.NaN, width);
                else
                    HostRow.Copy(py + b * width, px + (long)pRows[b] * width, width);
            }
        });
    }

    private static unsafe void ScatterHost(HostThreads threads, Tensor dx, Tensor dy, Tensor rows)
    {
        int width = dx.Columns, count = dx.Rows;
        float* pdx = dx.HostFloats, pdy = dy.HostFloats;
        int* pRows = rows.HostInts;
        threads.For(count, (first, end) =>
        {
            for (long row = first; row < end; row++) HostRow.Fill(pdx + row * width, 0, width);
        });
        for (long b = 0; b < rows.Count; b++)
        {
            float* target = pdx + (long)pRows[b] * width;
            if (pRows[b] >= 0 && pRows[b] < count) HostRow.Sum(target, target, pdy + b * width, width);
        }
    }
}
