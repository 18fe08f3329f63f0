using Patching.Model.Choosing;
using Patching.Model.Pipeline;
using Patching.Model.Training;

namespace Patching.Model.Tasks;

/// <summary>How several tasks become one model.</summary>
public enum TaskStrategy
{
    /// <summary>All tasks in one fine-tune, each under its own head; one alpha.</summary>
    Joint,

    /// <summary>One patch after the other, each from what the one before gave.</summary>
    Sequential,

    /// <summary>Every task from the original model; <c>(1 - sum a_i) theta_0 + sum a_i theta_i</c>.</summary>
    Parallel,

    /// <summary>Every task patched alone, and every patch tested on every data set.</summary>
    Transfer,
}

/// <summary>
/// Everything that decides about a run over several tasks: what a recipe file holds, and what is recorded in the models and results that come of it. Names in files are those of the flags:
/// <c>train-datasets</c>, <c>max-drop</c>, ...
/// </summary>
public sealed record TaskRecipe
{
    /// <summary>Name of the experiment.</summary>
    public string? Name { get; init; }

    /// <summary>How the tasks are learnt.</summary>
    public TaskStrategy Strategy { get; init; }

    /// <summary>The original model.</summary>
    public string Model { get; init; } = "";

    /// <summary>Folder that holds the data sets.</summary>
    public string DataLocation { get; init; } = "~/data";

    /// <summary>The tasks to be learnt, in order.</summary>
    public IReadOnlyList<string> TrainDatasets { get; init; } = [];

    /// <summary>The supported tasks, which are not to be forgotten; the tasks to be learnt are evaluated in any case.</summary>
    public IReadOnlyList<string> EvalDatasets { get; init; } = [];

    /// <summary>Joint: whether every task counts the same, or every image.</summary>
    public bool Balanced { get; init; } = true;

    /// <summary>Sequential: whether the tasks are also learnt in reverse order.</summary>
    public bool BothOrders { get; init; }

    /// <summary>A fixed alpha (parallel: their sum); null chooses on held-out images.</summary>
    public double? Alpha { get; init; }

    /// <summary>The most points a supported task may lose; null is the best mean.</summary>
    public double? MaxDrop { get; init; }

    /// <summary>Distance of neighbouring coefficients.</summary>
    public double Resolution { get; init; } = ChoiceSettings.DefaultResolution;

    /// <summary>Parallel: the most vectors of coefficients that are evaluated.</summary>
    public int Budget { get; init; } = 60;

    /// <summary>Passes over the training images.</summary>
    public int Epochs { get; init; } = 10;

    /// <summary>Highest learning rate.</summary>
    public double Lr { get; init; } = 0.001;

    /// <summary>Weight decay.</summary>
    public double Wd { get; init; } = 0.1;

    /// <summary>Label smoothing.</summary>
    public double Ls { get; init; }

    /// <summary>Images per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Steps of warm-up; null is the original's 500.</summary>
    public int? WarmupLength { get; init; }

    /// <summary>Largest norm of the gradient.</summary>
    public double ClipNorm { get; init; } = 1;

    /// <summary>Decides the order of the images and their crops.</summary>
    public int Seed { get; init; }

    /// <summary>How coefficients are chosen.</summary>
    public ChoiceSettings Choice => new(new ChoiceRule(MaxDrop / 100), Search: true, Resolution);

    /// <summary>What a fine-tune computes.</summary>
    internal FinetuneSettings Finetune(string dataset, int images, string startsFrom, string headKey, Clip.TowerPrecision precision) => new()
    {
        TrainDataset = dataset,
        TrainImages = images,
        BaseModelSha256 = startsFrom,
        HeadKey = headKey,
        Epochs = Epochs,
        LearningRate = Lr,
        WeightDecay = Wd,
        LabelSmoothing = Ls,
        BatchSize = BatchSize,
        WarmupLength = WarmupLength ?? PatchSettings.DefaultWarmupLength,
        ClipNorm = ClipNorm,
        Seed = Seed,
        Precision = precision,
    };

    /// <summary>Refuses what cannot work before anything is opened.</summary>
    /// <exception cref="InputException">The message names the setting.</exception>
    public void Check()
    {
        if (Model.Length == 0) throw new InputException("model: name the original model");
        if (TrainDatasets.Count == 0) throw new InputException("train-datasets: name the tasks to be learnt");
        string[] tasks = [.. TrainDatasets.Select(Data.DatasetCatalog.Canonical)], supported = [.. EvalDatasets.Select(Data.DatasetCatalog.Canonical)];
        if (tasks.Distinct().Count() != tasks.Length) throw new InputException("train-datasets: the same task is given twice");
        if (supported.Except(tasks).Any() is false) throw new InputException("eval-datasets: name at least one supported task, which is not to be forgotten");
        if (tasks.Concat(supported).FirstOrDefault(Data.DatasetCatalog.IsValidation) is { } divided)
            throw new InputException($"{divided}: name the data set without Val; its held-out part chooses, its test images judge");
        if (Alpha is { } alpha) PatchSettings.CheckAlphas([alpha], "alpha");
        if (Budget < 1) throw new InputException(FormattableString.Invariant($"budget {Budget}: must be 1 or more"));
        PatchSettings.CheckBatchSize(BatchSize);
        Choice.Check();
        Finetune("", 0, "", "", default).CheckNumbers();
    }
}
