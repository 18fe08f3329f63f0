using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Patching.Benchmarks.Gpu;

/// <summary>What the peer answered.</summary>
/// <param name="Values">The members of its answer.</param>
/// <param name="Failure">Why there is none.</param>
internal sealed record PeerAnswer(JsonObject Values, string? Failure)
{
    /// <summary>A number of the answer; NaN where it has none of that name.</summary>
    public double Number(string name) => Values[name]?.GetValue<double>() ?? double.NaN;
}

/// <summary>
/// Our PyTorch script as a process that waits for jobs, a line of JSON each, so that both engines can take turns. Without Python, PyTorch or the script every answer
/// is the reason, once in words, and the rest of the command goes on.
/// </summary>
internal sealed class PeerProcess : IDisposable
{
    // Compiling a large model takes PyTorch minutes; a peer that hangs must not take the report with it.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(6);

    private readonly Process? process;
    private string? failure;

    /// <summary>Starts the script, which computes on a device (cuda or cpu) if it can choose one.</summary>
    public PeerProcess(string python, string? script, string? device = null)
    {
        if (script is null)
        {
            failure = "no peer: --peer names no script";
            return;
        }
        string[] arguments = device is null ? [script, "--serve"] : [script, "--serve", "--device", device];
        try
        {
            process = Process.Start(new ProcessStartInfo(python, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false });
        }
        catch (Win32Exception error)
        {
            failure = $"no peer: {python} cannot be started ({error.Message})";
        }
    }

    /// <summary>Does a job and waits for the answer.</summary>
    public PeerAnswer Ask(JsonObject job)
    {
        if (failure is not null) return new PeerAnswer([], failure);
        try
        {
            process!.StandardInput.WriteLine(job.ToJsonString());
            process.StandardInput.Flush();
            Task<string?> answer = process.StandardOutput.ReadLineAsync();
            if (!answer.Wait(Patience)) return Lost($"no answer within {Patience.TotalMinutes:0} minutes");
            if (answer.Result is null) return Lost("the script ended");
            JsonObject values = JsonNode.Parse(answer.Result)!.AsObject();
            return new PeerAnswer(values, values["ok"]?.GetValue<bool>() == true ? null : values["error"]?.GetValue<string>() ?? "no reason given");
        }
        catch (Exception error) when (error is IOException or JsonException or AggregateException)
        {
            return Lost(error.Message);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (process is null) return;
        try
        {
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has ended already.
        }
        if (!process.WaitForExit(10_000)) process.Kill(entireProcessTree: true);
        process.Dispose();
    }

    private PeerAnswer Lost(string reason)
    {
        failure = $"peer lost: {reason}";
        return new PeerAnswer([], failure);
    }
}
