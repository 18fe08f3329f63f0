using Patching.Model.Forecast;

namespace Patching.Cli.Output;

/// <summary>What a command would do, need and take: the output of <c>--dry-run</c>.</summary>
internal static class ForecastList
{
    /// <summary>Prints the forecast.</summary>
    public static void Print(TextWriter to, RunForecast forecast)
    {
        DescriptionList list = new();
        list.Heading("settings");
        foreach (ResolvedSetting setting in forecast.Settings) list.Row("  " + setting.Name, setting.Value);
        list.Heading("memory");
        foreach (MemoryForecast job in forecast.Memory) list.Memory(job.Job, job.Roles);
        if (forecast.FreeDisk is { } free)
        {
            list.Row("disk", $"{DescriptionList.Bytes(forecast.Disk.Sum(item => item.Bytes))} of {DescriptionList.Bytes(free)} free");
            foreach (DiskForecast item in forecast.Disk) list.Row("  " + item.What, DescriptionList.Bytes(item.Bytes));
        }
        list.Row("time", ProgressReporter.Duration(forecast.Time.Sum(part => part.Seconds)));
        foreach (TimeForecast part in forecast.Time) list.Row("  " + part.What, $"{ProgressReporter.Duration(part.Seconds)} ({part.Basis})");
        foreach (string note in forecast.Notes) list.Row("note", note);
        list.Print(to);
    }
}
