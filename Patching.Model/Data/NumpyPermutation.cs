namespace Patching.Model.Data;

/// <summary>
/// The random choices of numpy's old interface (<c>numpy.random.seed(s)</c>, then <c>numpy.random.choice(a, k, replace=False)</c>), which
/// the original's split of KITTI is made with.
/// </summary>
internal sealed class NumpyPermutation(uint seed)
{
    private readonly MersenneTwister generator = new(seed);

    /// <summary><paramref name="size"/> different items in random order: the beginning of a permutation of all.</summary>
    public T[] Choice<T>(IReadOnlyList<T> items, int size) => [.. Permutation(items.Count).Take(size).Select(i => items[i])];

    /// <summary>
    /// <c>numpy.random.permutation(count)</c>: Fisher-Yates from the top, element i against one of 0..i, drawn by masking 32 bits to the
    /// next power of two and drawing again while they exceed i.
    /// </summary>
    public int[] Permutation(int count)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        for (int i = count - 1; i > 0; i--)
        {
            uint mask = (uint)((1UL << (32 - int.LeadingZeroCount(i))) - 1), drawn;
            do drawn = generator.Next() & mask;
            while (drawn > i);
            (order[i], order[drawn]) = (order[drawn], order[i]);
        }
        return order;
    }
}
