using Patching.Kernels;

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

    /// <summary>Threads that decode images.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <summary>Leave out images that cannot be read, and count them.</summary>
    public bool SkipBadImages { get; init; }

    /// <summary>Replace results of a run with other settings in <see cref="Save"/>.</summary>
    public bool Overwrite { get; init; }

    /// <summary>The command line, recorded in everything that is written.</summary>
    public string Command { get; init; } = "";

    /// <summary>Steps of warm-up when the user names none.</summary>
    public const int DefaultWarmupLength = 500;

    /// <summary>Refuses impossible values before anything is opened.</summary>
    /// <exception cref="InputException">The message names the flag.</exception>
    public void Check()
    {
        CheckAlphas(Alphas);
        if (Workers < 1) throw new InputException($"--workers {Workers}: must be 1 or more");
    }

    /// <summary>Refuses alphas that are no weights.</summary>
    /// <exception cref="InputException">There is none, one is outside [0, 1], or one is given twice.</exception>
    public static void CheckAlphas(IReadOnlyList<double> alphas)
    {
        if (alphas.Count == 0) throw new InputException("--alpha: give at least one number between 0 and 1");
        foreach (double alpha in alphas)
        {
            if (!(alpha is >= 0 and <= 1)) throw new InputException(FormattableString.Invariant($"--alpha {alpha}: must be between 0 and 1"));
        }
        if (alphas.Distinct().Count() != alphas.Count) throw new InputException("--alpha: the same number is given twice");
    }
}
