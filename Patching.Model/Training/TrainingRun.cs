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

/// <summary>What a run needs to know about itself.</summary>
/// <param name="Settings">Everything that decides what is computed, as one line of JSON; a state is continued only where it is equal.</param>
/// <param name="Seed">Decides the order of the images and their crops.</param>
/// <param name="StepsPerEpoch">Steps of one pass.</param>
/// <param name="TotalSteps">Steps of the whole run.</param>
public sealed record TrainingPlan(string Settings, int Seed, int StepsPerEpoch, long TotalSteps);

/// <summary>One batch of a run.</summary>
/// <param name="pixels">Images [n, S, S, 3].</param>
/// <param name="labels">n labels.</param>
/// <param name="indices">Numbers of the images in their data set.</param>
/// <param name="epoch">Epoch, from 0.</param>
public readonly ref struct TrainingBatch(ReadOnlySpan<byte> pixels, ReadOnlySpan<int> labels, ReadOnlySpan<int> indices, int epoch)
{
    /// <summary>Images [n, S, S, 3].</summary>
    public ReadOnlySpan<byte> Pixels { get; } = pixels;

    /// <summary>n labels.</summary>
    public ReadOnlySpan<int> Labels { get; } = labels;

    /// <summary>Numbers of the images in their data set.</summary>
    public ReadOnlySpan<int> Indices { get; } = indices;

    /// <summary>Epoch, from 0.</summary>
    public int Epoch { get; } = epoch;
}

/// <summary>What a run drives: <see cref="Finetuner"/> and <see cref="ContrastiveTrainer"/>.</summary>
public interface ITrainer : IDisposable
{
    /// <summary>What has to be kept to continue.</summary>
    TrainingState State { get; }

    /// <summary>Continues after this many steps; parameters and moments must have been loaded.</summary>
    void ContinueFrom(long steps);

    /// <summary>One training step.</summary>
    void Step(in TrainingBatch batch);

    /// <summary>Reads the loss and gradient norm of the last step; waits for the device.</summary>
    /// <exception cref="DivergedException">A number is not finite: training cannot go on.</exception>
    StepReport Report();
}

/// <summary>
/// A training run from start to end: batches in seeded order, a step each, the state saved after every epoch and when interrupted. A run that is interrupted and
/// started again ends with the same bytes as one that was not.
/// </summary>
public sealed class TrainingRun
{
    private const int ReportInterval = 10;
    private const string StateFile = "training-state.safetensors";

    private readonly TrainingPlan plan;
    private readonly BatchOptions batches;
    private readonly string? statePath;
    private readonly TrainingLog? log;
    private readonly bool overwrite;
    private readonly TrainingEvents events;
    private long savedAt;

    /// <summary>Prepares a run.</summary>
    /// <param name="plan">What the run is.</param>
    /// <param name="batches">How images are loaded.</param>
    /// <param name="directory">Where the state and <c>training.jsonl</c> go; null keeps nothing.</param>
    /// <param name="overwrite">Whether a state with other settings may be replaced.</param>
    /// <param name="events">Reports.</param>
    public TrainingRun(TrainingPlan plan, BatchOptions batches, string? directory, bool overwrite, TrainingEvents events)
    {
        this.plan = plan;
        this.batches = batches;
        this.overwrite = overwrite;
        this.events = events;
        if (directory is null) return;
        statePath = Path.Combine(directory, StateFile);
        log = new TrainingLog(LogIn(directory));
    }

    /// <summary>The curve of a run that keeps its state in <paramref name="directory"/>.</summary>
    public static string LogIn(string directory) => Path.Combine(directory, "training.jsonl");

    /// <summary>Refuses, before anything is computed or written, a folder that <see cref="Run"/> would refuse.</summary>
    /// <exception cref="InputException">The folder holds a state with other settings, or a damaged one.</exception>
    public void CheckState() => _ = FindState();

    /// <summary>Steps of this very run that the folder holds already.</summary>
    /// <exception cref="InputException">As for <see cref="CheckState"/>.</exception>
    public long StepsKept => FindState();

