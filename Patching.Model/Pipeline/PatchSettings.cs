using Patching.Kernels;
using Patching.Model.Choosing;
using Patching.Model.Clip;
using Patching.Model.Training;

namespace Patching.Model.Pipeline;

/// <summary>What <c>patching patch</c> was asked to do. Names are those of the original's flags.</summary>
public sealed record PatchSettings
{
    /// <summary>A model directory or a safetensors file.</summary>
    public required string Model { get; init; }

    /// <summary>The model's non-linearity, where the user states it.</summary>
    public ActivationKind? Activation { get; init; }

    /// <summary>Where vocab.json and merges.txt are, if not beside the model.</summary>
    public string? Tokenizer { get; init; }

    /// <summary>The patching task.</summary>
    public required string TrainDataset { get; init; }

    /// <summary>Data sets to evaluate: the supported tasks and the patching task.</summary>
    public required IReadOnlyList<string> EvalDatasets { get; init; }

    /// <summary>Folder that holds the data sets.</summary>
    public required string DataLocation { get; init; }

    /// <summary>Weights of the fine-tuned model to interpolate with.</summary>
    public IReadOnlyList<double> Alphas { get; init; } = [0.5];

    /// <summary>How alpha is chosen on held-out images; null evaluates every one of <see cref="Alphas"/> on the test images and leaves the choice to the user.</summary>
    public ChoiceSettings? Choice { get; init; }

    /// <summary>Alphas whose models are saved; null saves all of <see cref="Alphas"/>, or the chosen one.</summary>
    public IReadOnlyList<double>? SavedAlphas { get; init; }

    /// <summary>A fine-tuned model to use instead of training one.</summary>
    public string? Load { get; init; }

    /// <summary>Where models, heads and the training state go; null keeps nothing.</summary>
    public string? Save { get; init; }

    /// <summary>The results file; null writes none.</summary>
    public string? ResultsDb { get; init; }

    /// <summary>Evaluate after every epoch, too.</summary>
    public bool EvalEveryEpoch { get; init; }

    /// <summary>Name of the experiment, for the results file.</summary>
    public string? ExpName { get; init; }

    /// <summary>Fine-tune the text tower, too, contrastively.</summary>
    public bool TrainText { get; init; }

    /// <summary>Passes over the training data.</summary>
    public int Epochs { get; init; } = 10;

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 0.001;

    /// <summary>Weight decay.</summary>
    public double WeightDecay { get; init; } = 0.1;

    /// <summary>Label smoothing.</summary>
    public double LabelSmoothing { get; init; }

    /// <summary>Images per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Steps of warm-up; null is the original's 500.</summary>
    public int? WarmupLength { get; init; }

    /// <summary>Largest norm of the gradient.</summary>
    public double ClipNorm { get; init; } = 1.0;

    /// <summary>Decides the order of the images and their crops.</summary>
    public int Seed { get; init; }

    /// <summary>Arithmetic of the towers; null is the fastest that the device has.</summary>
    public TowerPrecision? Precision { get; init; }

    /// <summary>Where a ResNet gets its statistics while it is trained; null is from the checkpoint.</summary>
    public BatchNormStatistics? BatchNorm { get; init; }

    /// <summary>Threads that decode images.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <summary>Leave out images that cannot be read, and count them.</summary>
    public bool SkipBadImages { get; init; }

    /// <summary>Train on so many images of every class; null trains on all.</summary>
    public int? Shots { get; init; }

    /// <summary>Train on every class equally often.</summary>
    public bool Balanced { get; init; }

    /// <summary>Folder that keeps decoded images between passes and runs; null keeps none.</summary>
    public string? Cache { get; init; }

    /// <summary>Decode large JPEGs at a fraction of their size.</summary>
    public bool ReducedJpeg { get; init; }

    /// <summary>Replace results of a run with other settings in <see cref="Save"/>.</summary>
    public bool Overwrite { get; init; }

    /// <summary>Only say what would be done (<see cref="PatchPipeline.ForecastPatch"/>): nothing is kept on disk, not even in <see cref="Cache"/>.</summary>
    public bool DryRun { get; init; }

    /// <summary>The command line, recorded in everything that is written.</summary>
    public string Command { get; init; } = "";

    /// <summary>Steps of warm-up when the user names none.</summary>
    public const int DefaultWarmupLength = 500;

    /// <summary>Most threads of a kind: far beyond any machine, and few enough to start.</summary>
    public const int MostThreads = 1024;

    /// <summary>Most images of a step: far beyond any device, and few enough that rows of a batch can be counted in 32 bits.</summary>
    public const int MostImagesPerStep = 65536;

