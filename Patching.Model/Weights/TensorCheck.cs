using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// Compares the tensors of a file with those that an architecture needs, in both directions, and reports every difference in one line.
/// </summary>
internal static class TensorCheck
{
    private const int MaxListed = 20;

    /// <summary>Returns when the file holds exactly what the table needs.</summary>
    /// <exception cref="InputException">Lists what is missing, unexpected, mis-shaped, or of a type that cannot be read.</exception>
    public static void Require(TensorFile file, CheckpointNaming naming, ImmutableArray<ParameterSpec> table)
    {
        List<string> missing = [], misshaped = [], unreadable = [];
        var expected = new HashSet<string>(StringComparer.Ordinal);
        foreach (StoredTensor stored in table.SelectMany(spec => NameMap.Stored(naming, spec)))
        {
            expected.Add(stored.Name);
            if (!file.Tensors.TryGetValue(stored.Name, out TensorEntry? entry))
            {
                missing.Add(stored.Name);
                continue;
            }
            if (!TensorEntry.IsFloat(entry.DType)) unreadable.Add($"{stored.Name} is {entry.DType}");
            if (!entry.Shape.SequenceEqual(stored.Shape.Select(size => (long)size)))
                misshaped.Add($"{stored.Name} is {entry.ShapeText}, expected [{string.Join(", ", stored.Shape)}]");
        }
        string[] unexpected = [.. file.Tensors.Keys.Where(name => !expected.Contains(name) && !NameMap.IsBuffer(naming, name))
            .Order(StringComparer.Ordinal).Select(HostileText.Show)];
        string[] problems = [.. new[]
        {
            Problem("missing", missing), Problem("unexpected", unexpected), Problem("wrong shape", misshaped),
            Problem("unsupported type (F32, F16, BF16 and F64 can be read)", unreadable),
        }.OfType<string>()];
        if (problems.Length > 0)
            throw new InputException($"{file.Path}: the tensors do not fit the architecture: {string.Join("; ", problems)}");
    }

    private static string? Problem(string what, IReadOnlyList<string> tensors)
    {
        if (tensors.Count == 0) return null;
        string rest = tensors.Count > MaxListed ? $" and {tensors.Count - MaxListed} more" : "";
        return $"{tensors.Count} {what}: {string.Join(", ", tensors.Take(MaxListed))}{rest}";
    }
}
