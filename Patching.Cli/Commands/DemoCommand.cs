using System.CommandLine;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model.Demo;
using Patching.Model.Evaluation;

namespace Patching.Cli.Commands;

/// <summary><c>patching demo</c>: the whole procedure from nothing, without weights, data or network.</summary>
internal static class DemoCommand
{
    private static readonly Option<string> Out = new("--out") { Description = "Folder that gets everything.", DefaultValueFactory = _ => Path.Combine("runs", "demo") };
    private static readonly Option<bool> Quick = new("--quick") { Description = "Every step in seconds, with too little data to learn much." };

    public static Command Create()
    {
        Command command = new("demo", "Draws pictures, trains a small CLIP on them from nothing, patches it on a task it has never seen, and shows the result.")
        {
            Out, CommonOptions.Seed, Quick, CommonOptions.Device, CommonOptions.Threads,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        DemoSettings settings = new(parsed.GetRequiredValue(Out), parsed.GetValue(CommonOptions.Seed), parsed.GetValue(Quick));
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        DemoPipeline demo = new(device, settings, progress.Events);
        IReadOnlyList<ResultRecord> results = demo.Run(cancellation);
        progress.Finish();
        TextWriter output = parsed.InvocationConfiguration.Output;
        ResultsTable.Print(output, results, demo.PatchingTask);
        output.WriteLine();
        output.WriteLine(DemoFinding.Of(results, demo.SupportedTask, demo.PatchingTask));
        output.WriteLine($"results: {demo.Results}");
        output.WriteLine($"the same patch by itself: {demo.PatchCommand}");
        return ExitCodes.Done;
    }
}