    /// <summary>Refuses impossible values before anything is opened.</summary>
    /// <exception cref="InputException">The message names the flag.</exception>
    public void Check()
    {
        CheckAlphas(Alphas);
        if (SavedAlphas is not null) CheckAlphas(SavedAlphas, "--save-alpha");
        Choice?.Check();
        CheckBatchSize(BatchSize);
        Recipe(0, "", "", TowerPrecision.Float32).CheckNumbers();
        if (Workers is < 1 or > MostThreads) throw new InputException($"--workers {Workers}: must be between 1 and {MostThreads}");
        if (Save is not null) CheckFolder("--save", Save);
        if (Shots is < 1) throw new InputException($"--shots {Shots}: must be 1 or more");
        if (Cache is not null) CheckFolder("--cache", Cache);
        if (ResultsDb is null) return;
        if (Directory.Exists(ResultsDb)) throw new InputException($"--results-db {ResultsDb}: is a folder; name a file");
        if (ResultsDb.Length == 0) throw new InputException("--results-db: the name is empty");
        CheckFolder("--results-db", Path.GetDirectoryName(Path.GetFullPath(ResultsDb)) ?? "/");
        if (File.Exists(ResultsDb)) Require("--results-db", ResultsDb, () => File.Open(ResultsDb, FileMode.Append, FileAccess.Write, FileShare.ReadWrite).Dispose());
    }

    /// <summary>What a fine-tune with these settings computes.</summary>
    /// <param name="images">Images of the training data set.</param>
    /// <param name="modelSha256">Hash of the base model's weights.</param>
    /// <param name="headKey">Key of the frozen head.</param>
    /// <param name="precision">The arithmetic that <see cref="Precision"/> comes to on the device.</param>
    public FinetuneSettings Recipe(int images, string modelSha256, string headKey, TowerPrecision precision) => new()
    {
        TrainDataset = TrainDataset,
        TrainImages = images,
        BaseModelSha256 = modelSha256,
        HeadKey = headKey,
        Epochs = Epochs,
        LearningRate = LearningRate,
        WeightDecay = WeightDecay,
        LabelSmoothing = LabelSmoothing,
        BatchSize = BatchSize,
        WarmupLength = WarmupLength ?? DefaultWarmupLength,
        ClipNorm = ClipNorm,
        Seed = Seed,
        Shots = Shots,
        Balanced = Balanced,
        ReducedJpeg = ReducedJpeg,
        Precision = precision,
        TrainText = TrainText,
    };

    /// <summary>Refuses batch sizes that no device can hold.</summary>
    /// <exception cref="InputException">It is outside [1, <see cref="MostImagesPerStep"/>].</exception>
    public static void CheckBatchSize(int batchSize)
    {
        if (batchSize is < 1 or > MostImagesPerStep) throw new InputException($"--batch-size {batchSize}: must be between 1 and {MostImagesPerStep}");
    }

    /// <summary>Refuses a folder that cannot come into being or be written to; leaves nothing behind.</summary>
    /// <exception cref="InputException">A file is in its place, or the nearest folder above it cannot be written; the message names the flag.</exception>
    public static void CheckFolder(string flag, string folder)
    {
        if (folder.Length == 0) throw new InputException($"{flag}: the name is empty");
        string nearest = Path.GetFullPath(folder);
        while (!Directory.Exists(nearest))
        {
            if (File.Exists(nearest)) throw new InputException($"{flag} {folder}: {nearest} is a file, not a folder");
            nearest = Path.GetDirectoryName(nearest)!;
        }
        string probe = Path.Combine(nearest, $".patching-{Guid.NewGuid():N}.tmp");
        Require(flag, folder, () => new FileStream(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose).Dispose());
    }

    private static void Require(string flag, string path, Action write)
    {
        try
        {
            write();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{flag} {path}: cannot be written ({error.Message})", error);
        }
    }

    /// <summary>Refuses alphas that are no weights.</summary>
    /// <exception cref="InputException">There is none, one is outside [0, 1], or one is given twice.</exception>
    public static void CheckAlphas(IReadOnlyList<double> alphas, string flag = "--alpha")
    {
        if (alphas.Count == 0) throw new InputException($"{flag}: give at least one number between 0 and 1");
        foreach (double alpha in alphas)
        {
            if (!(alpha is >= 0 and <= 1)) throw new InputException(FormattableString.Invariant($"{flag} {alpha}: must be between 0 and 1"));
        }
        if (alphas.Distinct().Count() != alphas.Count) throw new InputException($"{flag}: the same number is given twice");
    }
}
