using System.CommandLine;
using System.Runtime.InteropServices;
using Patching.Cli;
using Patching.Cli.Commands;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Training;

RootCommand root = new("Patches CLIP models: learns a task and forgets nothing else, by interpolating fine-tuned weights with the original ones.")
{
    PatchCommand.Create(),
    FinetuneCommand.Create(),
    EvaluateCommand.Create(),
    InterpolateCommand.Create(),
    ClassifyCommand.Create(),
    InfoCommand.Create(),
    SelftestCommand.Create(),
};
root.Options.Add(CommonOptions.Verbose);
return Run(root, args);

static int Run(RootCommand root, string[] args)
{
    ParseResult parsed = root.Parse(args);
    if (parsed.Errors.Count > 0)
    {
        string command = parsed.CommandResult.Command is RootCommand ? "" : parsed.CommandResult.Command.Name + " ";
        Console.Error.WriteLine($"patching: {parsed.Errors[0].Message.TrimEnd('.')}; see patching {command}--help");
        return ExitCodes.Usage;
    }
    using CancellationTokenSource interrupted = new();
    using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
    using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
    bool verbose = parsed.GetValue(CommonOptions.Verbose);
    try
    {
        InvocationConfiguration configuration = new() { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
        return parsed.InvokeAsync(configuration, interrupted.Token).GetAwaiter().GetResult();
    }
    catch (Exception error) when (error is InputException or DeviceException)
    {
        return Fail(error, verbose, ExitCodes.Usage);
    }
    catch (OperationCanceledException)
    {
        Console.Error.WriteLine("patching: interrupted; the same command continues where this one stopped if it has --save");
        return ExitCodes.Failed;
    }
    catch (Exception error) when (error is DivergedException or OutOfMemoryException or IOException or UnauthorizedAccessException)
    {
        return Fail(error, verbose, ExitCodes.Failed);
    }

    void Cancel(PosixSignalContext signal)
    {
        signal.Cancel = true;
        interrupted.Cancel();
    }
}

static int Fail(Exception error, bool verbose, int code)
{
    Console.Error.WriteLine($"patching: {error.Message}");
    if (verbose) Console.Error.WriteLine(error);
    return code;
}
