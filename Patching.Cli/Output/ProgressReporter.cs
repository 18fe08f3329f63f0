using System.Diagnostics;
using System.Globalization;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;
using Patching.Model.Training;

namespace Patching.Cli.Output;

/// <summary>
/// Progress on standard error: one line that is rewritten on a terminal, a plain line every few seconds elsewhere, each with rate and time left. Results stay on
/// standard output.
/// </summary>
internal sealed class ProgressReporter : IDisposable
{
    private static readonly TimeSpan TerminalInterval = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(10);

    private readonly TextWriter error;
    private readonly bool terminal;
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private string? current;
    private long startedAt;
    private TimeSpan started;
    private TimeSpan shown = TimeSpan.MinValue;
    private int width;

    /// <summary>Reports to <paramref name="error"/>, which is a terminal only if it is the process's own standard error.</summary>
    public ProgressReporter(TextWriter error)
    {
        this.error = error;
        terminal = ReferenceEquals(error, Console.Error) && !Console.IsErrorRedirected;
        Events = new PipelineEvents
        {
            Progress = (what, done, total) => Show(what, done, total, what == "interpolate" ? "models" : "images", ""),
            Training = (report, total) => Show("fine-tune", report, total),
            Pretraining = (report, total) => Show("pretrain", report, total),
            Note = Note,
            Results = Show,
        };
    }

    /// <summary>What a pipeline is given to report to.</summary>
    public PipelineEvents Events { get; }

    /// <summary>Ends the line in progress.</summary>
    public void Finish()
    {
        if (terminal && width > 0) error.WriteLine();
        width = 0;
        current = null;
    }

    public void Dispose() => Finish();

    /// <summary>Reports on a file that is being fetched.</summary>
    /// <param name="file">Whose and which.</param>
    /// <param name="done">Bytes that are there.</param>
    /// <param name="total">Bytes of the whole, where the server says so.</param>
    public void ShowDownload(string file, long done, long? total)
    {
        const int mebibyte = 1 << 20;
        long whole = total is { } bytes ? (bytes + mebibyte - 1) / mebibyte : done / mebibyte + 1;
        Show(file, done == total ? whole : done / mebibyte, whole, "MiB", "");
    }

    private void Show(string what, StepReport report, long total) => Show(
        what, report.Step, total, "steps",
        string.Create(CultureInfo.InvariantCulture, $"  loss {report.Loss:0.0000}  gradient norm {report.GradientNorm:0.00}  lr {report.LearningRate:0.00e+0}"));

    private void Show(IReadOnlyList<ResultRecord> records)
    {
        foreach (ResultRecord record in records)
        {
            string which = (record.Alpha, record.Epoch) switch
            {
                ({ } alpha, _) => string.Create(CultureInfo.InvariantCulture, $" alpha {alpha:R}"),
                (_, { } epoch) => string.Create(CultureInfo.InvariantCulture, $" epoch {epoch}"),
                _ => "",
            };
            Note(string.Create(CultureInfo.InvariantCulture, $"{record.EvalDataset}{which}: {record.Top1 * 100:0.00} % ({record.Correct}/{record.Count})"));
        }
    }

    private void Note(string line)
    {
        Finish();
        error.WriteLine(line);
    }

    private void Show(string what, long done, long total, string unit, string detail)
    {
        if (what != current)
        {
            Finish();
            (current, startedAt, started, shown) = (what, done, clock.Elapsed, terminal ? TimeSpan.MinValue : clock.Elapsed);
        }
        bool last = done >= total;
        if (!last && clock.Elapsed - shown < (terminal ? TerminalInterval : LogInterval) && shown != TimeSpan.MinValue) return;
        shown = clock.Elapsed;
        Write(Describe(what, done, total, unit) + detail);
        if (last) Finish();
    }

    private string Describe(string what, long done, long total, string unit)
    {
        double seconds = (clock.Elapsed - started).TotalSeconds;
        double rate = seconds > 0 && done > startedAt ? (done - startedAt) / seconds : 0;
        string left = rate > 0 && done < total ? $", {Duration((total - done) / rate)} left" : "";
        return string.Create(CultureInfo.InvariantCulture, $"{what}: {done}/{total} {unit}") + (rate > 0 ? string.Create(CultureInfo.InvariantCulture, $", {rate:0.0}/s{left}") : "");
    }

    private void Write(string line)
    {
        if (!terminal)
        {
            error.WriteLine(line);
            return;
        }
        error.Write("\r" + line.PadRight(width));
        width = line.Length;
    }

    /// <summary>A time as people say it.</summary>
    internal static string Duration(double seconds) =>
        seconds < 60 ? string.Create(CultureInfo.InvariantCulture, $"{seconds:0} s")
        : seconds < 3600 ? string.Create(CultureInfo.InvariantCulture, $"{seconds / 60:0.0} min")
        : string.Create(CultureInfo.InvariantCulture, $"{seconds / 3600:0.0} h");
}
