namespace Patching.Model.Images;

/// <summary>
/// The random numbers of one training sample. The stream depends only on (seed, epoch, index), never on the thread or the order in which
/// samples are prepared. It is SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): number k of a
/// stream is <c>mix(start + k * 0x9E3779B97F4A7C15)</c>, with Stafford's finaliser 13 as the mix.
/// </summary>
/// <remarks>A mutable struct: pass it by reference. The default value is the stream that starts at zero.</remarks>
public struct SampleRandom
{
    private const ulong Gamma = 0x9E3779B97F4A7C15;

    private ulong _state;

    private SampleRandom(ulong start) => _state = start;

    /// <summary>
    /// The stream of sample <paramref name="index"/> in <paramref name="epoch"/>: the three numbers are absorbed one after the other, each
    /// followed by the mix, so that neighbouring samples, epochs and seeds start far apart.
    /// </summary>
    public static SampleRandom ForSample(long seed, int epoch, long index)
    {
        ulong start = Mix((ulong)seed + Gamma);
        start = Mix((start ^ (ulong)epoch) + Gamma);
        return new SampleRandom(Mix((start ^ (ulong)index) + Gamma));
    }

    /// <summary>The next 64 random bits.</summary>
    public ulong NextBits()
    {
        _state += Gamma;
        return Mix(_state);
    }

    /// <summary>A uniform multiple of 2^-53 in [0, 1).</summary>
    public double NextDouble() => (NextBits() >> 11) * (1.0 / (1L << 53));

    /// <summary>
    /// A uniform integer in [0, <paramref name="exclusiveMax"/>), without bias: the high half of a 64 x 64-bit product, drawn again in the
    /// rare case that its low half is among the values that would favour some results (Lemire 2019, "Fast random integer generation in an
    /// interval").
    /// </summary>
    public int NextInt(int exclusiveMax)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(exclusiveMax);
        ulong range = (ulong)exclusiveMax;
        ulong favoured = (0 - range) % range;
        while (true)
        {
            ulong high = Math.BigMul(NextBits(), range, out ulong low);
            if (low >= favoured) return (int)high;
        }
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
