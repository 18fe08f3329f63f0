using System.Diagnostics;
using Patching.Kernels;
using Patching.Model.Data;
using Patching.Model.Training;

namespace Patching.Model.Forecast;

/// <summary>
/// Seconds of a training step, images loaded as in the run: some steps warm up (compilers, caches, batches decoded ahead), some count. The trainer is one of its own, whose weights nobody
/// keeps; its steps are always the first of the schedule.
/// </summary>
internal sealed class StepTimer
{
    private static readonly TimeSpan LongestWarmUp = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestMeasurement = TimeSpan.FromSeconds(8);

    private const int MostWarmUpSteps = 20;
    private const int LeastSteps = 3;
    private const int MostSteps = 60;

    private readonly Device device;
    private readonly Stopwatch watch = new();
    private bool isWarm;
    private int steps;

    private StepTimer(Device device) => this.device = device;

    /// <summary>Measures.</summary>
    /// <param name="device">Where the trainer computes.</param>
    /// <param name="trainer">A scratch copy.</param>
    /// <param name="dataset">The run's images.</param>
    /// <param name="batches">How they are loaded.</param>
    /// <param name="plan">The run.</param>
    /// <param name="cancellation">Interrupts it.</param>
    /// <returns>Seconds per step.</returns>
    /// <exception cref="InputException">An image cannot be read.</exception>
    public static double Measure(Device device, ITrainer trainer, ImageDataset dataset, BatchOptions batches, TrainingPlan plan, CancellationToken cancellation)
    {
        StepTimer timer = new(device);
        timer.watch.Start();
        for (int epoch = 0; !timer.IsDone; epoch++) timer.RunEpoch(trainer, dataset, batches, plan, epoch, cancellation);
        return timer.watch.Elapsed.TotalSeconds / timer.steps;
    }

    private bool IsDone => isWarm && (steps >= MostSteps || (steps >= LeastSteps && watch.Elapsed >= LongestMeasurement));

    private void RunEpoch(ITrainer trainer, ImageDataset dataset, BatchOptions batches, TrainingPlan plan, int epoch, CancellationToken cancellation)
    {
        using BatchPipeline pipeline = BatchPipeline.ForTraining(dataset, batches, plan.Seed, epoch, cancellation: cancellation);
        int imageBytes = batches.ImageSize * batches.ImageSize * 3;
        while (!IsDone && pipeline.Next() is { } batch)
        {
            using (batch)
            {
                if (batch.Number >= plan.StepsPerEpoch) continue;
                trainer.ContinueFrom(0);
                trainer.Step(new TrainingBatch(batch.Pixels.AsSpan(0, batch.Count * imageBytes), batch.Labels, batch.Indices, epoch));
            }
            steps++;
            if (!isWarm && (steps >= MostWarmUpSteps || watch.Elapsed >= LongestWarmUp)) BeginMeasurement();
        }
        if (IsDone) device.Synchronize();
        if (pipeline.Skipped.Count == dataset.Count)
            throw new InputException($"{dataset.Name}: none of its {dataset.Count} images can be read; {pipeline.Skipped[0].Description}: {pipeline.Skipped[0].Reason}");
    }

    private void BeginMeasurement()
    {
        device.Synchronize();
        isWarm = true;
        steps = 0;
        watch.Restart();
    }
}
