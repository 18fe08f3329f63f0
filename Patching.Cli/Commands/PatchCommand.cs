using System.CommandLine;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Choosing;
using Patching.Model.Evaluation;
using Patching.Model.Forecast;
using Patching.Model.Pipeline;

namespace Patching.Cli.Commands;

/// <summary><c>patching patch</c>: fine-tune, interpolate, evaluate.</summary>
internal static class PatchCommand
{
    public static Command Create()
    {
        Command command = new("patch", "Fine-tunes the image encoder on a task, interpolates with the original weights, evaluates every data set for every alpha.")
        {
            CommonOptions.Model, CommonOptions.TrainDataset, CommonOptions.EvalDatasets, CommonOptions.DataLocation, CommonOptions.Alpha,
            CommonOptions.SaveAlpha, CommonOptions.Choose, CommonOptions.MaxDrop, CommonOptions.Search, CommonOptions.Resolution, CommonOptions.Guard, CommonOptions.Load,
            CommonOptions.ResultsDb,
        };
        AddTrainingOptions(command);
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    /// <summary>Adds the flags that <c>patch</c> and <c>finetune</c> share.</summary>
    public static void AddTrainingOptions(Command command)
    {
        Option[] options =
        [
            CommonOptions.Epochs, CommonOptions.LearningRate, CommonOptions.WeightDecay, CommonOptions.LabelSmoothing, CommonOptions.BatchSize,
            CommonOptions.WarmupLength, CommonOptions.ClipNorm, CommonOptions.TrainText, CommonOptions.Seed, CommonOptions.Save, CommonOptions.EvalEveryEpoch, CommonOptions.ExpName,
            CommonOptions.Shots, CommonOptions.Balanced, CommonOptions.Workers, CommonOptions.SkipBadImages, CommonOptions.Cache,
            CommonOptions.ReducedJpeg, CommonOptions.Overwrite, CommonOptions.DryRun, CommonOptions.Activation, CommonOptions.Tokenizer, CommonOptions.Device,
            CommonOptions.Precision, CommonOptions.Threads, CommonOptions.BatchNorm,
        ];
        foreach (Option option in options) command.Options.Add(option);
    }

    /// <summary>The settings that the flags of <c>patch</c> and <c>finetune</c> describe.</summary>
    public static PatchSettings Settings(ParseResult parsed) => new()
    {
        Model = parsed.GetRequiredValue(CommonOptions.Model),
        Activation = CommonOptions.ActivationOf(parsed),
        Tokenizer = parsed.GetValue(CommonOptions.Tokenizer),
        TrainDataset = parsed.GetRequiredValue(CommonOptions.TrainDataset),
        EvalDatasets = CommonOptions.Split(parsed.GetValue(CommonOptions.EvalDatasets)),
        DataLocation = parsed.GetRequiredValue(CommonOptions.DataLocation),
        Save = parsed.GetValue(CommonOptions.Save),
        EvalEveryEpoch = parsed.GetValue(CommonOptions.EvalEveryEpoch),
        ExpName = parsed.GetValue(CommonOptions.ExpName),
        Epochs = parsed.GetValue(CommonOptions.Epochs),
        LearningRate = parsed.GetValue(CommonOptions.LearningRate),
        WeightDecay = parsed.GetValue(CommonOptions.WeightDecay),
        LabelSmoothing = parsed.GetValue(CommonOptions.LabelSmoothing),
        BatchSize = parsed.GetValue(CommonOptions.BatchSize),
        WarmupLength = parsed.GetValue(CommonOptions.WarmupLength),
        ClipNorm = parsed.GetValue(CommonOptions.ClipNorm),
        Seed = parsed.GetValue(CommonOptions.Seed),
        TrainText = parsed.GetValue(CommonOptions.TrainText),
        Precision = CommonOptions.PrecisionOf(parsed),
        BatchNorm = CommonOptions.BatchNormOf(parsed),
        Workers = parsed.GetValue(CommonOptions.Workers),
        SkipBadImages = parsed.GetValue(CommonOptions.SkipBadImages),
        Shots = parsed.GetValue(CommonOptions.Shots),
        Balanced = parsed.GetValue(CommonOptions.Balanced),
        Cache = parsed.GetValue(CommonOptions.Cache),
        ReducedJpeg = parsed.GetValue(CommonOptions.ReducedJpeg),
        Overwrite = parsed.GetValue(CommonOptions.Overwrite),
        DryRun = parsed.GetValue(CommonOptions.DryRun),
        Command = CommonOptions.AsTyped(parsed),
    };

    /// <summary>Prints what a dry run found out.</summary>
    public static int Forecast(ParseResult parsed, ProgressReporter progress, RunForecast forecast)
    {
        progress.Finish();
        ForecastList.Print(parsed.InvocationConfiguration.Output, forecast);
        return ExitCodes.Done;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        ChoiceSettings? choice = ChoiceOf(parsed);
        bool alphasGiven = parsed.GetResult(CommonOptions.Alpha) is { Implicit: false };
        if (choice is { Search: true } && alphasGiven) throw new InputException("--search: tries alphas of its own; give either --search or --alpha");
        choice?.Check();
        PatchSettings settings = Settings(parsed) with
        {
            Alphas = choice is null || alphasGiven ? parsed.GetRequiredValue(CommonOptions.Alpha) : [.. Enumerable.Range(0, choice.Steps + 1).Select(choice.AlphaAt)],
            SavedAlphas = parsed.GetValue(CommonOptions.SaveAlpha) is { Length: > 0 } saved ? saved : null,
            Choice = choice,
            Load = parsed.GetValue(CommonOptions.Load),
            ResultsDb = parsed.GetValue(CommonOptions.ResultsDb),
        };
        if (settings.EvalDatasets.Count == 0) throw new InputException("--eval-datasets: name at least one data set");
        settings.Check();
        settings = settings with { Model = CommonOptions.ModelOf(parsed, cancellation) };
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        using PatchPipeline pipeline = new(device, settings, progress.Events);
        if (settings.DryRun) return Forecast(parsed, progress, pipeline.ForecastPatch(cancellation));
        IReadOnlyList<ResultRecord> results = pipeline.Patch(cancellation);
        progress.Finish();
        ResultsTable.Print(parsed.InvocationConfiguration.Output, results, settings.TrainDataset);
        if (pipeline.Chosen is not { } chosen) return ExitCodes.Done;
        ChoiceTable.Print(parsed.InvocationConfiguration.Output, chosen);
        if (!parsed.GetValue(CommonOptions.Guard) || chosen.Holds != false) return ExitCodes.Done;
        parsed.InvocationConfiguration.Error.WriteLine(ChoiceTable.Broken(chosen, choice!.Rule.MaxDrop!.Value));
        return ExitCodes.GuardFailed;
    }

    /// <summary>How the flags say that alpha is chosen; null where they do not.</summary>
    private static ChoiceSettings? ChoiceOf(ParseResult parsed)
    {
        double? maxDrop = parsed.GetValue(CommonOptions.MaxDrop) / 100;
        bool chooses = parsed.GetValue(CommonOptions.Choose) is not null || maxDrop is not null;
        if (parsed.GetValue(CommonOptions.Choose) is not null && maxDrop is not null) throw new InputException("--choose mean and --max-drop are two rules; give one");
        if (parsed.GetValue(CommonOptions.Guard) && maxDrop is null) throw new InputException("--guard: needs a bound; give --max-drop");
        if (!chooses && (parsed.GetValue(CommonOptions.Search) || parsed.GetResult(CommonOptions.Resolution) is { Implicit: false }))
            throw new InputException("--search, --resolution: need a rule; give --choose mean or --max-drop");
        return chooses ? new ChoiceSettings(new ChoiceRule(maxDrop), parsed.GetValue(CommonOptions.Search), parsed.GetValue(CommonOptions.Resolution)) : null;
    }
}
