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
}
