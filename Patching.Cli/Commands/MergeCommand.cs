using System.CommandLine;
using System.Globalization;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Choosing;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Merging;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Cli.Commands;

/// <summary><c>patching merge METHOD MODEL...</c>: one model of several, without training.</summary>
internal static class MergeCommand
{
    public static readonly Option<string> Out = new("--out", "-o") { Description = "What is to be created.", Required = true };

    public static readonly Option<string?> Type = CommonOptions.Choice("--type", "Element type of what is written; f32 if not given.", "f32", "f16", "bf16");

    private static readonly Argument<string[]> Models = new("models") { Description = "Models of the same architecture.", Arity = ArgumentArity.OneOrMore };
    private static readonly Argument<string[]> Based =
        new("models") { Description = "The base model, then the models fine-tuned from it.", Arity = new ArgumentArity(2, 1000) };
    private static readonly Argument<string[]> Two = new("models") { Description = "The base (or first) model and the fine-tuned (or second) one.", Arity = new ArgumentArity(2, 2) };
    private static readonly Argument<string[]> Four = new("models") { Description = "Base, A, B and C: A is to B as C is to the result.", Arity = new ArgumentArity(4, 4) };
    private static readonly Option<double[]> Weights = CommonOptions.Numbers("--weights", "A weight per model; they are divided by their sum. All equal if not given.");
    private static readonly Option<double[]> Scales =
        CommonOptions.Numbers("--scale", "Factor of each task vector, or one for all (1 if not given); negative numbers take a task away.");
    private static readonly Option<double> Scale = CommonOptions.Number("--scale", "Factor of the task vector.", 1.0);
    private static readonly Option<double> Alpha = CommonOptions.Number("--alpha", "Weight of the second model, 0 to 1.", 0.5);
    private static readonly Option<double> Density = CommonOptions.Number("--density", "Share of each task vector that stays, the largest numbers.", 0.2);
    private static readonly Option<double> Drop = CommonOptions.Number("--drop", "Probability with which a number of a task vector is dropped.", 0.9);
    private static readonly Option<int> Seed = CommonOptions.Number("--seed", "Decides which numbers are dropped.", 0);
    private static readonly Option<string[]> Fisher =
        new("--fisher") { Description = "A file of patching fisher per model, in their order.", AllowMultipleArgumentsPerToken = true, Required = true };
    private static readonly Option<double> LayerAlpha = CommonOptions.Number("--alpha", "Coefficient of the first block.", 0.5);
    private static readonly Option<double> Slope = CommonOptions.Number("--slope", "What the last block's coefficient is larger by (LiNeS).", 0.0);
    private static readonly Option<string?> Patched = new("--patched") { Description = "For --search: the task that was learnt; the others of --eval-datasets are not to be forgotten." };
    private static readonly Option<int> Budget = CommonOptions.Number("--budget", "For --search: the most models evaluated.", 60);
    private static readonly Option<string[]> Layer = new("--layer")
    {
        Description = "A coefficient of one layer's own, such as visual.3=0.25; layers are visual.stem, visual.0 ..., visual.head and the same with text.",
        AllowMultipleArgumentsPerToken = true,
    };

    public static Command Create() => new("merge", "Makes one model of several without training; a few tensors are in memory whatever their size.")
    {
        Method("linear", "Weighted mean of models (a uniform soup without --weights).", Models, [Weights], 0, (parsed, given) => Linear(Given(parsed, Weights, given.Count, 1, true))),
        Method("slerp", "Along the arc between two models, tensor by tensor.", Two, [Alpha], 2, (parsed, _) => new SphericalInterpolation(parsed.GetValue(Alpha))),
        Method("task", "Task arithmetic: base + sum of scale x (model - base); also parallel patching.", Based, [Scales], 1,
            (parsed, given) => Numbered(Given(parsed, Scales, given.Count - 1, 1, false), LinearCombination.Tasks)),
        Method("analogy", "Base + scale x ((C - base) + (B - A)).", Four, [Scale], 4, (parsed, _) => LinearCombination.Analogy(parsed.GetValue(Scale))),
        Method("ties", "TIES: trim task vectors, elect signs, mean of those that agree.", Based, [Density, Scale], 1,
            (parsed, _) => new TiesMerge(parsed.GetValue(Density), parsed.GetValue(Scale))),
        Method("dare", "DARE: drop numbers of task vectors at random, enlarge the rest, add.", Based, [Drop, Scales, Seed], 1,
            (parsed, given) => Numbered(Given(parsed, Scales, given.Count - 1, 1, false), scales => new DareMerge(parsed.GetValue(Drop), scales, parsed.GetValue(Seed)))),
        Layers(),
        FisherMethod(),
        Soup(),
    };

