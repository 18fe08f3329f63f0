using System.CommandLine;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Pipeline;

namespace Patching.Cli.Commands;

/// <summary><c>patching finetune</c>: only the fine-tune.</summary>
internal static class FinetuneCommand
{
    public static Command Create()
    {
        Command command = new("finetune", "Fine-tunes the image encoder on a task under a frozen zero-shot head and saves the model.")
        {
            CommonOptions.Model, CommonOptions.TrainDataset, CommonOptions.EvalDatasets, CommonOptions.DataLocation, CommonOptions.ResultsDb,
        };
        PatchCommand.AddTrainingOptions(command);
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        PatchSettings settings = PatchCommand.Settings(parsed) with { Alphas = [1.0], ResultsDb = parsed.GetValue(CommonOptions.ResultsDb) };
        if (settings.Save is null) throw new InputException("--save: name the folder that is to get the fine-tuned model");
        if (settings.EvalEveryEpoch && settings.EvalDatasets.Count == 0) throw new InputException("--eval-every-epoch: name the data sets with --eval-datasets");
        settings.Check();
        settings = settings with { Model = CommonOptions.ModelOf(parsed, cancellation) };
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        using PatchPipeline pipeline = new(device, settings, progress.Events);
        if (settings.DryRun) return PatchCommand.Forecast(parsed, progress, pipeline.ForecastFinetune(cancellation));
        pipeline.Finetune(cancellation);
        progress.Finish();
        parsed.InvocationConfiguration.Output.WriteLine(Path.Combine(settings.Save, PatchedModels.DirectoryName(1)));
        return ExitCodes.Done;
    }
}
