using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Text;

namespace Patching.Model.Pipeline;

/// <summary>What <c>patching pretrain</c> was asked to do.</summary>
public sealed record PretrainSettings
{
    /// <summary>A model to go on from; null starts from random weights of <see cref="Architecture"/>.</summary>
    public string? Model { get; init; }

    /// <summary>Where vocab.json and merges.txt are; null takes the model's, or learns a vocabulary from the texts.</summary>
    public string? Tokenizer { get; init; }

    /// <summary>Sizes of a model from random weights.</summary>
    public ArchitectureSettings Architecture { get; init; } = new();

    /// <summary>Most tokens of a learnt vocabulary.</summary>
    public int VocabularySize { get; init; } = 4096;

    /// <summary>Images and texts: <c>captions:FILE</c>, <c>folder:PATH</c> or a data set's name; classes are described with the data set's templates.</summary>
    public required string TrainDataset { get; init; }

    /// <summary>Folder that holds the data sets.</summary>
    public required string DataLocation { get; init; }

    /// <summary>Folder that gets the model, and the state of the training in <c>pretrain</c>.</summary>
    public required string Save { get; init; }

    /// <summary>Passes over the pairs.</summary>
    public int Epochs { get; init; } = 10;

    /// <summary>Pairs per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Pairs whose activations are in memory at once; 0 is the whole batch.</summary>
    public int MicroBatch { get; init; }

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>Weight decay of matrices and embeddings.</summary>
    public double WeightDecay { get; init; } = 0.2;

    /// <summary>Steps of warm-up; null is a twentieth of the run.</summary>
    public int? WarmupLength { get; init; }

    /// <summary>Largest norm of the gradient.</summary>
    public double ClipNorm { get; init; } = 1.0;

    /// <summary>Decides initial weights, order, crops and templates.</summary>
    public int Seed { get; init; }

    /// <summary>Arithmetic of the towers; null is the fastest that the device has.</summary>
    public TowerPrecision? Precision { get; init; }

    /// <summary>Threads that decode images.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <summary>Leave out images that cannot be read, and count them.</summary>
    public bool SkipBadImages { get; init; }

    /// <summary>Folder that keeps decoded images between passes and runs; null keeps none.</summary>
    public string? Cache { get; init; }

    /// <summary>Replace what a run with other settings left in <see cref="Save"/>.</summary>
    public bool Overwrite { get; init; }

    /// <summary>The command line, recorded in the model.</summary>
    public string Command { get; init; } = "";

    /// <summary>Refuses impossible values before anything is opened.</summary>
    /// <exception cref="InputException">The message names the flag.</exception>
    public void Check()
    {
        PatchSettings.CheckBatchSize(BatchSize);
        Require(BatchSize > 1, $"--batch-size {BatchSize}: contrastive training compares pairs, so a batch needs at least 2");
        Require(MicroBatch >= 0, $"--micro-batch {MicroBatch}: must be 0 (the whole batch) or more");
        Require(Epochs >= 1, $"--epochs {Epochs}: must be 1 or more");
        Require(float.IsFinite((float)LearningRate) && LearningRate >= 0, $"--lr {LearningRate}: must be a number of 0 or more");
        Require(float.IsFinite((float)WeightDecay) && WeightDecay >= 0, $"--wd {WeightDecay}: must be a number of 0 or more");
        Require(float.IsFinite((float)ClipNorm) && ClipNorm > 0, $"--clip-norm {ClipNorm}: must be a positive number");
        Require(WarmupLength is null or >= 0, $"--warmup_length {WarmupLength}: must be 0 or more");
        Require(Workers is >= 1 and <= PatchSettings.MostThreads, $"--workers {Workers}: must be between 1 and {PatchSettings.MostThreads}");
        Require(
            VocabularySize >= VocabularyTrainer.SmallestVocabulary,
            $"--vocabulary-size {VocabularySize}: a byte-level vocabulary has at least {VocabularyTrainer.SmallestVocabulary} tokens");
        PatchSettings.CheckFolder("--save", Save);
        if (Cache is not null) PatchSettings.CheckFolder("--cache", Cache);
    }

    private static void Require(bool holds, FormattableString message)
    {
        if (!holds) throw new InputException(FormattableString.Invariant(message));
    }
}

/// <summary>Sizes of a model that is trained from random weights; the defaults make a small one that two cores train in minutes.</summary>
public sealed record ArchitectureSettings
{
    /// <summary>Side of the images in pixels.</summary>
    public int ImageSize { get; init; } = 32;

    /// <summary>Side of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 8;

    /// <summary>Channels of the image tower.</summary>
    public int Width { get; init; } = 128;

    /// <summary>Blocks of the image tower.</summary>
    public int Layers { get; init; } = 4;

    /// <summary>Attention heads of the image tower.</summary>
    public int Heads { get; init; } = 2;

    /// <summary>Channels of the text tower.</summary>
    public int TextWidth { get; init; } = 64;

    /// <summary>Blocks of the text tower.</summary>
    public int TextLayers { get; init; } = 2;

    /// <summary>Attention heads of the text tower.</summary>
    public int TextHeads { get; init; } = 1;

    /// <summary>Tokens of a text, start and end included.</summary>
    public int ContextLength { get; init; } = 32;

    /// <summary>Channels of the shared space.</summary>
    public int Embedding { get; init; } = 64;

    /// <summary>The model's configuration, checked.</summary>
    /// <param name="vocabulary">Tokens of the vocabulary.</param>
    /// <param name="endOfText">Id of the end-of-text token, the last one.</param>
    /// <exception cref="InputException">The sizes do not fit together.</exception>
    public ClipConfig ToConfig(int vocabulary, int endOfText)
    {
        ClipConfig config = new(
            Embedding,
            new VisionConfig(ImageSize, PatchSize, Width, Layers, Heads, 4 * Width),
            new TextConfig(ContextLength, vocabulary, TextWidth, TextLayers, TextHeads, 4 * TextWidth, TextPooling.ArgMaxId, endOfText),
            ActivationKind.QuickGelu,
            ClipConfig.DefaultLayerNormEpsilon);
        config.Check("the architecture");
        return config;
    }
}
