using System.CommandLine;
using System.Globalization;
using Patching.Kernels;
using Patching.Model.Pipeline;

namespace Patching.Cli.Commands;

/// <summary><c>patching selftest</c>: checks every kernel on this machine against double precision. What to run first on new hardware.</summary>
internal static class SelftestCommand
{
    private static readonly Option<int?> Seed = new("--seed") { Description = "Seed of the random inputs, to repeat a run; a fresh one if not given." };

    private static readonly Option<bool> Small = new("--small") { Description = "Small shapes only, for tools that slow the device down." };

    public static Command Create()
    {
        Command command = new("selftest", "Checks every kernel on this machine against double precision; run it first on new hardware.")
        {
            CommonOptions.Device, CommonOptions.Threads, Seed, Small,
        };
        command.SetAction(Run);
        return command;
    }

    /// <summary>Prints a line per result as soon as it is there, so that a kernel that hangs is the one after the last line, and what to make of all of them.</summary>
    /// <returns>The exit code.</returns>
    internal static int Print(IEnumerable<SelfTestResult> results, TextWriter output)
    {
        output.WriteLine($"{"kernel",-34} {"shape",-14} {"error",9} {"allowed",9} {"time",10}  result");
        int count = 0, failed = 0;
        foreach (SelfTestResult result in results)
        {
            count++;
            if (!result.Passed) failed++;
            string verdict = result.Passed ? "ok" : $"FAILED: {result.Failure}";
            output.WriteLine(
                $"{result.Kernel,-34} {result.Shape,-14} {Number(result.Error),9} {Number(result.AllowedError),9} {Milliseconds(result.Time),10}  {verdict}");
        }
        output.WriteLine(failed == 0 ? $"all {count} checks passed" : $"{failed} of {count} checks FAILED");
        return failed == 0 ? ExitCodes.Done : ExitCodes.Failed;
    }

    private static int Run(ParseResult parsed)
    {
        int seed = parsed.GetValue(Seed) ?? Random.Shared.Next();
        TextWriter output = parsed.InvocationConfiguration.Output;
        using (Device device = CommonOptions.OpenDevice(parsed))
            output.WriteLine($"patching {PatchPipeline.Version} on {device.Details}");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"inputs: --seed {seed}"));
        return Print(SelfTest.Run(() => CommonOptions.OpenDevice(parsed), seed, parsed.GetValue(Small)), output);
    }

    private static string Number(double value) => double.IsNaN(value) ? "-" : value.ToString("0.0e+00", CultureInfo.InvariantCulture);

    private static string Milliseconds(TimeSpan time) => time.TotalMilliseconds.ToString("0.000", CultureInfo.InvariantCulture) + " ms";
}
