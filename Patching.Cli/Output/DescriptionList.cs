using System.Globalization;
using Patching.Model.Clip;

namespace Patching.Cli.Output;

/// <summary>Names and values in two columns: what <c>info</c> and <c>--dry-run</c> print.</summary>
internal static class DescriptionList
{
    /// <summary>One line.</summary>
    public static void Row(TextWriter to, string name, string value) => to.WriteLine($"{name,-27} {value}");

    /// <summary>The memory of a job, then of its roles.</summary>
    public static void Memory(TextWriter to, string job, IReadOnlyList<MemoryRole> plan)
    {
        Row(to, job, Bytes(plan.Sum(role => role.Bytes)));
        foreach (MemoryRole role in plan) Row(to, "  " + role.Role, Bytes(role.Bytes));
    }

    /// <summary>A size as text.</summary>
    public static string Bytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:N1} MiB");
}
