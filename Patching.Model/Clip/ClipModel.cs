using Patching.Kernels;
using Patching.Model.Data;
using Patching.Model.Images;
using Patching.Model.Text;
using Patching.Model.Weights;

namespace Patching.Model.Clip;

/// <summary>
/// A CLIP checkpoint opened on a device: the image tower's weights, resident, and the text side, loaded while a head is built and let go afterwards.
/// </summary>
public sealed class ClipModel : IDisposable
{
    private readonly ClipTokenizer? tokenizer;
    private ParameterSet? vision;

    private ClipModel(Device device, TowerPrecision precision, ClipCheckpoint checkpoint, ClipTokenizer? tokenizer)
    {
        Device = device;
        Precision = precision;
        Checkpoint = checkpoint;
        this.tokenizer = tokenizer;
        NormalizationTable table = new(checkpoint.Preprocess.Mean.AsSpan(), checkpoint.Preprocess.Std.AsSpan());
        Tower = ImageTower.Create(device, checkpoint.Config, table.Values);
    }

    /// <summary>Where the weights live.</summary>
    public Device Device { get; }

    /// <summary>The arithmetic of both towers.</summary>
    public TowerPrecision Precision { get; }

    /// <summary>The files.</summary>
    public ClipCheckpoint Checkpoint { get; }

    /// <summary>The architecture.</summary>
    public ClipConfig Config => Checkpoint.Config;

    /// <summary>The image tower's engine.</summary>
    public ImageTower Tower { get; }

    /// <summary>The image tower's weights as they are in the checkpoint: theta0. Loaded when first asked for, so that a fine-tune does without this copy.</summary>
    /// <exception cref="InputException">A weight is not a number.</exception>
    public ParameterSet Vision => vision ??= LoadVision();

    /// <summary>Opens a checkpoint and checks everything but the values, which are checked as they are loaded, or all at once if asked for.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="path">A model directory or a safetensors file.</param>
    /// <param name="activation">The non-linearity, where the user states it.</param>
    /// <param name="tokenizerDirectory">Where vocab.json and merges.txt are, if not beside the model.</param>
    /// <param name="precision">The arithmetic of both towers; null is the fastest that device and model have.</param>
    /// <param name="checkNumbers">Whether to read every value now: for work that writes something before it has loaded both towers.</param>
    /// <exception cref="InputException">The checkpoint cannot be used.</exception>
    public static ClipModel Open(
        Device device, string path, ActivationKind? activation = null, string? tokenizerDirectory = null, TowerPrecision? precision = TowerPrecision.Float32,
        bool checkNumbers = false)
    {
        ClipCheckpoint checkpoint = ClipCheckpoint.Open(path, activation);
        try
        {
            TowerPrecision arithmetic = TowerPrecisions.On(device, precision, checkpoint.Config);
            if (checkpoint.Preprocess.Size != checkpoint.Config.Image.ImageSize)
                throw new InputException(
                    $"{path}: preprocessor_config.json makes images of {checkpoint.Preprocess.Size} pixels, config.json's image tower takes {checkpoint.Config.Image.ImageSize}");
            if (checkNumbers) checkpoint.CheckNumbers();
            string? directory = tokenizerDirectory ?? checkpoint.TokenizerDirectory;
            return new ClipModel(device, arithmetic, checkpoint, directory is null ? null : ClipTokenizer.Load(directory));
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>The tokenizer of the text tower.</summary>
    /// <exception cref="InputException">The model has no text tower or no tokenizer, or one that is not its own.</exception>
    public ClipTokenizer Tokenizer
    {
        get
        {
            if (Config.Text is null)
                throw new InputException($"{Checkpoint.Path}: has no text tower, so no head can be built from class names; use a complete CLIP model");
            ClipTokenizer words = tokenizer ?? throw new InputException(
                $"{Checkpoint.Path}: no vocab.json and merges.txt beside the model, so class names cannot be encoded; name their folder with --tokenizer");
            RequireTokenizerOfModel(words, Config.Text);
            return words;
        }
    }

    /// <summary>Builds the zero-shot head of a data set from its class names and templates, with the checkpoint's text tower.</summary>
    /// <exception cref="InputException">The model has no text tower or no tokenizer.</exception>
    public ZeroShotHead BuildHead(IReadOnlyList<string> classNames, IReadOnlyList<string> templates)
    {
        _ = Tokenizer;
        using ParameterSet text = new(Device, "text parameters", ParameterTable.Text(Config), Precision);
        text.Load(Checkpoint.Read);
        return BuildHead(classNames, templates, text);
    }

    /// <summary>The same with another text tower, one that was trained.</summary>
    /// <param name="classNames">Names of the classes.</param>
    /// <param name="templates">Prompts with a place for the name.</param>
    /// <param name="text">Weights that hold those of the text tower, in this model's precision.</param>
    /// <exception cref="InputException">The model has no text tower or no tokenizer.</exception>
    public ZeroShotHead BuildHead(IReadOnlyList<string> classNames, IReadOnlyList<string> templates, ParameterSet text)
    {
        ClipTokenizer words = Tokenizer;
        TextTransformer tower = new(Device, Config, Precision);
        double scale = Math.Exp(text["logit_scale"].ToArray()[0]);
        return ZeroShotHead.Build(
            classNames, [.. templates.Select(Fill)], prompts => tower.Encode(text, [.. prompts.Select(prompt => words.Tokenize(prompt, Config.Text!.ContextLength))]),
            Config.EmbeddingWidth, scale);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        vision?.Dispose();
        Tower.Dispose();
        Checkpoint.Dispose();
    }

    private void RequireTokenizerOfModel(ClipTokenizer words, TextConfig text)
    {
        if (words.VocabularySize > text.VocabularySize)
            throw new InputException($"{Checkpoint.Path}: the tokenizer has {words.VocabularySize} tokens, the model {text.VocabularySize}; they do not belong together");
        // Every text would be read at the same meaningless place.
        int read = text.Pooling == TextPooling.FirstEndOfText ? text.EndOfTextId : words.VocabularySize - 1;
        if (words.EndOfText != read)
            throw new InputException($"{Checkpoint.Path}: the model reads texts at token {read}, the tokenizer ends them with {words.EndOfText}; they do not belong together");
    }

    private ParameterSet LoadVision()
    {
        ParameterSet weights = new(Device, "original parameters", ParameterTable.Vision(Config), Precision);
        weights.Load(Checkpoint.Read);
        return weights;
    }

    private static Func<string, string> Fill(string template) => name => template.Replace(ZeroShotPrompts.Placeholder, name, StringComparison.Ordinal);
}
