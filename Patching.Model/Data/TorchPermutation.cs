namespace Patching.Model.Data;

/// <summary>
/// Random permutations with the values of PyTorch's <c>torch.randperm(n, generator=torch.Generator().manual_seed(seed))</c> on the CPU, so
/// that the original's validation splits hold exactly the same images here. The same permutations shuffle training epochs.
/// </summary>
/// <remarks>
/// The generator is <see cref="MersenneTwister"/>. PyTorch keeps only the low 32 bits of the seed, and its Fisher-Yates pass goes upwards:
/// for i in 0..n-2 it swaps element i with element i + (next 32 bits mod (n - i)).
/// </remarks>
public static class TorchPermutation
{
    /// <summary>The numbers 0..<paramref name="count"/>-1 in the order that PyTorch gives for this seed.</summary>
    /// <param name="count">Number of elements n, at least 0.</param>
    /// <param name="seed">Seed as given to <c>manual_seed</c>.</param>
    public static int[] Create(int count, long seed)
    {
        int[] order = new int[count];
        for (int i = 0; i < count; i++) order[i] = i;

        var generator = new MersenneTwister((uint)seed);
        for (int i = 0; i < count - 1; i++)
        {
            int other = i + (int)(generator.Next() % (uint)(count - i));
            (order[i], order[other]) = (order[other], order[i]);
        }
        return order;
    }

    /// <summary>
    /// Order in which training visits the images in one epoch: <see cref="Create"/> with a seed made of both numbers, so that an
    /// interrupted run finds the order of any epoch again without replaying the ones before it.
    /// </summary>
    /// <param name="count">Number of images.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="epoch">Epoch, counted from 0.</param>
    public static int[] ForEpoch(int count, long seed, int epoch)
    {
        // The finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbouring seeds and epochs must not give related 32-bit seeds.
        ulong mixed = unchecked((ulong)seed + (0x9E3779B97F4A7C15UL * ((ulong)(uint)epoch + 1)));
        mixed = unchecked((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9UL);
        mixed = unchecked((mixed ^ (mixed >> 27)) * 0x94D049BB133111EBUL);
        return Create(count, (long)(mixed ^ (mixed >> 31)));
    }
}
