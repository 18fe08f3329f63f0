using System.CommandLine;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Merging;
using Patching.Model.Pipeline;

namespace Patching.Cli.Commands;

/// <summary><c>patching fisher</c>: the diagonal Fisher information of a model on a task, for <c>merge fisher</c>.</summary>
internal static class FisherCommand
{
    private static readonly Option<int> Samples = CommonOptions.Number("--samples", "Images, each with a backward pass of its own.", 1000);
    private static readonly Option<string?> Labels = CommonOptions.Choice(
        "--labels", "Classes drawn from the model's own predictions (the Fisher information) or the images' true ones (the empirical one); drawn if not given.", "drawn", "true");

    public static Command Create()
    {
        Command command = new("fisher", "Estimates what a model's predictions on a task depend on: the mean square of every gradient. For merge fisher.")
        {
            CommonOptions.Model, CommonOptions.TrainDataset, CommonOptions.DataLocation, Samples, Labels, CommonOptions.Seed, MergeCommand.Out, CommonOptions.Overwrite,
            CommonOptions.Activation,
        };
        foreach (Option option in MergeCommand.EvaluationOptions.Where(option => option != CommonOptions.Precision)) command.Options.Add(option);
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        FisherSettings settings = new(parsed.GetValue(Samples), parsed.GetValue(Labels) == "true", parsed.GetValue(CommonOptions.Seed));
        if (settings.Samples < 1) throw new InputException($"--samples {settings.Samples}: must be 1 or more");
        PatchSettings.CheckBatchSize(parsed.GetValue(CommonOptions.BatchSize));
        string target = parsed.GetRequiredValue(MergeCommand.Out);
        bool overwrite = parsed.GetValue(CommonOptions.Overwrite);
        OutputFile.Check("--out", target, overwrite);
        ImageDataset dataset = DatasetCatalog.Open(parsed.GetRequiredValue(CommonOptions.TrainDataset), DatasetSplit.Train, parsed.GetRequiredValue(CommonOptions.DataLocation));
        string path = CommonOptions.ModelOf(parsed, cancellation);
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        using ClipModel model = ClipModel.Open(device, path, CommonOptions.ActivationOf(parsed), parsed.GetValue(CommonOptions.Tokenizer));
        using ImageCache? cache = MergeCommand.CacheOf(parsed, progress);
        (ParameterSet information, int seen) = FisherInformation.Estimate(
            model, dataset, MergeCommand.Batches(parsed, model), cache, settings, (done, total) => progress.Events.Progress!("Fisher information", done, total), cancellation);
        using (information)
            FisherFile.Write(target, information, model.Checkpoint.Sha256, dataset.Name, seen, FisherInformation.Labels(settings), CommonOptions.AsTyped(parsed), overwrite);
        progress.Finish();
        parsed.InvocationConfiguration.Output.WriteLine(target);
        return ExitCodes.Done;
    }
}
