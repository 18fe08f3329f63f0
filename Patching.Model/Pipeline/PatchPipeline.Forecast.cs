using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Patching.Model.Choosing;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Forecast;
using Patching.Model.Training;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <content>
/// The same procedure without doing it: everything is opened and checked as the run would, then a few steps and images are timed on scratch copies. <see cref="PatchSettings.DryRun"/> must be
/// set.
/// </content>
public sealed partial class PatchPipeline
{
    // Prompts whose encoding is timed; the others take as long.
    private const int TimedPrompts = 96;

    /// <summary>What <see cref="Patch"/> would do.</summary>
    /// <exception cref="InputException">As for <see cref="Patch"/>.</exception>
    public RunForecast ForecastPatch(CancellationToken cancellation)
    {
        ImageDataset? training = settings.Load is null ? OpenTraining() : null;
        ImageDataset[] evaluated = OpenEvaluated(training, cancellation), heldOut = OpenHeldOut(cancellation);
        using ParameterSet? loaded = settings.Load is null ? null : Load(settings.Load).Finetuned;
        Draft draft = new(this, training, cancellation);
        if (training is not null) draft.AddTraining(training, evaluated);
        // Where nothing has been trained yet, the original stands in for the fine-tuned model: times do not depend on what the weights are.
        using PatchedModels line = new(model, Original, loaded ?? Original);
        IReadOnlyList<double> alphas = settings.Choice is null ? settings.Alphas : [0, 0.5, 1];
        if (settings.Choice is { } choice) draft.AddEvaluations(heldOut, "choose on", new AlphaChooser(choice, null!).Budget(settings.Alphas), line, settings.Alphas);
        draft.AddEvaluations(evaluated, "evaluate", alphas.Count, line, alphas);
        draft.AddModels(settings.Choice is null ? (settings.SavedAlphas ?? settings.Alphas).Count : (settings.SavedAlphas?.Count ?? 0) + 1);
        return draft.Finish([("evaluated", evaluated), ("held out", heldOut)], alphas);
    }

    /// <summary>What <see cref="Finetune"/> would do.</summary>
    /// <exception cref="InputException">As for <see cref="Finetune"/>.</exception>
    public RunForecast ForecastFinetune(CancellationToken cancellation)
    {
        ImageDataset training = OpenTraining();
        ImageDataset[] evaluated = settings.EvalEveryEpoch ? OpenEvaluated(training, cancellation) : [];
        Draft draft = new(this, training, cancellation);
        draft.AddTraining(training, evaluated);
        draft.AddModels((settings.SavedAlphas ?? settings.Alphas).Count);
        return draft.Finish([("evaluated", evaluated)], settings.Alphas);
    }

    /// <summary>What <see cref="EvaluateModel"/> would do.</summary>
    /// <exception cref="InputException">As for <see cref="EvaluateModel"/>.</exception>
    public RunForecast ForecastEvaluation(CancellationToken cancellation)
    {
        ImageDataset[] evaluated = OpenEvaluated(null, cancellation);
        Draft draft = new(this, null, cancellation);
        draft.AddEvaluation(evaluated, "evaluate");
        return draft.Finish([("evaluated", evaluated)], null);
    }

    /// <summary>A forecast that is being put together.</summary>
    private sealed class Draft(PatchPipeline pipeline, ImageDataset? training, CancellationToken cancellation)
    {
        private readonly PatchSettings settings = pipeline.settings;
        private readonly ClipModel model = pipeline.model;
        private readonly List<MemoryForecast> memory = [];
        private readonly List<DiskForecast> disk = [];
        private readonly List<TimeForecast> time = [];
        private readonly HashSet<string> headKeys = [];
        private FinetuneSettings? recipe;
        private double? promptSeconds;