    /// <summary>The element type the flags name.</summary>
    public static SafetensorsType TypeOf(ParseResult parsed) => parsed.GetValue(Type) switch
    {
        "f16" => SafetensorsType.F16,
        "bf16" => SafetensorsType.BF16,
        _ => SafetensorsType.F32,
    };

    // Numbers that belong to models are sorted with them; a method is made for each order.
    private delegate Sorted Choice(ParseResult parsed, IReadOnlyList<string> given);

    private sealed record Sorted(double[]? Numbers, Func<double[], MergeMethod> Make)
    {
        public static implicit operator Sorted(MergeMethod method) => new(null, _ => method);
    }

    private static Sorted Linear(double[] weights) => Numbered(weights, LinearCombination.Mean);

    private static Sorted Numbered(double[] numbers, Func<double[], MergeMethod> make) => new(numbers, make);

    private static Command Method(string name, string description, Argument<string[]> models, Option[] options, int fixedModels, Choice choose)
    {
        Command command = Start(name, description, models, options);
        command.SetAction(parsed =>
        {
            string[] paths = parsed.GetRequiredValue(models);
            MergeOutput output = Output(parsed);
            Sorted chosen = choose(parsed, paths);
            using ModelMerge merge = Open(parsed, paths);
            // A number belongs to a model behind the base, if there is a base.
            int skip = chosen.Numbers is null ? 0 : paths.Length - chosen.Numbers.Length;
            double[]? numbers = chosen.Numbers is null ? null : [.. Enumerable.Repeat(0.0, skip), .. chosen.Numbers];
            int[] order = merge.CanonicalOrder(fixedModels, numbers);
            merge.Save(chosen.Make(numbers is null ? [] : [.. order.Skip(skip).Select(i => numbers[i])]), order, output);
            return Done(parsed, output);
        });
        return command;
    }

    private static Command Layers()
    {
        Command command = Start("layers", "Base and fine-tuned model with a coefficient per layer: given, with a slope, or searched on held-out images.", Two,
            [LayerAlpha, Slope, Layer, CommonOptions.Search, Patched, CommonOptions.EvalDatasets, CommonOptions.DataLocation, CommonOptions.MaxDrop, CommonOptions.Resolution, Budget, .. EvaluationOptions]);
        command.SetAction((parsed, cancellation) => Task.FromResult(Layers(parsed, cancellation)));
        return command;
    }

    private static int Layers(ParseResult parsed, CancellationToken cancellation)
    {
        MergeOutput output = Output(parsed);
        bool searches = parsed.GetValue(CommonOptions.Search);
        if (searches && ((Option[])[LayerAlpha, Slope, Layer]).FirstOrDefault(option => parsed.GetResult(option) is { Implicit: false }) is { } given)
            throw new InputException($"--search: finds the coefficients itself; leave {given.Name} out");
        if (!searches && ((Option[])[Patched, CommonOptions.EvalDatasets, CommonOptions.MaxDrop, Budget]).FirstOrDefault(option => parsed.GetResult(option) is { Implicit: false }) is { } useless)
            throw new InputException($"{useless.Name}: only --search looks at data; add it");
        using ModelMerge merge = Open(parsed, parsed.GetRequiredValue(Two));
        LayerCoefficients layers = searches
            ? SearchLayers(parsed, merge, cancellation)
            : LayerCoefficients.Create(merge.Config, parsed.GetValue(LayerAlpha), parsed.GetValue(Slope), parsed.GetValue(Layer) ?? []);
        merge.Save(layers.Method(), [0, 1], output);
        return Done(parsed, output);
    }

