namespace Patching.Model.Data;

/// <summary>
/// MT19937 (Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8, 1998) with the 2002 initialisation from one 32-bit word: the
/// generator behind PyTorch's and numpy's seeded permutations.
/// </summary>
internal sealed class MersenneTwister
{
    private const int StateSize = 624;
    private const int Shift = 397;

    private readonly uint[] state = new uint[StateSize];
    private int used = StateSize;

    /// <summary>Seeds the generator.</summary>
    public MersenneTwister(uint seed)
    {
        state[0] = seed;
        for (uint i = 1; i < StateSize; i++)
            state[i] = unchecked((1812433253u * (state[i - 1] ^ (state[i - 1] >> 30))) + i);
    }

    /// <summary>The next 32 bits.</summary>
    public uint Next()
    {
        if (used == StateSize)
        {
            Twist();
            used = 0;
        }
        uint value = state[used++];
        value ^= value >> 11;
        value ^= (value << 7) & 0x9D2C5680u;
        value ^= (value << 15) & 0xEFC60000u;
        return value ^ (value >> 18);
    }

    private void Twist()
    {
        for (int i = 0; i < StateSize; i++)
        {
            uint joined = (state[i] & 0x80000000u) | (state[(i + 1) % StateSize] & 0x7FFFFFFFu);
            state[i] = state[(i + Shift) % StateSize] ^ (joined >> 1) ^ ((joined & 1) * 0x9908B0DFu);
        }
    }
}