        public void AddTraining(ImageDataset dataset, ImageDataset[] evaluated)
        {
            (recipe, TrainingRun run) = pipeline.Prepare(dataset, evaluated, cancellation);
            memory.Add(new MemoryForecast("fine-tune", pipeline.TrainingMemory(dataset)));
            if (!settings.TrainText) AddHead(dataset);
            TrainingPlan plan = settings.TrainText ? recipe.Contrastive.Plan : recipe.Plan;
            long left = plan.TotalSteps - run.StepsKept;
            if (left > 0)
            {
                using ITrainer trainer = settings.TrainText
                    ? pipeline.TrainerOfBoth(recipe, dataset)
                    : new Finetuner(model.Device, model.Config, model.Tower, model.Checkpoint.Read, RandomHead(dataset.ClassNames.Count), recipe);
                time.Add(TimeForecast.Of(
                    left == plan.TotalSteps ? "fine-tune" : "fine-tune, what is left of it", left, "steps", StepTimer.Measure(model.Device, trainer, dataset, pipeline.batches, plan, cancellation)));
            }
            if (settings.Save is not null) disk.Add(new DiskForecast("state of the training", 3 * Bytes(pipeline.Table)));
            if (settings.EvalEveryEpoch && evaluated.Length > 0 && left > 0) AddEvaluation(evaluated, "evaluate every epoch", recipe.Epochs);
        }

        /// <summary>Evaluations of patched models.</summary>
        public void AddEvaluations(ImageDataset[] datasets, string job, int candidates, PatchedModels line, IReadOnlyList<double> alphas)
        {
            // A search does not know its alphas yet: any will do.
            double[] timed = [.. Enumerable.Range(0, candidates).Select(i => i < alphas.Count ? alphas[i] : i / (candidates + 1.0))];
            bool resident = line.Hold([.. timed.Distinct()]);
            Add(datasets, job, candidates, i => line.At(timed[i % timed.Length]), resident, settings.TrainText);
        }

        /// <summary>Evaluations of one model.</summary>
        public void AddEvaluation(ImageDataset[] datasets, string job, int times = 1)
        {
            using ImageParameters weights = ImageParameters.Of(model.Vision, model.Config);
            weights.Pack(model.Device);
            Add(datasets, job, 1, _ => weights, resident: false, settings.TrainText && times > 1, times);
        }

        public void AddModels(int count)
        {
            if (settings.Save is null) return;
            long tokenizer = model.Checkpoint.TokenizerDirectory is { } directory ? CheckpointWriter.TokenizerBytes(directory) : 0;
            disk.Add(new DiskForecast(Text($"{count} models"), count * (Bytes(ParameterTable.All(model.Config)) + tokenizer)));
        }

        public RunForecast Finish(IReadOnlyList<(string Name, ImageDataset[] Datasets)> parts, IReadOnlyList<double>? alphas)
        {
            List<string> notes = ["times are those of this machine as busy as it is now; opening models and writing files is not in them"];
            if (settings.Cache is not null) notes.Add("--cache: times are those of decoding; what is in the cache is read faster, and filling it is part of the first pass");
            return new RunForecast(Resolved(parts, alphas), memory, disk, settings.Save is { } save ? FreeBytes(save) : null, time, notes);
        }

        private void Add(ImageDataset[] datasets, string job, int candidates, Func<int, ImageParameters> select, bool resident, bool ownHeads, int times = 1)
        {
            IReadOnlyList<MemoryRole> plan = pipeline.EvaluationMemory(datasets);
            pipeline.RequireMemory("evaluating", plan);
            if (!memory.Any(job => job.Job == "evaluate")) memory.Add(new MemoryForecast("evaluate", plan));
            if (!ownHeads) foreach (ImageDataset dataset in datasets) AddHead(dataset);
            using Evaluator evaluator = new(model, pipeline.batches);
            EvaluationTimer timer = new(evaluator, RandomHead, settings.BatchSize);
            foreach (ImageDataset dataset in datasets)
            {
                // Under heads of their own, alphas take a pass each.
                double each = timer.Measure(dataset, ownHeads ? 1 : candidates, select, resident, cancellation) * (ownHeads ? candidates : 1);
                if (ownHeads) time.Add(TimeForecast.Of($"heads of {dataset.Name}", (double)times * candidates * Prompts(dataset), "prompts", PromptSeconds(dataset)));
                time.Add(TimeForecast.Of(candidates == 1 ? $"{job} {dataset.Name}" : Text($"{job} {dataset.Name}, {candidates} alphas"), (double)times * dataset.Count, "images", each));
                if (settings.Save is not null && job != "evaluate every epoch") disk.Add(new DiskForecast($"predictions of {dataset.Name}", PredictionFile.BytesFor(dataset.Count, candidates)));
            }
        }

