namespace Patching.Model.Data.Sets;

/// <summary>
/// Finds labels by class names as folders and lists write them: only letters, digits and plus signs count, without regard to case, so that
/// <c>Ram C-V Cargo Van</c> is <c>Ram C/V Cargo Van</c> and <c>apple_pie</c> is <c>apple pie</c>.
/// </summary>
internal sealed class ClassIndex
{
    private readonly Dictionary<string, int> labels = [];

    /// <summary>Indexes names; where two of them look alike, the first counts.</summary>
    public ClassIndex(IEnumerable<string> names)
    {
        int label = 0;
        foreach (string name in names) labels.TryAdd(Plain(name), label++);
    }

    /// <summary>The label of a name; null if there is no such class.</summary>
    public int? Find(string name) => labels.TryGetValue(Plain(name), out int label) ? label : null;

    private static string Plain(string name) => string.Concat(name.Where(c => char.IsLetterOrDigit(c) || c == '+')
        .Select(char.ToLowerInvariant));
}
