using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>The worker could not do what it was asked; the message says why in one line.</summary>
internal sealed class WorkerException(string message) : Exception(message);

/// <summary>The parent's side of a measurement: a child process with its own environment that waits for commands.</summary>
internal sealed class WorkerProcess : IDisposable
{
    // Settings of a workplace that would slow a peer down, or speed it up without being said.
    private static readonly string[] UnsetPrefixes =
        ["OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "MKL_", "NVPL_", "BLIS_", "MALLOC_", "LD_PRELOAD", "ORT_"];

    private readonly Process process;
    private readonly StringBuilder errors = new();

    /// <summary>Starts the child and waits until it is ready.</summary>
    /// <param name="job">What it measures.</param>
    /// <param name="environment">Variables to set.</param>
    /// <exception cref="WorkerException">The child cannot do the work.</exception>
    public WorkerProcess(WorkerJob job, IReadOnlyDictionary<string, string> environment)
    {
        string program = Environment.ProcessPath ?? throw new WorkerException("the path of this program is unknown");
        ProcessStartInfo start = new(program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet") start.ArgumentList.Add(Assembly.GetExecutingAssembly().Location);
        foreach (string argument in job.Arguments) start.ArgumentList.Add(argument);
        foreach (string name in start.Environment.Keys.Where(IsUnset).ToArray()) start.Environment.Remove(name);
        foreach ((string name, string value) in environment) start.Environment[name] = value;
        process = Process.Start(start) ?? throw new WorkerException("the worker process does not start");
        process.ErrorDataReceived += (_, line) =>
        {
            lock (errors) errors.AppendLine(line.Data);
        };
        process.BeginErrorReadLine();
        _ = ReadAnswer();
    }

    /// <summary>Processor time the child has used.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            process.Refresh();
            return process.TotalProcessorTime;
        }
    }

    /// <summary>Mean seconds of the work over at least the given time.</summary>
    public double Go(double seconds) =>
        double.Parse(Ask(string.Create(CultureInfo.InvariantCulture, $"go {seconds:R}")), CultureInfo.InvariantCulture);

    /// <summary>The largest resident set so far, in bytes.</summary>
    public long PeakMemory() => long.Parse(Ask("memory"), CultureInfo.InvariantCulture);

    /// <summary>What the work computes, in sections.</summary>
    public IReadOnlyList<float[]> Output()
    {
        string path = Path.GetTempFileName();
        try
        {
            _ = Ask("output " + path);
            using BinaryReader reader = new(File.OpenRead(path));
            float[][] sections = new float[reader.ReadInt32()][];
            for (int s = 0; s < sections.Length; s++)
            {
                sections[s] = new float[reader.ReadInt32()];
                for (int i = 0; i < sections[s].Length; i++) sections[s][i] = reader.ReadSingle();
            }
            return sections;
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>Ends the child and waits for it, so that its memory is free for the next one.</summary>
    public void Dispose()
    {
        try
        {
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has ended already.
        }
        if (!process.WaitForExit(20_000)) process.Kill(entireProcessTree: true);
        process.WaitForExit();
        process.Dispose();
    }

    private static bool IsUnset(string name) => UnsetPrefixes.Any(prefix => name.StartsWith(prefix, StringComparison.Ordinal));

    private string Ask(string command)
    {
        process.StandardInput.WriteLine(command);
        process.StandardInput.Flush();
        return ReadAnswer();
    }

    private string ReadAnswer()
    {
        while (process.StandardOutput.ReadLine() is { } line)
        {
            if (!line.StartsWith(WorkerLoop.Mark, StringComparison.Ordinal)) continue;
            string answer = line[WorkerLoop.Mark.Length..];
            if (answer.StartsWith(WorkerLoop.Failed, StringComparison.Ordinal)) throw new WorkerException(answer[WorkerLoop.Failed.Length..]);
            return answer;
        }
        process.WaitForExit();
        string reason;
        lock (errors) reason = errors.ToString().Split('\n').LastOrDefault(line => line.Trim().Length > 0)?.Trim() ?? "it wrote nothing";
        throw new WorkerException($"the worker ended with code {process.ExitCode}: {reason}");
    }
}
