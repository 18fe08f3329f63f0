using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>How the tensor-core kernels find, fetch and write the rows of a head.</content>
public static partial class Attention
{
    /// <summary>Where the rows of one head lie in a matrix with one row per token, counted in pieces of 16 bytes.</summary>
    /// <param name="First">The head's part of its sequence's first token.</param>
    /// <param name="Stride">From token to token.</param>
    private readonly record struct HeadRows(int First, int Stride);

    /// <summary>What a warp works on, and where its lane is.</summary>
    /// <param name="Pair">The (sequence, head).</param>
    /// <param name="FirstOfGroup">The group's first row.</param>
    /// <param name="First">The warp's first row, one of its 16.</param>
    /// <param name="Lane">0 to 31.</param>
    /// <param name="Row">g = lane / 4.</param>
    /// <param name="Column">2t, t = lane % 4.</param>
    /// <param name="Shared">Start of the group's shared memory, aligned.</param>
    /// <param name="OwnRows">Offset of the warp's rows in a matrix with the rows of the group.</param>
    /// <param name="RowLane"><see cref="SwizzledRows.RowLane"/> of the lane.</param>
    /// <param name="ColumnLane"><see cref="SwizzledRows.ColumnLane"/> of the lane.</param>
    private readonly record struct Place(
        int Pair, int FirstOfGroup, int First, int Lane, int Row, int Column, uint Shared, uint OwnRows, uint RowLane, uint ColumnLane);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Place Locate(AttentionShape shape, int width)
    {
        ArrayView<Word4> shared = SharedMemory.GetDynamic<Word4>();
        uint start = (SharedMemoryAccess.Address(ref shared[0]) + (SwizzledRows.Alignment - 1)) & ~(uint)(SwizzledRows.Alignment - 1);
        int thread = Group.IdxX, rows = Group.DimX / 2, blocks = (shape.Tokens + rows - 1) / rows;
        int pair = Grid.IdxX / blocks, first = (Grid.IdxX - pair * blocks) * rows, warpRow = (thread >> 5) * WarpRows;
        int lane = thread & 31;
        return new Place(
            pair, first, first + warpRow, lane, lane >> 2, (lane & 3) << 1, start, (uint)(warpRow * 2 * width),
            SwizzledRows.RowLane(lane, width), SwizzledRows.ColumnLane(lane, width));
    }

    /// <summary>Queries of a head in qkv.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static HeadRows Queries(int pair, AttentionShape shape)
    {
        int sequence = pair / shape.Heads, head = pair - sequence * shape.Heads, width = shape.Width / 8;
        return new HeadRows(sequence * shape.Tokens * 3 * width + head * (shape.HeadSize / 8), 3 * width);
    }

    /// <summary>The keys that belong to queries.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static HeadRows Keys(HeadRows queries, AttentionShape shape) => new(queries.First + shape.Width / 8, queries.Stride);

    /// <summary>The values that belong to queries.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static HeadRows Values(HeadRows queries, AttentionShape shape) => new(queries.First + shape.Width / 8 * 2, queries.Stride);

    /// <summary>The same head in y and dy.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static HeadRows Output(int pair, AttentionShape shape)
    {
        int sequence = pair / shape.Heads, head = pair - sequence * shape.Heads, width = shape.Width / 8;
        return new HeadRows(sequence * shape.Tokens * width + head * (shape.HeadSize / 8), width);
    }

    /// <summary>
    /// All threads of the group start to copy <paramref name="count"/> rows, from token <paramref name="first"/> on, to shared memory. Rows
    /// past the last token and columns past the head's size become zero. A thread keeps its chunk and goes from row to row; of 16 threads
    /// for a row of 10 chunks, 6 have none.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyRows(uint shared, ArrayView<Word4> matrix, HeadRows rows, int first, int count, AttentionShape shape, int width)
    {
        int threads = width == 64 ? 8 : 16, row = Group.IdxX / threads, chunk = Group.IdxX - row * threads, step = Group.DimX / threads;
        if (chunk >= width / 8) return;
        int end = chunk < shape.HeadSize / 8 ? shape.Tokens - first : 0, source = rows.First + (first + row) * rows.Stride + chunk;
        for (; row < count; row += step)
        {
            bool exists = row < end;
            // What is not read must still have an address.
            SharedMemoryAccess.CopyAsync(
                shared + SwizzledRows.Offset(row, chunk, width), ref matrix[exists ? source : rows.First], exists ? 16 : 0);
            source += step * rows.Stride;
        }
    }

