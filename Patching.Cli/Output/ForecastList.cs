using Patching.Model.Forecast;

namespace Patching.Cli.Output;

/// <summary>What a command would do, need and take: the output of <c>--dry-run</c>.</summary>
internal static class ForecastList
{
    /// <summary>Prints the forecast.</summary>
    public static void Print(TextWriter to, RunForecast forecast)
    {
        to.WriteLine("settings");
        foreach (ResolvedSetting setting in forecast.Settings) DescriptionList.Row(to, "  " + setting.Name, setting.Value);
        to.WriteLine("memory");
        foreach (MemoryForecast job in forecast.Memory) DescriptionList.Memory(to, job.Job, job.Roles);
        if (forecast.FreeDisk is { } free)
        {
            DescriptionList.Row(to, "disk", $"{DescriptionList.Bytes(forecast.Disk.Sum(item => item.Bytes))} of {DescriptionList.Bytes(free)} free");
            foreach (DiskForecast item in forecast.Disk) DescriptionList.Row(to, "  " + item.What, DescriptionList.Bytes(item.Bytes));
        }
        DescriptionList.Row(to, "time", ProgressReporter.Duration(forecast.Time.Sum(part => part.Seconds)));
        foreach (TimeForecast part in forecast.Time) DescriptionList.Row(to, "  " + part.What, $"{ProgressReporter.Duration(part.Seconds)} ({part.Basis})");
        foreach (string note in forecast.Notes) DescriptionList.Row(to, "note", note);
    }
}
