using Patching.Model.Clip;
using Patching.Model.Data;

namespace Patching.Model.Training;

/// <summary>What a run reports while it works; all members are optional.</summary>
public sealed class TrainingEvents
{
    /// <summary>Called after a step whose numbers were read (every tenth, and the last of an epoch): the report and the steps of the whole run.</summary>
    public Action<StepReport, long>? Progress { get; init; }

    /// <summary>Called after each epoch, counted from 1, with the weights as they are.</summary>
    public Action<int, ParameterSet>? EpochDone { get; init; }

    /// <summary>One line for the user.</summary>
    public Action<string>? Note { get; init; }
}

/// <summary>
/// A fine-tune from start to end: batches in seeded order, a step each, the state saved after every epoch and when interrupted. A run that is interrupted and
/// started again ends with the same bytes as one that was not.
/// </summary>
public sealed class TrainingRun
{
    private const int ReportInterval = 10;
    private const string StateFile = "training-state.safetensors";

    private readonly ClipModel model;
    private readonly FinetuneSettings settings;
    private readonly BatchOptions batches;
    private readonly string? statePath;
    private readonly TrainingLog? log;
    private readonly bool overwrite;
    private readonly TrainingEvents events;
    private long savedAt;

    /// <summary>Prepares a run.</summary>
    /// <param name="model">The base model.</param>
    /// <param name="settings">What to compute.</param>
    /// <param name="batches">How images are loaded.</param>
    /// <param name="directory">Where the state and <c>training.jsonl</c> go; null keeps nothing.</param>
    /// <param name="overwrite">Whether a state with other settings may be replaced.</param>
    /// <param name="events">Reports.</param>
    public TrainingRun(ClipModel model, FinetuneSettings settings, BatchOptions batches, string? directory, bool overwrite, TrainingEvents events)
    {
        this.model = model;
        this.settings = settings;
        this.batches = batches;
        this.overwrite = overwrite;
        this.events = events;
        if (directory is null) return;
        statePath = Path.Combine(directory, StateFile);
        log = new TrainingLog(Path.Combine(directory, "training.jsonl"));
    }

    /// <summary>Refuses, before anything is computed or written, a folder that <see cref="Run"/> would refuse.</summary>
    /// <exception cref="InputException">The folder holds a state with other settings, or a damaged one.</exception>
    public void CheckState() => _ = FindState();

    /// <summary>Runs to the end, or finds that it has been run, and returns the fine-tuned weights theta1; the caller disposes them.</summary>
    /// <exception cref="InputException">The folder holds a state with other settings, or an image cannot be read.</exception>
    /// <exception cref="OperationCanceledException">Interrupted; the state has been saved.</exception>
    public ParameterSet Run(ImageDataset dataset, ZeroShotHead head, CancellationToken cancellation)
    {
        long done = FindState();
        if (done == settings.TotalSteps) return Finished();
        using Finetuner finetuner = new(model.Device, model.Config, model.Tower, model.Checkpoint.Read, head, settings);
        if (done > 0) Resume(finetuner, done);
        log?.KeepUpTo(done);
        while (finetuner.StepsDone < settings.TotalSteps) RunEpoch(finetuner, dataset, cancellation);
        return finetuner.DetachParameters();
    }

    private ParameterSet Finished()
    {
        ParameterSet parameters = new(model.Device, "fine-tuned parameters", ParameterTable.Vision(model.Config));
        if (settings.TotalSteps == 0)
        {
            parameters.Load(model.Checkpoint.Read);
            return parameters;
        }
        TrainingCheckpoint.LoadParameters(statePath!, parameters);
        events.Note?.Invoke($"fine-tune found complete in {statePath}; not repeated");
        return parameters;
    }

    private long FindState()
    {
        if (statePath is null) return 0;
        long? done = TrainingCheckpoint.StepsDone(statePath, settings.ToJson(), settings.TotalSteps, out IReadOnlyList<string> differences);
        if (done is null && differences.Count > 0 && !overwrite)
            throw new InputException(
                $"{statePath}: holds a fine-tune with other settings ({string.Join(", ", differences)}); choose another --save, or --overwrite to start over");
        return done ?? 0;
    }

    private void Resume(Finetuner finetuner, long done)
    {
        TrainingCheckpoint.Load(statePath!, finetuner.State);
        finetuner.ContinueFrom(done);
        savedAt = done;
        events.Note?.Invoke($"continuing after step {done} of {settings.TotalSteps} from {statePath}");
    }

    private void RunEpoch(Finetuner finetuner, ImageDataset dataset, CancellationToken cancellation)
    {
        int epoch = (int)(finetuner.StepsDone / settings.StepsPerEpoch);
        int firstBatch = (int)(finetuner.StepsDone % settings.StepsPerEpoch);
        using (BatchPipeline pipeline = BatchPipeline.ForTraining(dataset, batches, settings.Seed, epoch, firstBatch, cancellation))
        {
            try
            {
                while (pipeline.Next() is { } batch)
                {
                    using (batch) TrainOn(finetuner, batch, epoch);
                    cancellation.ThrowIfCancellationRequested();
                }
            }
            catch (OperationCanceledException)
            {
                SaveState(finetuner);
                throw;
            }
            if (firstBatch == 0 && pipeline.Skipped.Count == dataset.Count)
                throw new InputException($"{dataset.Name}: none of its {dataset.Count} images can be read; {pipeline.Skipped[0].Description}: {pipeline.Skipped[0].Reason}");
            foreach (SkippedImage image in pipeline.Skipped) events.Note?.Invoke($"skipped {image.Description}: {image.Reason}");
        }
        // Batches of nothing but unreadable images are passed over, so the count of steps is set, not assumed.
        finetuner.ContinueFrom((long)(epoch + 1) * settings.StepsPerEpoch);
        SaveState(finetuner);
        events.EpochDone?.Invoke(epoch + 1, finetuner.Parameters);
    }

    private void TrainOn(Finetuner finetuner, ImageBatch batch, int epoch)
    {
        int imageBytes = batches.ImageSize * batches.ImageSize * 3;
        finetuner.ContinueFrom((long)epoch * settings.StepsPerEpoch + batch.Number);
        finetuner.Step(batch.Pixels.AsSpan(0, batch.Count * imageBytes), batch.Labels);
        bool last = finetuner.StepsDone % settings.StepsPerEpoch == 0;
        if (!last && finetuner.StepsDone % ReportInterval != 0) return;
        StepReport report = finetuner.Report();
        log?.Append(report);
        events.Progress?.Invoke(report, settings.TotalSteps);
    }

    private void SaveState(Finetuner finetuner)
    {
        if (finetuner.StepsDone == savedAt) return;
        // Numbers are checked before they replace a good state.
        finetuner.RequireFinite();
        savedAt = finetuner.StepsDone;
        if (statePath is not null) TrainingCheckpoint.Save(statePath, finetuner.State, settings.ToJson());
    }
}
