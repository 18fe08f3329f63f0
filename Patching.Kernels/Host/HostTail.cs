using System.Numerics;

namespace Patching.Kernels;

/// <summary>The last, incomplete vector of a row: loaded padded with zeros, stored without touching what lies behind it.</summary>
internal static unsafe class HostTail
{
    /// <summary>The <paramref name="count"/> floats at <paramref name="source"/>, then zeros.</summary>
    public static Vector<float> Load(float* source, long count)
    {
        Vector<float> padded = default;
        float* p = (float*)&padded;
        for (long i = 0; i < count; i++) p[i] = source[i];
        return padded;
    }

    /// <summary>Stores the first <paramref name="count"/> lanes.</summary>
    public static void Store(Vector<float> value, float* destination, long count)
    {
        float* p = (float*)&value;
        for (long i = 0; i < count; i++) destination[i] = p[i];
    }
}
