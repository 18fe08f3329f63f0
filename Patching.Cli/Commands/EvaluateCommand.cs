using System.CommandLine;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;

namespace Patching.Cli.Commands;

/// <summary><c>patching evaluate</c>: accuracy of a model as it is.</summary>
internal static class EvaluateCommand
{
    public static Command Create()
    {
        Command command = new("evaluate", "Evaluates a model with zero-shot heads built from class names.")
        {
            CommonOptions.Model, CommonOptions.EvalDatasets, CommonOptions.DataLocation, CommonOptions.BatchSize, CommonOptions.ResultsDb, CommonOptions.ExpName,
            CommonOptions.Workers, CommonOptions.SkipBadImages, CommonOptions.Cache, CommonOptions.ReducedJpeg, CommonOptions.Activation, CommonOptions.Tokenizer, CommonOptions.Device,
            CommonOptions.Precision, CommonOptions.Threads, CommonOptions.DryRun,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        PatchSettings settings = new()
        {
            Model = parsed.GetRequiredValue(CommonOptions.Model),
            Activation = CommonOptions.ActivationOf(parsed),
            Tokenizer = parsed.GetValue(CommonOptions.Tokenizer),
            TrainDataset = "",
            EvalDatasets = CommonOptions.Split(parsed.GetValue(CommonOptions.EvalDatasets)),
            DataLocation = parsed.GetRequiredValue(CommonOptions.DataLocation),
            BatchSize = parsed.GetValue(CommonOptions.BatchSize),
            ResultsDb = parsed.GetValue(CommonOptions.ResultsDb),
            ExpName = parsed.GetValue(CommonOptions.ExpName),
            Precision = CommonOptions.PrecisionOf(parsed),
            Workers = parsed.GetValue(CommonOptions.Workers),
            SkipBadImages = parsed.GetValue(CommonOptions.SkipBadImages),
            Cache = parsed.GetValue(CommonOptions.Cache),
            ReducedJpeg = parsed.GetValue(CommonOptions.ReducedJpeg),
            DryRun = parsed.GetValue(CommonOptions.DryRun),
            Command = CommonOptions.AsTyped(parsed),
        };
        if (settings.EvalDatasets.Count == 0) throw new InputException("--eval-datasets: name at least one data set");
        settings = settings with { Model = CommonOptions.ModelOf(parsed, cancellation) };
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        using PatchPipeline pipeline = new(device, settings, progress.Events);
        if (settings.DryRun) return PatchCommand.Forecast(parsed, progress, pipeline.ForecastEvaluation(cancellation));
        IReadOnlyList<ResultRecord> results = pipeline.EvaluateModel(cancellation);
        progress.Finish();
        ResultsTable.Print(parsed.InvocationConfiguration.Output, results, null);
        return ExitCodes.Done;
    }
}
