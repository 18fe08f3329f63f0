using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Merging;

/// <summary>
/// The k-th largest magnitude among all elements of a task vector <c>fl(theta_i - theta_0)</c>, exactly, in two passes over the files: the bits of positive floats are ordered like
/// the floats, so a histogram of their upper halves finds the upper half of the answer, and one of the lower halves the rest. Half a megabyte whatever the size of the model.
/// </summary>
internal static class MagnitudeThreshold
{
    private const int Half = 1 << 16;

    /// <summary>The smallest magnitude that is among the largest <paramref name="density"/> of all elements.</summary>
    /// <param name="table">The parameters; those that are equal in both models do not count.</param>
    /// <param name="zero">theta_0.</param>
    /// <param name="one">theta_i.</param>
    /// <param name="density">Share of elements to be kept, above 0 and at most 1; the number kept is rounded up.</param>
    public static float Find(ImmutableArray<ParameterSpec> table, MergeInput zero, MergeInput one, double density)
    {
        long[] upper = new long[Half], lower = new long[Half];
        long total = 0;
        Visit(table, zero, one, bits =>
        {
            upper[bits >> 16]++;
            total++;
        });
        if (total == 0) return 0;
        long keep = Math.Clamp((long)Math.Ceiling(density * total), 1, total);
        (int high, long left) = Reach(upper, keep);
        Visit(table, zero, one, bits =>
        {
            if (bits >> 16 == high) lower[bits & (Half - 1)]++;
        });
        return BitConverter.UInt32BitsToSingle((uint)high << 16 | (uint)Reach(lower, left).Bin);
    }

    // From the largest bin down: the one where the count reaches what is wanted, and how many of it are still wanted.
    private static (int Bin, long Left) Reach(long[] histogram, long wanted)
    {
        for (int bin = histogram.Length - 1; bin > 0; bin--)
        {
            if (histogram[bin] >= wanted) return (bin, wanted);
            wanted -= histogram[bin];
        }
        return (0, wanted);
    }

    private static void Visit(ImmutableArray<ParameterSpec> table, MergeInput zero, MergeInput one, Action<uint> seen)
    {
        int longest = table.Max(spec => spec.Length);
        float[] a = new float[longest], b = new float[longest];
        foreach (ParameterSpec spec in table)
        {
            Span<float> va = a.AsSpan(0, spec.Length), vb = b.AsSpan(0, spec.Length);
            zero.Read(spec, va);
            one.Read(spec, vb);
            if (va.SequenceEqual(vb)) continue;
            for (int i = 0; i < va.Length; i++) seen(BitConverter.SingleToUInt32Bits(Math.Abs(vb[i] - va[i])));
        }
    }
}
