using System.Collections.Immutable;
using Patching.Model.Clip;
using Patching.Model.Merging;

namespace Patching.Tests.Model.Merging;

/// <summary>Models in memory on a table of awkward shapes: one element, a prime, one beyond a piece; the last parameter is the same in all of them.</summary>
internal static class MergeTable
{
    public static ImmutableArray<ParameterSpec> Table { get; } =
    [
        new("scalar", []), new("visual.transformer.resblocks.0.bias", [7]), new("visual.long", [3, MergeMethod.PieceLength / 3 + 11]), new("visual.piece", [MergeMethod.PieceLength]),
        new("frozen", [5]),
    ];

    /// <summary>A model with normal numbers; task vectors are a tenth of the base.</summary>
    public static MergeInput Tuned(int seed) => new($"model{seed}", $"{seed * 7919 % 10007:x8}", (spec, values) => Values(spec, seed).CopyTo(values));

    public static float[] Values(ParameterSpec spec, int seed)
    {
        float[] baseValues = Normal(HashCode(spec.Name), spec.Length);
        if (seed == 0 || spec.Name == "frozen") return baseValues;
        float[] task = Normal(HashCode(spec.Name) * 31 + seed, spec.Length);
        return [.. baseValues.Zip(task, (zero, tau) => zero + 0.1f * tau)];
    }

    /// <summary>All parameters of a merge.</summary>
    public static Dictionary<string, float[]> Merge(MergeMethod method, params MergeInput[] models)
    {
        MergedParameters merged = new(Table, models, method);
        return Table.ToDictionary(spec => spec.Name, spec =>
        {
            float[] values = new float[spec.Length];
            merged.Read(spec, values);
            return values;
        });
    }

    private static int HashCode(string text) => text.Aggregate(17, (hash, letter) => unchecked(hash * 31 + letter));

    private static float[] Normal(int seed, int count)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }
}