    /// <summary>
    /// The finished parameters where the folder holds the end of this very run; null where there is something to compute. Nothing is computed at all by a run of
    /// no steps: its parameters are the initial ones, which is the caller's to know.
    /// </summary>
    /// <param name="load">Makes a set and loads it from the file it is given.</param>
    public ParameterSet? Finished(Func<string, ParameterSet> load)
    {
        if (plan.TotalSteps == 0 || FindState() != plan.TotalSteps) return null;
        ParameterSet parameters = load(statePath!);
        events.Note?.Invoke($"training found complete in {statePath}; not repeated");
        return parameters;
    }

    /// <summary>Runs to the end, from where the folder says that it stopped.</summary>
    /// <exception cref="InputException">The folder holds a state with other settings, or an image cannot be read.</exception>
    /// <exception cref="OperationCanceledException">Interrupted; the state has been saved.</exception>
    public void Run(ITrainer trainer, ImageDataset dataset, CancellationToken cancellation)
    {
        long done = FindState();
        if (done > 0) Resume(trainer, done);
        log?.KeepUpTo(done);
        while (trainer.State.StepsDone < plan.TotalSteps) RunEpoch(trainer, dataset, cancellation);
    }

    private long FindState()
    {
        if (statePath is null) return 0;
        long? done = TrainingCheckpoint.StepsDone(statePath, plan.Settings, plan.TotalSteps, out IReadOnlyList<string> differences);
        if (done is null && differences.Count > 0 && !overwrite)
            throw new InputException(
                $"{statePath}: holds a training run with other settings ({string.Join(", ", differences)}); choose another --save, or --overwrite to start over");
        return done ?? 0;
    }

    private void Resume(ITrainer trainer, long done)
    {
        TrainingCheckpoint.Load(statePath!, trainer.State);
        trainer.ContinueFrom(done);
        savedAt = done;
        events.Note?.Invoke($"continuing after step {done} of {plan.TotalSteps} from {statePath}");
    }

    private void RunEpoch(ITrainer trainer, ImageDataset dataset, CancellationToken cancellation)
    {
        long done = trainer.State.StepsDone;
        int epoch = (int)(done / plan.StepsPerEpoch), firstBatch = (int)(done % plan.StepsPerEpoch);
        using (BatchPipeline pipeline = BatchPipeline.ForTraining(dataset, batches, plan.Seed, epoch, firstBatch, cancellation))
        {
            try
            {
                while (pipeline.Next() is { } batch)
                {
                    using (batch) TrainOn(trainer, batch, epoch);
                    cancellation.ThrowIfCancellationRequested();
                }
            }
            catch (OperationCanceledException)
            {
                SaveState(trainer.State);
                throw;
            }
            if (firstBatch == 0 && pipeline.Skipped.Count == dataset.Count)
                throw new InputException($"{dataset.Name}: none of its {dataset.Count} images can be read; {pipeline.Skipped[0].Description}: {pipeline.Skipped[0].Reason}");
            foreach (SkippedImage image in pipeline.Skipped) events.Note?.Invoke($"skipped {image.Description}: {image.Reason}");
        }
        // Batches that cannot be trained on (nothing but unreadable images, too few pairs) are passed over, so the count of steps is set, not assumed.
        trainer.ContinueFrom((long)(epoch + 1) * plan.StepsPerEpoch);
        SaveState(trainer.State);
        events.EpochDone?.Invoke(epoch + 1, trainer.State.Parameters);
    }

    private void TrainOn(ITrainer trainer, ImageBatch batch, int epoch)
    {
        // What does not make a whole step at the end of a pass is left out by runs that count only whole ones.
        if (batch.Number >= plan.StepsPerEpoch) return;
        int imageBytes = batches.ImageSize * batches.ImageSize * 3;
        trainer.ContinueFrom((long)epoch * plan.StepsPerEpoch + batch.Number);
        trainer.Step(new TrainingBatch(batch.Pixels.AsSpan(0, batch.Count * imageBytes), batch.Labels, batch.Indices, epoch));
        long done = trainer.State.StepsDone;
        if (done % plan.StepsPerEpoch != 0 && done % ReportInterval != 0) return;
        StepReport report = trainer.Report();
        log?.Append(report);
        events.Progress?.Invoke(report, plan.TotalSteps);
    }

    private void SaveState(TrainingState state)
    {
        if (state.StepsDone == savedAt) return;
        // Numbers are checked before they replace a good state.
        state.RequireFinite();
        savedAt = state.StepsDone;
        if (statePath is not null) TrainingCheckpoint.Save(statePath, state, plan.Settings);
    }
}
