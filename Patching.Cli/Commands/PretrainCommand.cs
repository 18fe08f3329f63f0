using System.CommandLine;
using Patching.Cli.Output;
using Patching.Kernels;
using Patching.Model.Pipeline;

namespace Patching.Cli.Commands;

/// <summary><c>patching pretrain</c>: contrastive training of a whole CLIP on images with texts.</summary>
internal static class PretrainCommand
{
    private static readonly ArchitectureSettings Sizes = new();
    private static readonly PretrainSettings Defaults = new() { TrainDataset = "", DataLocation = "", Save = "" };

    private static readonly Option<string?> Model = new("--model") { Description = "Model to go on from; without it one is made from random weights." };

    private static readonly Option<string> Save = new("--save") { Description = "Folder for the model and the state of the training.", Required = true };

    private static readonly Option<string> TrainDataset = new("--train-dataset")
    {
        Description = "Images with texts: captions:FILE (.jsonl, .csv, .tsv), folder:PATH or a data set's name.",
        Required = true,
    };

    private static readonly Option<int> BatchSize = CommonOptions.Number("--batch-size", "Pairs per step; each is told from all others.", Defaults.BatchSize);
    private static readonly Option<int> MicroBatch = CommonOptions.Number("--micro-batch", "Pairs whose activations are in memory at once; 0 is the whole batch.", 0);
    private static readonly Option<double> WeightDecay = CommonOptions.Number("--wd", "Weight decay of matrices and embeddings.", Defaults.WeightDecay);
    private static readonly Option<int> Vocabulary = CommonOptions.Number("--vocabulary-size", "Most tokens of a learnt vocabulary.", Defaults.VocabularySize);
    private static readonly Option<int> ImageSize = CommonOptions.Number("--image-size", "Side of the images in pixels.", Sizes.ImageSize);
    private static readonly Option<int> PatchSize = CommonOptions.Number("--patch-size", "Side of a patch in pixels.", Sizes.PatchSize);
    private static readonly Option<int> Width = CommonOptions.Number("--width", "Channels of the image tower.", Sizes.Width);
    private static readonly Option<int> Layers = CommonOptions.Number("--layers", "Blocks of the image tower.", Sizes.Layers);
    private static readonly Option<int> Heads = CommonOptions.Number("--heads", "Attention heads of the image tower.", Sizes.Heads);
    private static readonly Option<int> TextWidth = CommonOptions.Number("--text-width", "Channels of the text tower.", Sizes.TextWidth);
    private static readonly Option<int> TextLayers = CommonOptions.Number("--text-layers", "Blocks of the text tower.", Sizes.TextLayers);
    private static readonly Option<int> TextHeads = CommonOptions.Number("--text-heads", "Attention heads of the text tower.", Sizes.TextHeads);
    private static readonly Option<int> ContextLength = CommonOptions.Number("--context-length", "Tokens of a text, start and end included.", Sizes.ContextLength);
    private static readonly Option<int> Embedding = CommonOptions.Number("--embedding", "Channels of the space that images and texts share.", Sizes.Embedding);

    private static readonly Option<int?> Warmup = new("--warmup_length", "--warmup-length") { Description = "Steps of linear warm-up; a twentieth of the run if not given." };

    public static Command Create()
    {
        Command command = new("pretrain", "Trains both towers of a CLIP on images with texts, from random weights or from a model.")
        {
            Model, CommonOptions.Tokenizer, TrainDataset, CommonOptions.DataLocation, Save, CommonOptions.Epochs, BatchSize, MicroBatch, CommonOptions.LearningRate,
            WeightDecay, Warmup, CommonOptions.ClipNorm, CommonOptions.Seed, Vocabulary, ImageSize, PatchSize, Width, Layers, Heads, TextWidth, TextLayers, TextHeads,
            ContextLength, Embedding, CommonOptions.Workers, CommonOptions.SkipBadImages, CommonOptions.Cache, CommonOptions.Overwrite, CommonOptions.Device,
            CommonOptions.Precision, CommonOptions.Threads,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        PretrainSettings settings = Settings(parsed);
        settings.Check();
        using Device device = CommonOptions.OpenDevice(parsed);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        PretrainPipeline pipeline = new(device, settings, progress.Events);
        pipeline.Run(cancellation);
        progress.Finish();
        parsed.InvocationConfiguration.Output.WriteLine(pipeline.ModelDirectory);
        return ExitCodes.Done;
    }

    private static PretrainSettings Settings(ParseResult parsed) => new()
    {
        Model = parsed.GetValue(Model),
        Tokenizer = parsed.GetValue(CommonOptions.Tokenizer),
        Architecture = new ArchitectureSettings
        {
            ImageSize = parsed.GetValue(ImageSize),
            PatchSize = parsed.GetValue(PatchSize),
            Width = parsed.GetValue(Width),
            Layers = parsed.GetValue(Layers),
            Heads = parsed.GetValue(Heads),
            TextWidth = parsed.GetValue(TextWidth),
            TextLayers = parsed.GetValue(TextLayers),
            TextHeads = parsed.GetValue(TextHeads),
            ContextLength = parsed.GetValue(ContextLength),
            Embedding = parsed.GetValue(Embedding),
        },
        VocabularySize = parsed.GetValue(Vocabulary),
        TrainDataset = parsed.GetRequiredValue(TrainDataset),
        DataLocation = parsed.GetRequiredValue(CommonOptions.DataLocation),
        Save = parsed.GetRequiredValue(Save),
        Epochs = parsed.GetValue(CommonOptions.Epochs),
        BatchSize = parsed.GetValue(BatchSize),
        MicroBatch = parsed.GetValue(MicroBatch),
        LearningRate = parsed.GetValue(CommonOptions.LearningRate),
        WeightDecay = parsed.GetValue(WeightDecay),
        WarmupLength = parsed.GetValue(Warmup),
        ClipNorm = parsed.GetValue(CommonOptions.ClipNorm),
        Seed = parsed.GetValue(CommonOptions.Seed),
        Precision = CommonOptions.PrecisionOf(parsed),
        Workers = parsed.GetValue(CommonOptions.Workers),
        SkipBadImages = parsed.GetValue(CommonOptions.SkipBadImages),
        Cache = parsed.GetValue(CommonOptions.Cache),
        Overwrite = parsed.GetValue(CommonOptions.Overwrite),
        Command = CommonOptions.AsTyped(parsed),
    };
}
