using System.CommandLine;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Pipeline;

namespace Patching.Cli.Commands;

/// <summary><c>patching interpolate A B</c>: models between two models.</summary>
internal static class InterpolateCommand
{
    private static readonly Argument<string> Zero = new("theta0") { Description = "The original model." };
    private static readonly Argument<string> One = new("theta1") { Description = "The fine-tuned model, of the same architecture." };

    public static Command Create()
    {
        Command command = new("interpolate", "Writes (1 - alpha) theta0 + alpha theta1 for every alpha as model directories below --save.")
        {
            Zero, One, CommonOptions.Alpha, CommonOptions.Save, CommonOptions.Activation, CommonOptions.Overwrite, CommonOptions.Device, CommonOptions.Threads,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        string save = parsed.GetValue(CommonOptions.Save) ?? throw new InputException("--save: name the folder that is to get the models");
        double[] alphas = parsed.GetRequiredValue(CommonOptions.Alpha);
        PatchSettings.CheckAlphas(alphas);
        string zero = ModelsCommand.Resolve(parsed, parsed.GetRequiredValue(Zero), cancellation), one = ModelsCommand.Resolve(parsed, parsed.GetRequiredValue(One), cancellation);
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        IReadOnlyList<string> written = ModelInterpolation.Run(
            device, zero, one, alphas, save, CommonOptions.ActivationOf(parsed),
            CommonOptions.AsTyped(parsed), parsed.GetValue(CommonOptions.Overwrite), progress.Events.Progress);
        progress.Finish();
        foreach (string directory in written) parsed.InvocationConfiguration.Output.WriteLine(directory);
        return ExitCodes.Done;
    }
}