    private static LayerCoefficients SearchLayers(ParseResult parsed, ModelMerge merge, CancellationToken cancellation)
    {
        string patched = DatasetCatalog.ValidationName(parsed.GetValue(Patched) ?? throw new InputException("--search: name the task that was learnt with --patched"));
        string[] names = [.. CommonOptions.Split(parsed.GetValue(CommonOptions.EvalDatasets)).Select(DatasetCatalog.ValidationName).Append(patched).Distinct()];
        if (names.Length < 2) throw new InputException("--eval-datasets: name at least one supported task, which is not to be forgotten");
        ChoiceSettings choice = new(new ChoiceRule(parsed.GetValue(CommonOptions.MaxDrop) / 100), Search: true, parsed.GetValue(CommonOptions.Resolution));
        choice.Check();
        int budget = parsed.GetValue(Budget);
        if (budget < 1) throw new InputException($"--budget {budget}: must be 1 or more");
        return WithScorer(parsed, merge, names, cancellation, (scorer, progress) =>
        {
            (LayerCoefficients layers, FoundCoefficients found) = LayerSearch.Run(merge, scorer, choice.Rule, [.. names.Select(name => name == patched)], choice.Steps, budget, cancellation);
            progress.Events.Note!(string.Create(
                CultureInfo.InvariantCulture, $"{layers.Description}: {choice.Rule.Description} {found.Value * 100:0.00} on held-out images after {found.Evaluations} of at most {budget} evaluations"));
            return layers;
        });
    }

    private static Command FisherMethod()
    {
        Command command = Start("fisher", "Mean of models, each number weighted by its Fisher information.", Models, [Fisher, Weights]);
        command.SetAction(parsed =>
        {
            string[] paths = parsed.GetRequiredValue(Models), files = parsed.GetRequiredValue(Fisher);
            MergeOutput output = Output(parsed);
            if (files.Length != paths.Length) throw new InputException($"--fisher: {files.Length} files for {paths.Length} models; give one per model, in their order");
            double[] weights = Given(parsed, Weights, paths.Length, 1, true);
            using ModelMerge merge = Open(parsed, paths);
            List<FisherFile> opened = [];
            try
            {
                for (int i = 0; i < files.Length; i++) opened.Add(FisherFile.Open(files[i], merge.Inputs[i], ParameterTable.Vision(merge.Config)));
                int[] order = merge.CanonicalOrder(0, weights);
                merge.Save(new FisherMerge([.. order.Select(i => opened[i])], [.. order.Select(i => weights[i])]), order, output);
            }
            finally
            {
                foreach (FisherFile file in opened) file.Dispose();
            }
            return Done(parsed, output);
        });
        return command;
    }

    private static Command Soup()
    {
        Command command = Start("soup", "Greedy soup: the best model on held-out data, and the mean with every other one that does not make it worse.", Models,
            [CommonOptions.EvalDatasets, CommonOptions.DataLocation, .. EvaluationOptions]);
        command.SetAction((parsed, cancellation) => Task.FromResult(Soup(parsed, cancellation)));
        return command;
    }

    private static int Soup(ParseResult parsed, CancellationToken cancellation)
    {
        string[] paths = parsed.GetRequiredValue(Models);
        MergeOutput output = Output(parsed);
        IReadOnlyList<string> names = CommonOptions.Split(parsed.GetValue(CommonOptions.EvalDatasets));
        if (names.Count == 0) throw new InputException("--eval-datasets: name the held-out data that decides, such as MNISTVal");
        using ModelMerge merge = Open(parsed, paths);
        IReadOnlyList<int> soup = WithScorer(parsed, merge, names, cancellation, (scorer, progress) => GreedySoup.Choose(merge, scorer, progress.Events.Note, cancellation));
        merge.Save(GreedySoup.Mean(soup.Count), soup, output);
        return Done(parsed, output);
    }

