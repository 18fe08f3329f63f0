using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Training;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <summary>A fine-tune from the beginning to the end, or its result where it was finished before.</summary>
internal static class TaskFinetune
{
    /// <summary>Fine-tunes the image tower.</summary>
    /// <param name="model">Architecture and engine.</param>
    /// <param name="images">Gives the images, where there is still something to train.</param>
    /// <param name="heads">A head per task of the data set.</param>
    /// <param name="initial">Where the tower starts from.</param>
    /// <param name="settings">What is computed.</param>
    /// <param name="run">Its state.</param>
    /// <param name="cancellation">Interrupts it; the state is saved.</param>
    /// <returns>theta1, to be disposed by the caller.</returns>
    public static ParameterSet Run(
        ClipModel model, Func<ImageDataset> images, IReadOnlyList<ZeroShotHead> heads, ParameterSource initial, FinetuneSettings settings, TrainingRun run, CancellationToken cancellation)
    {
        if (Finished(model, run) is { } finished) return finished;
        using Finetuner finetuner = new(model.Device, model.Config, model.Tower, initial, heads, settings);
        run.Run(finetuner, images(), cancellation);
        return finetuner.DetachParameters();
    }

    private static ParameterSet? Finished(ClipModel model, TrainingRun run) => run.Finished(path =>
    {
        ParameterSet parameters = new(model.Device, "fine-tuned parameters", ParameterTable.Vision(model.Config));
        TrainingCheckpoint.LoadParameters(path, parameters);
        return parameters;
    });
}