    /// <summary>
    /// The same for two matrices, the second one's rows <paramref name="distance"/> bytes behind the first one's in shared memory: most of
    /// the work of a copy is to find its place, and the places correspond.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyRows(
        uint shared, uint distance, ArrayView<Word4> matrixA, HeadRows rowsA, ArrayView<Word4> matrixB, HeadRows rowsB, int first,
        int count, AttentionShape shape,
        int width)
    {
        int threads = width == 64 ? 8 : 16, row = Group.IdxX / threads, chunk = Group.IdxX - row * threads, step = Group.DimX / threads;
        if (chunk >= width / 8) return;
        int end = chunk < shape.HeadSize / 8 ? shape.Tokens - first : 0;
        int sourceA = rowsA.First + (first + row) * rowsA.Stride + chunk, sourceB = rowsB.First + (first + row) * rowsB.Stride + chunk;
        for (; row < count; row += step)
        {
            bool exists = row < end;
            int bytes = exists ? 16 : 0;
            uint place = shared + SwizzledRows.Offset(row, chunk, width);
            SharedMemoryAccess.CopyAsync(place, ref matrixA[exists ? sourceA : rowsA.First], bytes);
            SharedMemoryAccess.CopyAsync(place + distance, ref matrixB[exists ? sourceB : rowsB.First], bytes);
            sourceA += step * rowsA.Stride;
            sourceB += step * rowsB.Stride;
        }
    }

    /// <summary>The first threads of the group start to copy a tile's worth of numbers, one per token, zero past the last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyNumbers(uint shared, ArrayView<float> perToken, int firstOfPair, int first, AttentionShape shape)
    {
        for (int i = Group.IdxX; i < TileRows; i += Group.DimX)
        {
            bool exists = first + i < shape.Tokens;
            SharedWords.CopyAsync(
                shared + (uint)(sizeof(float) * i), ref perToken[firstOfPair + (exists ? first + i : 0)], exists ? 4 : 0);
        }
    }

    /// <summary>
    /// Rounds a warp's 16 rows and writes those that exist, through the warp's own rows of a matrix in shared memory: from registers a
    /// store of the warp would touch eight rows for 16 bytes each, from there it writes whole rows.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteRows<TColumns>(
        ArrayView<Word4> matrix, HeadRows rows, TColumns values, uint ownRows, Place place, AttentionShape shape, int width)
        where TColumns : unmanaged
    {
        Warp.Barrier();
        WarpMatrix.StoreRows(ownRows + SwizzledRows.StoreLane(place.Lane, width), values, width);
        Warp.Barrier();
        int chunks = width / 8, used = shape.HeadSize / 8, tokens = shape.Tokens - place.First;
        for (int i = place.Lane; i < WarpRows * chunks; i += 32)
        {
            int row = i / chunks, chunk = i - row * chunks;
            int destination = rows.First + (place.First + row) * rows.Stride + chunk;
            if (row < tokens && chunk < used) matrix[destination] = SharedWords.Load(ownRows + SwizzledRows.Offset(row, chunk, width));
        }
    }

    /// <summary>
    /// Rows of the tile that starts <paramref name="left"/> rows before the end: 64, but 16 when no more are left. T is a square plus the
    /// class token in every vision transformer (197 = 3 x 64 + 5, 257 = 4 x 64 + 1, 577 = 9 x 64 + 1), so the last tile is nearly empty in
    /// all of them.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int RowsOfTile(int left) => left > WarpRows ? TileRows : WarpRows;

    /// <summary>Waits for this thread's copies, then for the group: all copies are there, and nobody needs the other stage.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WaitForTile()
    {
        SharedMemoryAccess.CommitCopies();
        SharedMemoryAccess.WaitForCopies(0);
        Group.Barrier();
    }

    /// <summary>Hides keys that do not exist and, when causal, keys after the query, in a tile of scores whose columns are keys.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TScores HideKeys<TScores>(TScores scores, int firstKey, int columnCount, Place place, AttentionShape shape, int causal)
        where TScores : unmanaged
    {
        int visible = causal != 0 ? IntrinsicMath.Min(shape.Tokens, place.First + 1) : shape.Tokens;
        // Most tiles lie before the end and before the diagonal: all lanes skip together.
        if (firstKey + columnCount <= visible) return scores;
        int columns = shape.Tokens - firstKey - place.Column, diagonal = place.First + place.Row + 1 - firstKey - place.Column;
        int upper = causal != 0 ? IntrinsicMath.Min(columns, diagonal) : columns;
        int lower = causal != 0 ? IntrinsicMath.Min(columns, diagonal + 8) : columns;
        return WarpMatrix.KeepBefore(scores, upper, lower);
    }

    /// <summary>Hides queries before the key, when causal, in a tile whose rows are keys and whose columns are queries.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TScores HideQueries<TScores>(TScores scores, int firstQuery, Place place, int causal)
        where TScores : unmanaged
    {
        if (causal == 0 || firstQuery > place.First + (WarpRows - 2)) return scores;
        int diagonal = place.First - firstQuery + place.Row - place.Column;
        return WarpMatrix.KeepFrom(scores, diagonal, diagonal + 8);
    }

    /// <summary><c>1 / sqrt(D)</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Scale(AttentionShape shape) => ILGPU.Algorithms.XMath.Rsqrt((float)shape.HeadSize);
}