    // Heads come from the first model.
    private static T WithScorer<T>(ParseResult parsed, ModelMerge merge, IReadOnlyList<string> names, CancellationToken cancellation, Func<ModelScorer, ProgressReporter, T> search)
    {
        PatchSettings.CheckBatchSize(parsed.GetValue(CommonOptions.BatchSize));
        ImageDataset[] datasets = [.. names.Select(name => DatasetCatalog.Open(name, DatasetSplit.Test, parsed.GetRequiredValue(CommonOptions.DataLocation)))];
        cancellation.ThrowIfCancellationRequested();
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        using ClipModel model = ClipModel.Open(
            device, merge.Inputs[0].Name, CommonOptions.ActivationOf(parsed), parsed.GetValue(CommonOptions.Tokenizer), CommonOptions.PrecisionOf(parsed));
        BatchOptions batches = Batches(parsed, model);
        using ImageCache? cache = CacheOf(parsed, progress);
        if (cache is not null) datasets = [.. datasets.Select(dataset => cache.ForEvaluation(dataset, batches, cancellation))];
        using ModelScorer scorer = new(model, datasets, batches, new HeadCache(null), progress.Events.Progress);
        T found = search(scorer, progress);
        progress.Finish();
        return found;
    }

    /// <summary>Flags of commands that evaluate or differentiate a model.</summary>
    public static Option[] EvaluationOptions =>
    [
        CommonOptions.BatchSize, CommonOptions.Workers, CommonOptions.SkipBadImages, CommonOptions.Cache, CommonOptions.Tokenizer, CommonOptions.Device, CommonOptions.Precision,
        CommonOptions.Threads,
    ];

    /// <summary>How the flags say that images are loaded for a model.</summary>
    public static BatchOptions Batches(ParseResult parsed, ClipModel model)
    {
        int workers = parsed.GetValue(CommonOptions.Workers);
        if (workers is < 1 or > PatchSettings.MostThreads) throw new InputException($"--workers {workers}: must be between 1 and {PatchSettings.MostThreads}");
        return new BatchOptions(parsed.GetValue(CommonOptions.BatchSize), model.Config.Image.ImageSize)
        {
            Resize = model.Checkpoint.Preprocess.Resize,
            Workers = workers,
            SkipBadImages = parsed.GetValue(CommonOptions.SkipBadImages),
        };
    }

    /// <summary>The cache the flags name, if any.</summary>
    public static ImageCache? CacheOf(ParseResult parsed, ProgressReporter progress)
    {
        if (parsed.GetValue(CommonOptions.Cache) is not { } folder) return null;
        PatchSettings.CheckFolder("--cache", folder);
        return new ImageCache(folder, progress.Events.Note, progress.Events.Progress);
    }

    private static Command Start(string name, string description, Argument<string[]> models, Option[] options)
    {
        Command command = new(name, description) { models, Out, Type, CommonOptions.Activation, CommonOptions.Overwrite };
        foreach (Option option in options) command.Options.Add(option);
        return command;
    }

    /// <summary>The output the flags name, checked.</summary>
    public static MergeOutput Output(ParseResult parsed)
    {
        MergeOutput output = new(parsed.GetRequiredValue(Out), TypeOf(parsed), CommonOptions.AsTyped(parsed), parsed.GetValue(CommonOptions.Overwrite));
        output.Check();
        return output;
    }

    private static ModelMerge Open(ParseResult parsed, string[] paths)
    {
        ModelMerge merge = ModelMerge.Open([.. paths.Select(path => ModelsCommand.Resolve(parsed, path))], CommonOptions.ActivationOf(parsed));
        foreach (string note in merge.Notes) parsed.InvocationConfiguration.Error.WriteLine(note);
        return merge;
    }

    private static int Done(ParseResult parsed, MergeOutput output)
    {
        parsed.InvocationConfiguration.Output.WriteLine(output.Folder);
        return ExitCodes.Done;
    }

    /// <summary>Numbers of an option: one per model, all the default where none is given.</summary>
    public static double[] Given(ParseResult parsed, Option<double[]> option, int count, double byDefault, bool exactly)
    {
        double[] numbers = parsed.GetValue(option) ?? [];
        if (numbers.Length == 0) return [.. Enumerable.Repeat(byDefault, count)];
        if (numbers.Length == 1 && !exactly) return [.. Enumerable.Repeat(numbers[0], count)];
        if (numbers.Length != count) throw new InputException($"{option.Name}: {numbers.Length} numbers for {count} models");
        return numbers;
    }
}
