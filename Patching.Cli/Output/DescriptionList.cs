using System.Globalization;
using Patching.Model.Clip;

namespace Patching.Cli.Output;

/// <summary>Names and values in two columns, the first as wide as its longest name: what <c>info</c> and <c>--dry-run</c> print.</summary>
internal sealed class DescriptionList
{
    private readonly List<(string Name, string? Value)> rows = [];

    /// <summary>A name above others.</summary>
    public void Heading(string name) => rows.Add((name, null));

    /// <summary>One line.</summary>
    public void Row(string name, string value) => rows.Add((name, value));

    /// <summary>The memory of a job, then of its roles.</summary>
    public void Memory(string job, IReadOnlyList<MemoryRole> plan)
    {
        Row(job, Bytes(plan.Sum(role => role.Bytes)));
        foreach (MemoryRole role in plan) Row("  " + role.Role, Bytes(role.Bytes));
    }

    /// <summary>Prints all of it.</summary>
    public void Print(TextWriter to)
    {
        int width = rows.Max(row => row.Name.Length) + 2;
        foreach ((string name, string? value) in rows) to.WriteLine(value is null ? name : name.PadRight(width) + value);
    }

    /// <summary>A size as text.</summary>
    public static string Bytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:N1} MiB");
}
