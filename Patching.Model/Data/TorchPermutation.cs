namespace Patching.Model.Data;

/// <summary>
/// Random permutations with the values of PyTorch's <c>torch.randperm(n, generator=torch.Generator().manual_seed(seed))</c> on the CPU, so
/// that the original's validation splits hold exactly the same images here. The same permutations shuffle training epochs.
/// </summary>
/// <remarks>
/// The generator is MT19937 (Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8, 1998) with the 2002 initialisation from one 32-bit
/// word. PyTorch keeps only the low 32 bits of the seed, and its Fisher-Yates pass goes upwards: for i in 0..n-2 it swaps element i with
/// element i + (next 32 bits mod (n - i)).
/// </remarks>
public static class TorchPermutation
{
    private const int StateSize = 624;
    private const int Shift = 397;

    /// <summary>The numbers 0..<paramref name="count"/>-1 in the order that PyTorch gives for this seed.</summary>
    /// <param name="count">Number of elements n, at least 0.</param>
    /// <param name="seed">Seed as given to <c>manual_seed</c>.</param>
    public static int[] Create(int count, long seed)
    {
        int[] order = new int[count];
        for (int i = 0; i < count; i++) order[i] = i;

        uint[] state = Seed((uint)seed);
        int used = StateSize;
        for (int i = 0; i < count - 1; i++)
        {
            if (used == StateSize)
            {
                Twist(state);
                used = 0;
            }
            int other = i + (int)(Temper(state[used++]) % (uint)(count - i));
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

    private static uint[] Seed(uint seed)
    {
        uint[] state = new uint[StateSize];
        state[0] = seed;
        for (uint i = 1; i < StateSize; i++)
            state[i] = unchecked((1812433253u * (state[i - 1] ^ (state[i - 1] >> 30))) + i);
        return state;
    }

    private static void Twist(uint[] state)
    {
        for (int i = 0; i < StateSize; i++)
        {
            uint joined = (state[i] & 0x80000000u) | (state[(i + 1) % StateSize] & 0x7FFFFFFFu);
            state[i] = state[(i + Shift) % StateSize] ^ (joined >> 1) ^ ((joined & 1) * 0x9908B0DFu);
        }
    }

    private static uint Temper(uint value)
    {
        value ^= value >> 11;
        value ^= (value << 7) & 0x9D2C5680u;
        value ^= (value << 15) & 0xEFC60000u;
        return value ^ (value >> 18);
    }
}
