using System.Globalization;
using Patching.Model.Clip;

namespace Patching.Model.Forecast;

/// <summary>A setting as the run would use it.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Value">What it comes to.</param>
public sealed record ResolvedSetting(string Name, string Value);

/// <summary>The device memory of a job; jobs come one after the other.</summary>
/// <param name="Job">What is done.</param>
/// <param name="Roles">What the memory is for.</param>
public sealed record MemoryForecast(string Job, IReadOnlyList<MemoryRole> Roles);

/// <summary>Something that will be on disk.</summary>
/// <param name="What">What it is.</param>
/// <param name="Bytes">How large, nearly.</param>
public sealed record DiskForecast(string What, long Bytes);

/// <summary>A part of the run and how long it will take.</summary>
/// <param name="What">What is done.</param>
/// <param name="Seconds">The estimate.</param>
/// <param name="Basis">What was measured, and how often it comes.</param>
public sealed record TimeForecast(string What, double Seconds, string Basis)
{
    /// <summary>So many pieces of work of which some were measured.</summary>
    /// <param name="what">What is done.</param>
    /// <param name="count">How many pieces there are.</param>
    /// <param name="unit">What a piece is called.</param>
    /// <param name="each">Seconds of one.</param>
    internal static TimeForecast Of(string what, double count, string unit, double each) => new(
        what, count * each, string.Create(CultureInfo.InvariantCulture, $"{count:0} {unit}, {(each >= 0.1 ? $"{each:0.00} s" : string.Create(CultureInfo.InvariantCulture, $"{each * 1000:0.00} ms"))} each"));
}

/// <summary>What a command would do, need and take (<c>--dry-run</c>), with times measured on this machine. Making it leaves nothing on disk.</summary>
/// <param name="Settings">The settings, with everything that was left to the program decided.</param>
/// <param name="Memory">Device memory by job and role, as the same layouts will allocate it.</param>
/// <param name="Disk">What will be written.</param>
/// <param name="FreeDisk">Bytes free where it will be written; null where nothing is.</param>
/// <param name="Time">How long each part will take.</param>
/// <param name="Notes">What the estimates leave out, a sentence each.</param>
public sealed record RunForecast(
    IReadOnlyList<ResolvedSetting> Settings, IReadOnlyList<MemoryForecast> Memory, IReadOnlyList<DiskForecast> Disk, long? FreeDisk, IReadOnlyList<TimeForecast> Time,
    IReadOnlyList<string> Notes);
