using System.Globalization;
using Patching.Kernels;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;

namespace Patching.Model.Demo;

/// <summary>
/// The whole of patching from nothing: draws pictures, pre-trains a small CLIP on them, patches it on a task it has never seen. It prepares inputs and calls what users
/// call; nothing here computes.
/// </summary>
public sealed class DemoPipeline
{
    private const string DrawnMark = "drawn.txt";

    private readonly Device device;
    private readonly DemoSettings settings;
    private readonly PipelineEvents events;
    private readonly DemoData data;

    /// <summary>Prepares the demo.</summary>
    /// <exception cref="InputException">The folder cannot be written, or holds a demo with other settings.</exception>
    public DemoPipeline(Device device, DemoSettings settings, PipelineEvents events)
    {
        this.device = device;
        this.settings = settings;
        this.events = events;
        PatchSettings.CheckFolder("--out", settings.Output);
        data = new DemoData(Path.Combine(settings.Output, "data"), settings.Seed, settings.ImageSize, (done, total) => events.Progress?.Invoke("draw", done, total));
        RequireSameDemo();
    }

    /// <summary>The results file.</summary>
    public string Results => Path.Combine(settings.Output, "results.jsonl");

    /// <summary>The command that patches the pre-trained model on its own.</summary>
    public string PatchCommand { get; private set; } = "";

    /// <summary>Name of the patching task.</summary>
    public string PatchingTask => $"folder:{data.Handwriting}";

    /// <summary>Name of the supported task.</summary>
    public string SupportedTask => $"folder:{data.Patterned}";

    /// <summary>Draws, pre-trains, patches; goes on where an interrupted demo stopped.</summary>
    /// <returns>The scores of every alpha.</returns>
    public IReadOnlyList<ResultRecord> Run(CancellationToken cancellation)
    {
        Draw(cancellation);
        PretrainPipeline pretraining = new(device, Pretraining(), events);
        pretraining.Run(cancellation);
        PatchSettings patch = Patching(pretraining.ModelDirectory);
        // The demo's results are those of one run: an interrupted one leaves none behind, a repeated one replaces its own.
        if (File.Exists(Results)) File.Delete(Results);
        using PatchPipeline patching = new(device, patch, events);
        return patching.Patch(cancellation);
    }

    private string Mark => Path.Combine(settings.Output, "data", DrawnMark);

    private string Description => string.Create(
        CultureInfo.InvariantCulture, $"seed {settings.Seed}, {settings.Pairs} captioned pictures, {settings.Training} to train on, {settings.Test} to test on");

    private void RequireSameDemo()
    {
        if (File.Exists(Mark) && File.ReadAllText(Mark).Trim() is var drawn && drawn != Description)
            throw new InputException($"--out {settings.Output}: holds a demo with other settings ({drawn}); choose another folder or delete it");
    }

    private void Draw(CancellationToken cancellation)
    {
        if (File.Exists(Mark)) return;
        data.Draw(settings.Pairs, settings.Training, settings.Test, cancellation);
        File.WriteAllText(Mark, Description);
    }

    private PretrainSettings Pretraining() => new()
    {
        TrainDataset = $"captions:{data.Captions}",
        DataLocation = settings.Output,
        Save = Path.Combine(settings.Output, "pretrained"),
        Epochs = settings.PretrainEpochs,
        BatchSize = settings.Quick ? 64 : 128,
        LearningRate = 1e-3,
        WeightDecay = 0.1,
        VocabularySize = 700,
        Seed = settings.Seed,
        Architecture = new ArchitectureSettings { ImageSize = settings.ImageSize, ContextLength = 16, Width = 96, Layers = 3 },
        Command = "patching demo",
    };

    private PatchSettings Patching(string model)
    {
        PatchSettings patch = new()
        {
            Model = model,
            TrainDataset = PatchingTask,
            EvalDatasets = [SupportedTask, PatchingTask],
            DataLocation = settings.Output,
            Alphas = [0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.475, 0.5, 0.525, 0.55, 0.575, 0.6, 0.65, 0.7, 0.8, 0.9, 1],
            Save = Path.Combine(settings.Output, "patched"),
            ResultsDb = Results,
            Epochs = settings.FinetuneEpochs,
            LearningRate = 4.5e-4,
            WarmupLength = settings.Quick ? 0 : 20,
            Seed = settings.Seed,
            ExpName = "demo",
        };
        PatchCommand = string.Join(
            ' ', "patching patch", "--model", Quoted(patch.Model), "--train-dataset", Quoted(patch.TrainDataset), "--eval-datasets",
            Quoted(string.Join(',', patch.EvalDatasets)), "--epochs", Number(patch.Epochs), "--lr", Number(patch.LearningRate), "--warmup_length",
            Number(patch.WarmupLength!.Value), "--alpha", string.Join(' ', patch.Alphas.Select(Number)), "--seed", Number(patch.Seed), "--save", Quoted(patch.Save),
            "--results-db", Quoted(patch.ResultsDb));
        return patch with { Command = PatchCommand };
    }

    private static string Quoted(string path) => path.Contains(' ') ? $"'{path}'" : path;

    private static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);
}
