using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Model.Merging;

/// <summary>
/// Scores of image towers that come from files or merges, on fixed data sets: what searches over merged models ask again and again. Heads come from the text tower of the model it is
/// made with.
/// </summary>
public sealed class ModelScorer : IDisposable
{
    private readonly ClipModel model;
    private readonly (ImageDataset Dataset, ZeroShotHead Head)[] tasks;
    private readonly ParameterSet working;
    private readonly ImageParameters tensors;
    private readonly Evaluator evaluator;
    private readonly Action<string, long, long>? progress;

    /// <summary>Builds the heads and allocates the buffers.</summary>
    /// <param name="model">Architecture, engine and text tower.</param>
    /// <param name="datasets">The data sets.</param>
    /// <param name="batches">How images are loaded.</param>
    /// <param name="heads">Heads that exist already.</param>
    /// <param name="progress">Called with what is done, and images done and to do.</param>
    public ModelScorer(ClipModel model, IReadOnlyList<ImageDataset> datasets, BatchOptions batches, HeadCache heads, Action<string, long, long>? progress = null)
    {
        this.model = model;
        this.progress = progress;
        tasks = [.. datasets.Select(dataset => (dataset, heads.Get(model, dataset).Head))];
        working = new ParameterSet(model.Device, "merged parameters", ParameterTable.Vision(model.Config), model.Precision);
        tensors = ImageParameters.Of(working, model.Config);
        evaluator = new Evaluator(model, batches);
    }

    /// <summary>How often <see cref="Score"/> was called.</summary>
    public int Evaluations { get; private set; }

    /// <summary>Scores of one image tower, a data set at a time.</summary>
    public EvaluationScore[] Score(ParameterSource source, CancellationToken cancellation)
    {
        Evaluations++;
        working.Load(source);
        tensors.Pack(model.Device);
        return
        [
            .. tasks.Select(task => evaluator.Evaluate(
                task.Dataset, task.Head, 1, _ => tensors, (done, total) => progress?.Invoke($"evaluate {task.Dataset.Name}", done, total), cancellation)[0]),
        ];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        tensors.Dispose();
        working.Dispose();
        evaluator.Dispose();
    }
}