        // A head is built once, whatever needs it.
        private void AddHead(ImageDataset dataset)
        {
            if (!headKeys.Add(pipeline.heads.Key(model, dataset))) return;
            if (settings.Save is not null) disk.Add(new DiskForecast($"head of {dataset.Name}", (long)sizeof(float) * dataset.ClassNames.Count * model.Config.EmbeddingWidth));
            if (!pipeline.heads.Has(model, dataset)) time.Add(TimeForecast.Of($"head of {dataset.Name}", Prompts(dataset), "prompts", PromptSeconds(dataset)));
        }

        private static long Prompts(ImageDataset dataset) => (long)dataset.ClassNames.Count * dataset.Templates.Count;

        private double PromptSeconds(ImageDataset dataset)
        {
            if (promptSeconds is { } known) return known;
            int classes = Math.Clamp(TimedPrompts / dataset.Templates.Count, 1, dataset.ClassNames.Count);
            string[] names = [.. dataset.ClassNames.Take(classes)], templates = [.. dataset.Templates.Take(TimedPrompts)];
            model.BuildHead(names[..1], templates[..1]);
            Stopwatch watch = Stopwatch.StartNew();
            model.BuildHead(names, templates);
            return (promptSeconds = watch.Elapsed.TotalSeconds / (names.Length * templates.Length)).Value;
        }

        // What is in a head does not change the time.
        private ZeroShotHead RandomHead(int classes)
        {
            Random random = new(0);
            int width = model.Config.EmbeddingWidth;
            return new ZeroShotHead([.. Enumerable.Range(0, classes * width).Select(_ => (float)(random.NextDouble() - 0.5))], classes, width);
        }

        private List<ResolvedSetting> Resolved(IReadOnlyList<(string Name, ImageDataset[] Datasets)> parts, IReadOnlyList<double>? alphas)
        {
            List<ResolvedSetting> rows = [new("model", settings.Model), new("device", model.Device.Name), new("precision", model.Precision.Name())];
            if (training is not null) rows.Add(new("train", Describe(training)));
            foreach ((string name, ImageDataset[] datasets) in parts) rows.AddRange(datasets.Select(dataset => new ResolvedSetting(name, Describe(dataset))));
            if (settings.Choice is { } choice) rows.Add(new("choose", choice.Rule.Description + (choice.Search ? Text($", search at {choice.Resolution:R}") : "")));
            else if (alphas is not null) rows.Add(new("alpha", string.Join(' ', alphas.Select(alpha => Text($"{alpha:R}")))));
            if (settings.Load is not null) rows.Add(new("load", settings.Load));
            if (settings.Save is not null) rows.Add(new("save", settings.Save));
            if (settings.ResultsDb is not null) rows.Add(new("results_db", settings.ResultsDb));
            rows.Add(new("workers", Text($"{settings.Workers}")));
            if (recipe is null) return [.. rows, new("batch_size", Text($"{settings.BatchSize}"))];
            rows.Add(new("steps", Text($"{recipe.TotalSteps}, {recipe.StepsPerEpoch} an epoch")));
            rows.AddRange(JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(recipe.ToJson())!.Select(pair => new ResolvedSetting(pair.Key, pair.Value.ToString())));
            return rows;
        }

        private static string Describe(ImageDataset dataset) => Text($"{dataset.Name}: {dataset.Count} images of {dataset.ClassNames.Count} classes");

        private static long Bytes(IEnumerable<ParameterSpec> table) => table.Sum(spec => (long)spec.Length * sizeof(float));

        private static long FreeBytes(string folder)
        {
            string nearest = Path.GetFullPath(folder);
            while (!Directory.Exists(nearest)) nearest = Path.GetDirectoryName(nearest)!;
            return new DriveInfo(nearest).AvailableFreeSpace;
        }

        private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }
}
