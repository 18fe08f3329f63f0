using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
using Patching.Cli.Commands;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Choosing;
using Patching.Model.Clip;
using Patching.Model.Pipeline;

namespace Patching.Cli;

/// <summary>Flags that several commands share. Those the original has keep its names.</summary>
internal static class CommonOptions
{
    public static Option<bool> Verbose { get; } = new("--verbose") { Description = "Show where an error came from.", Recursive = true };

    public static Option<bool> Offline { get; } = new("--offline") { Description = "Never use the network.", Recursive = true };

    public static Option<string> Model { get; } = NotEmpty(new Option<string>("--model")
    {
        Description = "Model directory (config.json, model.safetensors), checkpoint file (safetensors, .pt, .pth, .bin) or a name from patching models list.",
        Required = true,
    });

    public static Option<string?> Activation { get; } = Choice("--activation", "MLP non-linearity, where the model's files do not say it.", "quickgelu", "gelu");

    public static Option<string?> Tokenizer { get; } = NotEmpty(new Option<string?>("--tokenizer") { Description = "Folder with vocab.json and merges.txt, if not beside the model." });

    public static Option<string?> Device { get; } = Choice("--device", "Where to run; cuda if there is one, else cpu.", "cuda", "cpu", "simulator");

    public static Option<string?> Precision { get; } = Choice("--precision", "Arithmetic of the towers; bf16 on a GPU that has it, else fp32.", "bf16", "fp32");

    public static Option<int> Threads { get; } = Number("--threads", "Threads that compute on the CPU; 0 is all cores.", 0);

    public static Option<string> TrainDataset { get; } = new("--train-dataset") { Description = "Patching task: a data set's name (patching data list), folder:PATH, csv:FILE, typographic:PATH or manifest:FILE.", Required = true };

    public static Option<string?> EvalDatasets { get; } = new("--eval-datasets") { Description = "Data sets to evaluate, separated by commas; named as for --train-dataset." };

    public static Option<string> DataLocation { get; } = new("--data-location")
    {
        Description = "Folder that holds the data sets.",
        DefaultValueFactory = _ => "~/data",
    };

    public static Option<double[]> Alpha { get; } = new("--alpha")
    {
        Description = "Weights of the fine-tuned model to interpolate with, 0 to 1.",
        AllowMultipleArgumentsPerToken = true,
        Arity = ArgumentArity.OneOrMore,
        DefaultValueFactory = _ => [0.5],
        CustomParser = result => [.. result.Tokens.Select(token => Parse<double>("--alpha", token.Value, result))],
    };

    public static Option<double[]> SaveAlpha { get; } = Numbers("--save-alpha", "Alphas whose models are saved below --save; all of --alpha if not given, or the chosen one.");

    public static Option<string?> Choose { get; } = Choice("--choose", "Choose alpha on held-out images: the best mean of supported and patching accuracy.", "mean");

    public static Option<double?> MaxDrop { get; } =
        Maybe<double>("--max-drop", "Choose alpha on held-out images: the most patching accuracy while no supported task loses more than this many points.");

    public static Option<bool> Search { get; } = new("--search") { Description = "Search alpha adaptively instead of trying every --alpha." };

    public static Option<double> Resolution { get; } = Number("--resolution", "Distance of neighbouring alphas when choosing.", ChoiceSettings.DefaultResolution);

    public static Option<bool> Guard { get; } = new("--guard") { Description = "Exit with code 3 if a supported task loses more than --max-drop on the test images." };

    public static Option<int> Epochs { get; } = Number("--epochs", "Passes over the training data.", 10);

    public static Option<double> LearningRate { get; } = Number("--lr", "Highest learning rate.", 0.001);

    public static Option<double> WeightDecay { get; } = Number("--wd", "Weight decay.", 0.1);

    public static Option<double> LabelSmoothing { get; } = Number("--ls", "Label smoothing.", 0.0);

    public static Option<int> BatchSize { get; } = Number("--batch-size", "Images per step.", 128);

    public static Option<int?> WarmupLength { get; } = new("--warmup_length", "--warmup-length")
    {
        Description = $"Steps of linear warm-up ({PatchSettings.DefaultWarmupLength} if not given).",
        CustomParser = result => Parse<int>("--warmup_length", result.Tokens[0].Value, result),
    };

    public static Option<double> ClipNorm { get; } = Number("--clip-norm", "Largest norm of the gradient.", 1.0);

    public static Option<int> Seed { get; } = Number("--seed", "Decides the order of the images and their crops.", 0);

    public static Option<string?> ResultsDb { get; } = new("--results-db") { Description = "File that gets a line of JSON per evaluation." };

    public static Option<string?> Save { get; } = new("--save") { Description = "Folder for models, heads and the state of the training." };

    public static Option<string?> Load { get; } = NotEmpty(new Option<string?>("--load") { Description = "A fine-tuned model to use instead of training one." });

    public static Option<bool> TrainText { get; } = new("--train-text")
    {
        Description = "Fine-tune the text tower, too: contrastively, on the images and their class names in templates.",
    };

    public static Option<bool> EvalEveryEpoch { get; } = new("--eval-every-epoch") { Description = "Evaluate after every epoch, too." };

    public static Option<string?> ExpName { get; } = new("--exp_name", "--exp-name") { Description = "Name of the experiment in the results file." };

    public static Option<string?> BatchNorm { get; } = Choice(
        "--batch-norm", "Where a ResNet in training gets its statistics: from the checkpoint, or from each batch.", "frozen", "batch");

    public static Option<int> Workers { get; } = Number("--workers", "Threads that decode images.", Environment.ProcessorCount);

    public static Option<bool> SkipBadImages { get; } = new("--skip-bad-images") { Description = "Leave out images that cannot be read, and count them." };

