using System.Runtime.InteropServices;
using Patching.Cli;

using CancellationTokenSource interrupted = new();
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
return PatchingCommandLine.Run(args, Console.Out, Console.Error, interrupted.Token);

void Cancel(PosixSignalContext signal)
{
    // The first signal asks for a clean end, the second one is not argued with.
    signal.Cancel = !interrupted.IsCancellationRequested;
    interrupted.Cancel();
}
