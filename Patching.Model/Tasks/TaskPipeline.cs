using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Patching.Kernels;
using Patching.Model.Choosing;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Merging;
using Patching.Model.Pipeline;
using Patching.Model.Reports;
using Patching.Model.Training;
using Patching.Model.Weights;

namespace Patching.Model.Tasks;

/// <summary>Where a run over several tasks works and what it leaves.</summary>
/// <param name="Save">Folder for models, the states of the training and the recipe.</param>
/// <param name="ResultsDb">File that gets a line of JSON per evaluation; null writes none.</param>
/// <param name="Command">The command line.</param>
/// <param name="Overwrite">Whether what another run left may be replaced.</param>
/// <param name="Workers">Threads that decode images.</param>
/// <param name="Precision">Arithmetic of the towers; null is the fastest that the device has.</param>
/// <param name="Activation">The non-linearity, where the user states it.</param>
/// <param name="Tokenizer">Where vocab.json and merges.txt are, if not beside the model.</param>
/// <param name="Cache">Folder that keeps decoded images between passes and runs; null keeps none.</param>
public sealed record TaskRunSettings(
    string Save, string? ResultsDb, string Command, bool Overwrite, int Workers, TowerPrecision? Precision = null, ActivationKind? Activation = null, string? Tokenizer = null,
    string? Cache = null);

/// <summary>A model that a run made, and its accuracy on every test set.</summary>
/// <param name="Name">What it is: <c>original</c>, <c>MNIST</c>, <c>MNIST then GTSRB</c>, ...</param>
/// <param name="Coefficients">How much of each fine-tuned model is in it.</param>
/// <param name="Scores">A score per data set.</param>
public sealed record TaskModelScores(string Name, IReadOnlyList<double> Coefficients, IReadOnlyList<EvaluationScore> Scores);

/// <summary>
/// Patching several tasks (Ilharco et al. 2022, section 5): fine-tunes by the strategy of the recipe, chooses coefficients on held-out images, and tests every model that came of it on every
/// data set once, at the end.
/// </summary>
public sealed class TaskPipeline : IDisposable
{
    private readonly TaskRecipe recipe;
    private readonly TaskRunSettings run;
    private readonly PipelineEvents events;
    private readonly ClipModel model;
    private readonly HeadCache heads;
    private readonly BatchOptions batches;
    private readonly ImageCache? cache;
    private readonly ImmutableArray<ParameterSpec> table;
    private readonly string[] tasks;
    private readonly string[] all;
    private readonly List<StageModel> stages = [];
    private readonly List<ParameterSet> owned = [];
    private double[] before = [];

    /// <summary>Opens the model.</summary>
    /// <exception cref="InputException">A setting is impossible or the model cannot be used.</exception>
    public TaskPipeline(Device device, TaskRecipe recipe, TaskRunSettings run, PipelineEvents events)
    {
        recipe.Check();
        PatchSettings.CheckFolder("--save", run.Save);
        if (run.Cache is not null) PatchSettings.CheckFolder("--cache", run.Cache);
        (this.recipe, this.run, this.events) = (recipe, run, events);
        tasks = [.. recipe.TrainDatasets.Select(DatasetCatalog.Canonical)];
        all = [.. recipe.EvalDatasets.Select(DatasetCatalog.Canonical).Concat(tasks).Distinct()];
        model = ClipModel.Open(device, recipe.Model, run.Activation, run.Tokenizer, run.Precision, checkNumbers: true);
        table = ParameterTable.Vision(model.Config);
        heads = new HeadCache(Path.Combine(run.Save, "heads"));
        batches = new BatchOptions(recipe.BatchSize, model.Config.Image.ImageSize) { Resize = model.Checkpoint.Preprocess.Resize, Workers = run.Workers };
        cache = run.Cache is null ? null : new ImageCache(run.Cache, events.Note, events.Progress);
    }