    public static Option<int?> Shots { get; } = new("--shots")
    {
        Description = "Train on so many images of every class, chosen by --seed; on all if not given.",
        CustomParser = result => Parse<int>("--shots", result.Tokens[0].Value, result),
    };

    public static Option<bool> Balanced { get; } = new("--balanced") { Description = "Train on every class equally often, whatever its number of images." };

    public static Option<string?> Cache { get; } = NotEmpty(new Option<string?>("--cache") { Description = "Folder that keeps decoded images, so that later passes and runs decode nothing." });

    public static Option<bool> ReducedJpeg { get; } = new("--reduced-jpeg") { Description = "Decode large JPEGs at a fraction of their size: faster, not to the bit what Pillow gives." };

    public static Option<bool> DryRun { get; } = new("--dry-run")
    {
        Description = "Only print resolved settings, memory, disk and time, the latter from a few steps and images computed now; nothing is kept.",
    };

    public static Option<bool> Overwrite { get; } = new("--overwrite") { Description = "Replace what a run with other settings left in --save." };

    /// <summary>The folder or file that <see cref="Model"/> names; a published model is fetched first where the cache lacks it.</summary>
    public static string ModelOf(ParseResult parsed, CancellationToken cancellation = default) =>
        ModelsCommand.Resolve(parsed, parsed.GetRequiredValue(Model), cancellation);

    /// <summary>Opens the device the flags name.</summary>
    public static Device OpenDevice(ParseResult parsed)
    {
        int threads = parsed.GetValue(Threads);
        if (threads is < 0 or > PatchSettings.MostThreads) throw new InputException($"--threads {threads}: must be between 0 and {PatchSettings.MostThreads}");
        return parsed.GetValue(Device) switch
        {
            "cuda" => Kernels.Device.Open(DeviceKind.Cuda),
            "cpu" => Kernels.Device.Open(DeviceKind.Host, threads),
            "simulator" => Kernels.Device.Open(DeviceKind.Simulator),
            _ => Kernels.Device.OpenBest(threads),
        };
    }

    private static Option<T> NotEmpty<T>(Option<T> option)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens.Any(token => token.Value.Length == 0)) result.AddError($"{option.Name}: the name is empty");
        });
        return option;
    }

    /// <summary>The non-linearity the flags name, if any.</summary>
    public static ActivationKind? ActivationOf(ParseResult parsed) => parsed.GetValue(Activation) switch
    {
        "quickgelu" => ActivationKind.QuickGelu,
        "gelu" => ActivationKind.Gelu,
        _ => null,
    };

    /// <summary>Where a ResNet gets its statistics, if the flags say it.</summary>
    public static BatchNormStatistics? BatchNormOf(ParseResult parsed) => parsed.GetValue(BatchNorm) switch
    {
        "frozen" => BatchNormStatistics.Frozen,
        "batch" => BatchNormStatistics.Batch,
        _ => null,
    };

    /// <summary>The arithmetic the flags name, if any.</summary>
    public static TowerPrecision? PrecisionOf(ParseResult parsed) => parsed.GetValue(Precision) switch
    {
        "bf16" => TowerPrecision.BFloat16,
        "fp32" => TowerPrecision.Float32,
        _ => null,
    };

    /// <summary>A list written with commas.</summary>
    public static IReadOnlyList<string> Split(string? list) => (list ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>The command line as it was given, for the records.</summary>
    public static string AsTyped(ParseResult parsed) => "patching " + string.Join(' ', parsed.Tokens.Select(Quoted));

    /// <summary>An option that takes one of a few words.</summary>
    public static Option<string?> Choice(string name, string description, params string[] choices)
    {
        Option<string?> option = new(name) { Description = $"{description} One of {string.Join(", ", choices)}." };
        option.Validators.Add(result =>
        {
            string? value = result.Tokens.Count > 0 ? result.Tokens[0].Value : null;
            if (value is not null && !choices.Contains(value)) result.AddError($"{name} '{value}': must be one of {string.Join(", ", choices)}");
        });
        return option;
    }

    /// <summary>
    /// An option that takes one number. The library's own parser would ignore commas, so that 0,001 means 1, and name .NET types in its messages.
    /// </summary>
    public static Option<T> Number<T>(string name, string description, T byDefault)
        where T : struct, INumber<T> => new(name)
        {
            Description = description,
            DefaultValueFactory = _ => byDefault,
            CustomParser = result => Parse<T>(name, result.Tokens[0].Value, result),
        };

    /// <summary>An option that takes one number, or none.</summary>
    public static Option<T?> Maybe<T>(string name, string description)
        where T : struct, INumber<T> => new(name) { Description = description, CustomParser = result => Parse<T>(name, result.Tokens[0].Value, result) };

    /// <summary>An option that takes numbers, none if it is not given.</summary>
    public static Option<double[]> Numbers(string name, string description) => new(name)
    {
        Description = description,
        AllowMultipleArgumentsPerToken = true,
        Arity = ArgumentArity.OneOrMore,
        CustomParser = result => [.. result.Tokens.Select(token => Parse<double>(name, token.Value, result))],
    };

    private static T Parse<T>(string name, string text, ArgumentResult result)
        where T : struct, INumber<T>
    {
        bool whole = typeof(T) == typeof(int);
        if (T.TryParse(text, whole ? NumberStyles.AllowLeadingSign : NumberStyles.Float, CultureInfo.InvariantCulture, out T value)) return value;
        result.AddError($"{name} '{text}': is not a {(whole ? "whole number" : "number")}{(whole ? " that fits 32 bits" : ", such as 0.5")}");
        return default;
    }

    private static string Quoted(Token token) => token.Value.Contains(' ') ? $"'{token.Value}'" : token.Value;
}
