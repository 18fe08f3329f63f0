namespace Patching.Kernels;

/// <content>The host implementation: one row at a time.</content>
public static partial class TokenEmbedding
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor x, Tensor ids, Tensor table, Tensor positions)
    {
        int length = positions.Rows, width = table.Columns, vocabulary = table.Rows;
        float* px = x.HostFloats, pTable = table.HostFloats, pPositions = positions.HostFloats;
        int* pIds = ids.HostInts;
        threads.For(ids.Count, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                int id = pIds[row];
                if (id < 0 || id >= vocabulary)
                    HostRow.Fill(px + row * width, float.NaN, width);
                else
                    HostRow.Sum(px + row * width, pTable + (long)id * width, pPositions + row % length * width, width);
            }
        });
    }

    private static unsafe void BackwardHost(HostThreads threads, Tensor dtable, Tensor dpositions, Tensor dx, Tensor ids)
    {
        int batch = ids.Rows, length = dpositions.Rows, width = dtable.Columns, vocabulary = dtable.Rows;
        float* pTable = dtable.HostFloats, pPositions = dpositions.HostFloats, px = dx.HostFloats;
        int* pIds = ids.HostInts;
        long tokens = ids.Count;
        threads.For(Buckets, (first, end) =>
        {
            for (long row = 0; row < tokens; row++)
            {
                int id = pIds[row];
                if (id < 0 || id >= vocabulary || id % Buckets < first || id % Buckets >= end) continue;
                float* target = pTable + (long)id * width;
                HostRow.Sum(target, target, px + row * width, width);
            }
        });
        threads.For(length, (first, end) =>
        {
            for (long t = first; t < end; t++)
            {
                float* target = pPositions + t * width;
                for (long b = 0; b < batch; b++) HostRow.Sum(target, target, px + (b * length + t) * width, width);
            }
        });
    }
}