    /// <summary>Runs the recipe.</summary>
    /// <returns>The original model and every one that was made, tested on every data set.</returns>
    public IReadOnlyList<TaskModelScores> Run(CancellationToken cancellation)
    {
        // Everything that can be wrong with the data is found before the first step is computed.
        ImageDataset[] training = [.. tasks.Select(task => Open(DatasetCatalog.ValidationName(task), DatasetSplit.Train))];
        ImageDataset[] heldOut = [.. all.Select(task => Open(DatasetCatalog.ValidationName(task), DatasetSplit.Test))], test = [.. all.Select(task => Open(task, DatasetSplit.Test))];
        foreach (string note in test.SelectMany(dataset => dataset.Notes).Distinct()) events.Note?.Invoke(note);
        RequireMemory(training, test);
        RecordRecipe();
        using ModelScorer scorer = new(model, Cached(heldOut, cancellation), batches, heads, events.Progress);
        before = Accuracies(scorer.Score(model.Checkpoint.Read, cancellation));
        stages.Add(new StageModel("original", [], model.Checkpoint.Read));
        switch (recipe.Strategy)
        {
            case TaskStrategy.Joint:
                Joint(training, scorer, cancellation);
                break;
            case TaskStrategy.Sequential:
                Sequential(training, scorer, cancellation);
                break;
            default:
                Separate(training, scorer, cancellation);
                break;
        }
        foreach (StageModel stage in stages.Skip(1)) Save(stage);
        return Test(Cached(test, cancellation), cancellation);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ParameterSet set in owned) set.Dispose();
        cache?.Dispose();
        model.Dispose();
    }

    private ImageDataset[] Cached(ImageDataset[] datasets, CancellationToken cancellation) =>
        cache is null ? datasets : [.. datasets.Select(dataset => cache.ForEvaluation(dataset, batches, cancellation))];

    private ImageDataset CachedTraining(ImageDataset dataset, CancellationToken cancellation) => cache?.ForTraining(dataset, batches, cancellation) ?? dataset;

    // The last fine-tune is the one beside which the most models are held.
    private void RequireMemory(ImageDataset[] training, ImageDataset[] test)
    {
        bool isJoint = recipe.Strategy == TaskStrategy.Joint;
        int finished = recipe.Strategy switch
        {
            TaskStrategy.Joint => 0,
            TaskStrategy.Sequential => 2 * ((recipe.BothOrders && tasks.Length > 1 ? 2 : 1) * tasks.Length - 1),
            _ => tasks.Length - 1,
        };
        int[] classes = [.. training.Select(dataset => dataset.ClassNames.Count)];
        MemoryPlan.Require(
            model.Device, string.Create(CultureInfo.InvariantCulture, $"--batch-size {recipe.BatchSize}"), "fine-tuning", [
                .. MemoryPlan.Training(model.Config, recipe.BatchSize, isJoint ? classes : [classes.Max()], model.Precision),
                .. MemoryPlan.Scoring(model.Config, recipe.BatchSize, test.Max(dataset => dataset.ClassNames.Count), finished, model.Precision),
            ]);
    }

    private void RecordRecipe()
    {
        string path = Path.Combine(run.Save, "recipe.json"), text = RecipeFile.Write(recipe) + "\n";
        if (File.Exists(path) && File.ReadAllText(path) != text && !run.Overwrite)
            throw new InputException($"{path}: holds another recipe; choose another --save, or --overwrite to replace what came of it");
        Directory.CreateDirectory(run.Save);
        OutputFile.WriteText(path, text);
    }

    private void Joint(ImageDataset[] training, ModelScorer scorer, CancellationToken cancellation)
    {
        JointDataset joint = new(training, recipe.Balanced);
        ParameterSet tuned = Finetune(
            joint, () => new JointDataset([.. training.Select(part => CachedTraining(part, cancellation))], recipe.Balanced), training, model.Checkpoint.Read, model.Checkpoint.Sha256, "joint", cancellation);
        Interpolate(string.Join('+', tasks), model.Checkpoint.Read, tuned, tasks, scorer, cancellation);
    }

    private void Sequential(ImageDataset[] training, ModelScorer scorer, CancellationToken cancellation)
    {
        int[] forward = [.. Enumerable.Range(0, tasks.Length)];
        foreach (int[] order in recipe.BothOrders && tasks.Length > 1 ? [forward, [.. forward.Reverse()]] : (int[][])[forward])
        {
            ParameterSource current = model.Checkpoint.Read;
            string chain = model.Checkpoint.Sha256;
            for (int i = 0; i < order.Length; i++)
            {
                string[] learnt = [.. order[..(i + 1)].Select(task => tasks[task])];
                ParameterSet tuned = Finetune(training[order[i]], current, chain, "sequential-" + FileName(string.Join('-', learnt)), cancellation);
                StageModel stage = Interpolate(string.Join(" then ", learnt), current, tuned, learnt, scorer, cancellation);
                current = stage.Source;
                chain = Hash($"{chain}|{learnt[^1]}|{stage.Coefficients[0].ToString("R", CultureInfo.InvariantCulture)}|{RecipeFile.Write(recipe with { Name = null, TrainDatasets = [] })}");
            }
        }
    }

    // Parallel and transfer share the fine-tunes: each task by itself, from the original model.
    private void Separate(ImageDataset[] training, ModelScorer scorer, CancellationToken cancellation)
    {
        ParameterSet[] tuned = [.. training.Select((dataset, i) => Finetune(dataset, model.Checkpoint.Read, model.Checkpoint.Sha256, "task-" + FileName(tasks[i]), cancellation))];
        if (recipe.Strategy == TaskStrategy.Transfer)
        {
            for (int i = 0; i < tuned.Length; i++) Interpolate(tasks[i], model.Checkpoint.Read, tuned[i], [tasks[i]], scorer, cancellation);
            return;
        }
        // The same sum whatever the order in which the tasks are named.
        int[] order = [.. Enumerable.Range(0, tasks.Length).OrderBy(i => tasks[i], StringComparer.Ordinal)];
        ParameterSource Mixed(IReadOnlyList<double> a) => Merged(model.Checkpoint.Read, [.. order.Select(i => tuned[i])], [.. order.Select(i => a[i])]);
        FoundCoefficients found = recipe.Alpha is { } sum
            ? new([.. tasks.Select(_ => sum / tasks.Length)], double.NaN, 0)
            : CoefficientSearch.Run(tasks.Length, recipe.Choice.Steps, 1, recipe.Budget, a => Value(scorer, Mixed(a), tasks, cancellation));
        events.Note?.Invoke(string.Create(
            CultureInfo.InvariantCulture, $"parallel: {string.Join(", ", tasks.Zip(found.Coefficients, (task, a) => $"{task} {a.ToString("R", CultureInfo.InvariantCulture)}"))} after {found.Evaluations} of at most {recipe.Budget} evaluations"));
        stages.Add(new StageModel(string.Join('+', tasks), found.Coefficients, Mixed(found.Coefficients)));
    }

    private StageModel Interpolate(string name, ParameterSource zero, ParameterSet one, string[] learnt, ModelScorer scorer, CancellationToken cancellation)
    {
        ParameterSource At(double alpha) => Merged(zero, [one], [alpha]);
        ChoiceSettings choice = recipe.Choice;
        double alpha = recipe.Alpha ?? choice.AlphaAt(LatticeSearch.Run(
            choice.Steps, places => [.. places.Select(place => Value(scorer, At(choice.AlphaAt(place)), learnt, cancellation))]));
        events.Note?.Invoke(string.Create(CultureInfo.InvariantCulture, $"{name}: alpha {alpha:R}"));
        // The model is made now: what comes next starts from it again and again.
        ParameterSet made = new(model.Device, "patched parameters", table);
        made.Load(At(alpha));
        owned.Add(made);
        StageModel stage = new(name, [alpha], made.Fetch);
        stages.Add(stage);
        return stage;
    }

    private double Value(ModelScorer scorer, ParameterSource source, string[] learnt, CancellationToken cancellation) =>
        recipe.Choice.Rule.Value(Accuracies(scorer.Score(source, cancellation)), before, [.. all.Select(learnt.Contains)]);

    private ParameterSource Merged(ParameterSource zero, ParameterSet[] tuned, double[] coefficients) => new MergedParameters(
        table, [new MergeInput("", "", zero), .. tuned.Select(set => new MergeInput("", "", set.Fetch))], LinearCombination.Tasks(coefficients)).Read;

    private ParameterSet Finetune(ImageDataset dataset, ParameterSource initial, string startsFrom, string folder, CancellationToken cancellation) =>
        Finetune(dataset, () => CachedTraining(dataset, cancellation), [dataset], initial, startsFrom, folder, cancellation);

    private ParameterSet Finetune(
        ImageDataset dataset, Func<ImageDataset> images, ImageDataset[] parts, ParameterSource initial, string startsFrom, string folder, CancellationToken cancellation)
    {
        (ZeroShotHead Head, string Key)[] ofParts = [.. parts.Select(part => heads.Get(model, part))];
        FinetuneSettings settings = recipe.Finetune(dataset.Name, dataset.Count, startsFrom, string.Join(' ', ofParts.Select(part => part.Key)), model.Precision);
        settings.Check(recipe.WarmupLength is not null);
        events.Note?.Invoke($"fine-tune on {dataset.Name}");
        TrainingRun training = new(
            settings.Plan, batches, Path.Combine(run.Save, folder), run.Overwrite, new TrainingEvents { Note = events.Note, Progress = events.Training });
        training.CheckState();
        ParameterSet tuned = TaskFinetune.Run(model, images, [.. ofParts.Select(part => part.Head)], initial, settings, training, cancellation);
        owned.Add(tuned);
        return tuned;
    }

    private void Save(StageModel stage)
    {
        string folder = Path.Combine(run.Save, "models", FileName(stage.Name));
        Dictionary<string, string> metadata = new()
        {
            ["recipe"] = RecipeFile.Write(recipe),
            ["base_model_sha256"] = model.Checkpoint.Sha256,
            ["coefficients"] = LinearCombination.List(stage.Coefficients),
            ["command"] = run.Command,
        };
        HashSet<string> trained = [.. table.Select(spec => spec.Name)];
        CheckpointWriter.Save(
            folder, model.Config, model.Checkpoint.Preprocess, (spec, values) => (trained.Contains(spec.Name) ? stage.Source : model.Checkpoint.Read)(spec, values),
            metadata: metadata, tokenizerDirectory: model.Checkpoint.TokenizerDirectory, overwrite: true, counters: model.Checkpoint.Counters);
        events.Note?.Invoke($"saved {folder}");
    }

    private List<TaskModelScores> Test(ImageDataset[] test, CancellationToken cancellation)
    {
        using ModelScorer scorer = new(model, test, batches, heads, events.Progress);
        List<TaskModelScores> tested = [];
        List<ResultRecord> measured = [];
        foreach (StageModel stage in stages)
        {
            EvaluationScore[] scores = scorer.Score(stage.Source, cancellation);
            tested.Add(new TaskModelScores(stage.Name, stage.Coefficients, scores));
            ResultRecord[] records = [.. scores.Select((score, i) => Record(score, stage, heads.Key(model, test[i])))];
            if (run.ResultsDb is not null) ResultRecord.Append(run.ResultsDb, records);
            events.Results?.Invoke(records);
            measured.AddRange(records);
        }
        events.Note?.Invoke($"report: {HtmlReport.Save(run.Save, measured, run.Save)}");
        return tested;
    }

    private ResultRecord Record(EvaluationScore score, StageModel stage, string headKey) => ResultRecord.Of(score, model, recipe.Model, headKey, run.Command) with
    {
        ExpName = recipe.Name is null ? stage.Name : $"{recipe.Name}: {stage.Name}",
        Recipe = RecipeFile.Write(recipe),
        Coefficients = stage.Coefficients,
    };

    private ImageDataset Open(string name, DatasetSplit split) => DatasetCatalog.Open(name, split, recipe.DataLocation);

    private static double[] Accuracies(EvaluationScore[] scores) => [.. scores.Select(score => score.Top1)];

    // Names of data sets may hold what folders' names may not; different names stay different by a piece of their hash.
    private static string FileName(string name)
    {
        string plain = string.Concat(name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '+' or '-' ? c : '_'));
        return plain == name ? name : $"{plain[^Math.Min(plain.Length, 60)..]}-{Hash(name)[..8]}";
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private sealed record StageModel(string Name, IReadOnlyList<double> Coefficients, ParameterSource Source);
}
