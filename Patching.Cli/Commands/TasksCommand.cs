using System.CommandLine;
using System.Globalization;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;
using Patching.Model.Tasks;

namespace Patching.Cli.Commands;

/// <summary><c>patching tasks</c>: several tasks at once, one after the other, side by side, or each alone; from flags or a recipe.</summary>
internal static class TasksCommand
{
    private static readonly Option<string?> RecipePath = new("--recipe") { Description = "A recipe (YAML or JSON); flags given as well replace its settings." };
    private static readonly Option<string?> Model = new("--model") { Description = "The original model." };
    private static readonly Option<string?> Strategy = CommonOptions.Choice("--strategy", "How the tasks are learnt.", "joint", "sequential", "parallel", "transfer");
    private static readonly Option<string?> TrainDatasets = new("--train-datasets") { Description = "The tasks to be learnt, separated by commas." };
    private static readonly Option<string?> Mixing = CommonOptions.Choice("--mixing", "Joint: whether every task counts the same or every image.", "balanced", "proportional");
    private static readonly Option<bool> BothOrders = new("--both-orders") { Description = "Sequential: learn the tasks in reverse order, too." };
    private static readonly Option<double?> Alpha = CommonOptions.Maybe<double>("--alpha", "A fixed alpha (parallel: their sum) instead of choosing.");
    private static readonly Option<double?> MaxDrop = CommonOptions.Maybe<double>("--max-drop", "The most points a supported task may lose on held-out images; the best mean if not given.");
    private static readonly Option<int> Budget = CommonOptions.Number("--budget", "Parallel: the most vectors of coefficients evaluated.", 60);

    public static Command Create()
    {
        Command command = new("tasks", "Patches several tasks: joint, sequential, parallel, or each alone and tested on all (transfer).")
        {
            RecipePath, Model, Strategy, TrainDatasets, Mixing, BothOrders, CommonOptions.EvalDatasets, CommonOptions.DataLocation, Alpha, MaxDrop, CommonOptions.Resolution, Budget,
            CommonOptions.Epochs, CommonOptions.LearningRate, CommonOptions.WeightDecay, CommonOptions.LabelSmoothing, CommonOptions.BatchSize, CommonOptions.WarmupLength,
            CommonOptions.ClipNorm, CommonOptions.Seed, CommonOptions.Save, CommonOptions.ResultsDb, CommonOptions.ExpName, CommonOptions.Workers, CommonOptions.Cache, CommonOptions.Overwrite,
            CommonOptions.Activation, CommonOptions.Tokenizer, CommonOptions.Device, CommonOptions.Precision, CommonOptions.Threads,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        TaskRecipe recipe = Recipe(parsed);
        recipe.Check();
        string save = parsed.GetValue(CommonOptions.Save) ?? throw new InputException("--save: name the folder that is to get models and states");
        int workers = parsed.GetValue(CommonOptions.Workers);
        if (workers is < 1 or > PatchSettings.MostThreads) throw new InputException($"--workers {workers}: must be between 1 and {PatchSettings.MostThreads}");
        TaskRunSettings run = new(
            save, parsed.GetValue(CommonOptions.ResultsDb), CommonOptions.AsTyped(parsed), parsed.GetValue(CommonOptions.Overwrite), workers, CommonOptions.PrecisionOf(parsed),
            CommonOptions.ActivationOf(parsed), parsed.GetValue(CommonOptions.Tokenizer), parsed.GetValue(CommonOptions.Cache));
        recipe = recipe with { Model = ModelsCommand.Resolve(parsed, recipe.Model, cancellation) };
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        using TaskPipeline pipeline = new(device, recipe, run, progress.Events);
        IReadOnlyList<TaskModelScores> models = pipeline.Run(cancellation);
        progress.Finish();
        Print(parsed.InvocationConfiguration.Output, models);
        return ExitCodes.Done;
    }

    // The recipe, with what the flags say in its place.
    private static TaskRecipe Recipe(ParseResult parsed)
    {
        TaskRecipe r = parsed.GetValue(RecipePath) is { } path ? RecipeFile.Read(path) : new TaskRecipe();
        if (parsed.GetValue(RecipePath) is null && parsed.GetValue(Strategy) is null) throw new InputException("--strategy: say how the tasks are learnt, or give a --recipe");
        return r with
        {
            Name = parsed.GetValue(CommonOptions.ExpName) ?? r.Name,
            Strategy = parsed.GetValue(Strategy) is { } strategy ? Enum.Parse<TaskStrategy>(strategy, ignoreCase: true) : r.Strategy,
            Model = parsed.GetValue(Model) ?? r.Model,
            DataLocation = Or(CommonOptions.DataLocation, r.DataLocation),
            TrainDatasets = parsed.GetValue(TrainDatasets) is { } tasks ? CommonOptions.Split(tasks) : r.TrainDatasets,
            EvalDatasets = parsed.GetValue(CommonOptions.EvalDatasets) is { } supported ? CommonOptions.Split(supported) : r.EvalDatasets,
            Balanced = parsed.GetValue(Mixing) is { } mixing ? mixing == "balanced" : r.Balanced,
            BothOrders = parsed.GetValue(BothOrders) || r.BothOrders,
            Alpha = parsed.GetValue(Alpha) ?? r.Alpha,
            MaxDrop = parsed.GetValue(MaxDrop) ?? r.MaxDrop,
            Resolution = Or(CommonOptions.Resolution, r.Resolution),
            Budget = Or(Budget, r.Budget),
            Epochs = Or(CommonOptions.Epochs, r.Epochs),
            Lr = Or(CommonOptions.LearningRate, r.Lr),
            Wd = Or(CommonOptions.WeightDecay, r.Wd),
            Ls = Or(CommonOptions.LabelSmoothing, r.Ls),
            BatchSize = Or(CommonOptions.BatchSize, r.BatchSize),
            WarmupLength = parsed.GetValue(CommonOptions.WarmupLength) ?? r.WarmupLength,
            ClipNorm = Or(CommonOptions.ClipNorm, r.ClipNorm),
            Seed = Or(CommonOptions.Seed, r.Seed),
        };

        T Or<T>(Option<T> option, T otherwise) => parsed.GetResult(option) is { Implicit: false } ? parsed.GetValue(option)! : otherwise;
    }

    private static void Print(TextWriter output, IReadOnlyList<TaskModelScores> models)
    {
        IReadOnlyList<EvaluationScore> original = models[0].Scores;
        MarkdownTable.Print(output, ["model", "coefficients", .. original.Select(score => score.Dataset)], models.Select(model => (string[])
        [
            model.Name, model.Coefficients.Count == 0 ? "-" : string.Join(' ', model.Coefficients.Select(a => a.ToString("0.###", CultureInfo.InvariantCulture))),
            .. model.Scores.Select((score, i) => Cell(score, ReferenceEquals(model, models[0]) ? null : score.Top1 - original[i].Top1)),
        ]));
    }

    private static string Cell(EvaluationScore score, double? change) => string.Create(
        CultureInfo.InvariantCulture, $"{score.Top1 * 100:0.00} %{(change is { } c ? string.Create(CultureInfo.InvariantCulture, $" ({c * 100:+0.00;-0.00;0.00})") : "")}");
}
