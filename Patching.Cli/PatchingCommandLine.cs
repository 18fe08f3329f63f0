using System.CommandLine;
using Patching.Cli.Commands;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Training;

namespace Patching.Cli;

/// <summary>The program without its process: parses arguments, runs a command, turns every failure into one line and an exit code.</summary>
internal static class PatchingCommandLine
{
    private static readonly RootCommand Root = CreateRoot();

    /// <summary>Runs one command.</summary>
    /// <param name="args">The arguments, without the program's name.</param>
    /// <param name="output">Gets results, and nothing else.</param>
    /// <param name="error">Gets progress, notes and errors.</param>
    /// <param name="cancellation">Interrupts the command; what can be continued later is saved.</param>
    /// <returns>One of <see cref="ExitCodes"/>.</returns>
    public static int Run(string[] args, TextWriter output, TextWriter error, CancellationToken cancellation = default)
    {
        // Response files would read an argument such as @home as the name of a file.
        ParseResult parsed = Root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Errors.Count > 0)
        {
            string command = parsed.CommandResult.Command is RootCommand ? "" : parsed.CommandResult.Command.Name + " ";
            error.WriteLine($"patching: {OneLine(Explain(parsed)).TrimEnd('.')}; see patching {command}--help");
            return ExitCodes.Usage;
        }
        try
        {
            InvocationConfiguration configuration = new() { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
            return parsed.InvokeAsync(configuration, cancellation).GetAwaiter().GetResult();
        }
        catch (Exception failure)
        {
            (int code, string line) = Explain(failure);
            error.WriteLine($"patching: {OneLine(line)}");
            if (parsed.GetValue(CommonOptions.Verbose)) error.WriteLine(failure);
            return code;
        }
    }

    private static RootCommand CreateRoot()
    {
        RootCommand root = new("Patches CLIP models: learns a task and forgets nothing else, by interpolating fine-tuned weights with the original ones.")
        {
            DemoCommand.Create(),
            PatchCommand.Create(),
            FinetuneCommand.Create(),
            PretrainCommand.Create(),
            TasksCommand.Create(),
            EvaluateCommand.Create(),
            InterpolateCommand.Create(),
            MergeCommand.Create(),
            FisherCommand.Create(),
            ClassifyCommand.Create(),
            InfoCommand.Create(),
            ModelsCommand.Create(),
            DataCommand.Create(),
            ConvertCommand.Create(),
            VerifyCommand.Create(),
            ReportCommand.Create(),
            SelftestCommand.Create(),
        };
        foreach (Command command in PatchFileCommands.Create()) root.Subcommands.Add(command);
        root.Options.Add(CommonOptions.Verbose);
        root.Options.Add(CommonOptions.Offline);
        return root;
    }

    // The most telling of the errors, in words that name what is wrong.
    private static string Explain(ParseResult parsed)
    {
        if (parsed.Errors.FirstOrDefault(error => parsed.UnmatchedTokens.Any(error.Message.Contains)) is { } unknown) return unknown.Message;
        Argument? missing = parsed.CommandResult.Command.Arguments.FirstOrDefault(
            argument => (parsed.GetResult(argument)?.Tokens.Count ?? 0) < argument.Arity.MinimumNumberOfValues);
        return missing is null ? parsed.Errors[0].Message : $"{missing.Name} is missing: {missing.Description}";
    }

    private static (int Code, string Line) Explain(Exception failure) => failure switch
    {
        InputException or DeviceException => (ExitCodes.Usage, failure.Message),
        OperationCanceledException => (ExitCodes.Failed, "interrupted; the same command continues where this one stopped if it keeps its state (--save, or the demo's --out)"),
        DivergedException or IOException or UnauthorizedAccessException => (ExitCodes.Failed, failure.Message),
        OutOfMemoryException => (ExitCodes.Failed, "out of memory; use a smaller --batch-size or fewer --workers"),
        _ => (ExitCodes.Failed, $"internal error: {failure.GetType().Name}: {failure.Message} (--verbose shows where)"),
    };

    private static string OneLine(string message) => message.ReplaceLineEndings(" ");
}
