using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Patching.Cli;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;
using Patching.Tests.Model.Data;
using Patching.Tests.Model.Text;

namespace Patching.Tests.Cli;

/// <summary>What a command left: exit code, results, talk.</summary>
internal sealed record Outcome(int Code, string Output, string Error)
{
    public string[] ErrorLines => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    public string[] OutputLines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>
/// A folder with everything a patch needs, small enough to run in a fraction of a second: <c>model</c>, a complete CLIP with seeded random weights and a
/// vocabulary of a few hundred tokens, and <c>colours</c>, squares of three colours in <c>train</c> and <c>test</c>. Commands run through the real command line.
/// </summary>
internal sealed partial class TinyWorld : IDisposable
{
    public const int TrainImages = 36;
    public const int TestImages = 15;

    private static readonly Lazy<string> Template = new(MakeTemplate);

    public TinyWorld() => Copy(Template.Value, Root);

    public static ClipConfig Config { get; } = MakeConfig(visionWidth: 16);

    public string Root { get; } = Directory.CreateTempSubdirectory("patching-cli-").FullName;

    public string Model => this["model"];

    public string Weights => this["model", "model.safetensors"];

    public string Colours => this["colours"];

    public string Dataset => "folder:" + Colours;

    public string Save => this["save"];

    public string this[params string[] parts] => Path.Combine([Root, .. parts]);

    /// <summary>Runs the command line as the process would.</summary>
    public static Outcome Run(string[] args, CancellationToken cancellation = default)
    {
        StringWriter output = new() { NewLine = "\n" }, error = new() { NewLine = "\n" };
        int code = PatchingCommandLine.Run(args, output, error, cancellation);
        return new Outcome(code, output.ToString(), error.ToString());
    }

    /// <summary>Runs a command that has to succeed.</summary>
    public static Outcome Do(params string[] args)
    {
        Outcome outcome = Run(args);
        Assert.That(outcome.Code, Is.Zero, outcome.Error);
        return outcome;
    }

    /// <summary>Arguments of a short patch that learns the colours; later arguments can add to them but not repeat them.</summary>
    public string[] Patch(params string[] more) => Defaults(
        ["patch", "--model", Model, "--train-dataset", Dataset, "--eval-datasets", Dataset],
        [("--epochs", "2"), ("--lr", "0.01"), ("--warmup_length", "2"), ("--batch-size", "4"), ("--save", Save), ("--device", "cpu"), ("--threads", "2"), ("--workers", "2")],
        more);

    /// <summary>Arguments of an evaluation on the colours.</summary>
    public string[] Evaluate(string model, params string[] more) => Defaults(
        ["evaluate", "--model", model, "--eval-datasets", Dataset],
        [("--batch-size", "4"), ("--device", "cpu"), ("--threads", "2"), ("--workers", "2")],
        more);

    /// <summary>Every file below a folder with the hash of its content.</summary>
    public static Dictionary<string, string> Snapshot(string folder) =>
        !Directory.Exists(folder) ? [] : Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .ToDictionary(file => Path.GetRelativePath(folder, file), file => Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(file))));

    /// <summary>The bytes of a weights file without the command line in its header, the one thing in it that may differ between equal models.</summary>
    public static byte[] WithoutCommand(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int header = 8 + (int)BitConverter.ToInt64(file);
        string json = Encoding.UTF8.GetString(file.AsSpan(8, header - 8)).TrimEnd();
        return [.. Encoding.UTF8.GetBytes(Command().Replace(json, "")), .. file.AsSpan(header)];
    }

    /// <summary>The weights that the models of some alphas hold, and the state of the training, must be the same in both folders.</summary>
    public static void AssertSameModels(string expected, string actual, params string[] alphas)
    {
        foreach (string alpha in alphas)
        {
            string[] file = [$"alpha={alpha}", "model.safetensors"];
            Assert.That(
                WithoutCommand(Path.Combine([actual, .. file])).AsSpan().SequenceEqual(WithoutCommand(Path.Combine([expected, .. file]))), Is.True, $"alpha {alpha}");
        }
        foreach (string file in (string[])["training-state.safetensors", "training.jsonl"])
        {
            byte[] a = File.ReadAllBytes(Path.Combine(expected, "finetune", file)), b = File.ReadAllBytes(Path.Combine(actual, "finetune", file));
            Assert.That(b.AsSpan().SequenceEqual(a), Is.True, file);
        }
    }

    /// <summary>Writes a model directory like the tiny one with something changed.</summary>
    public static void WriteModel(string directory, ClipConfig config, int seed = 1, string? tokenizer = null) =>
        CheckpointWriter.Save(
            directory, config, PreprocessConfig.Default(config.Image.ImageSize), (spec, values) => Fill(spec, values, seed), tokenizerDirectory: tokenizer);

    /// <summary>The tiny architecture with another width of the image tower, or without text tower.</summary>
    public static ClipConfig MakeConfig(int visionWidth, bool withText = true) => new(
        EmbeddingWidth: 16, new VisionConfig(ImageSize: 16, PatchSize: 8, visionWidth, Layers: 1, Heads: 1, MlpWidth: 32),
        withText
            ? new TextConfig(ContextLength: 24, VocabularySize: 523, Width: 16, Layers: 1, Heads: 1, MlpWidth: 32, TextPooling.ArgMaxId, EndOfTextId: 522)
            : null,
        ActivationKind.QuickGelu, ClipConfig.DefaultLayerNormEpsilon);

    /// <summary>The tiny architecture with a ResNet as image tower.</summary>
    public static ClipConfig ResNetConfig { get; } = Config with { Image = new ResNetConfig(ImageSize: 32, Blocks: [1, 1, 1, 1], Width: 2, Heads: 1) };

    public void Dispose() => Directory.Delete(Root, recursive: true);

    /// <summary>Removes what all worlds are copied from.</summary>
    public static void RemoveTemplate()
    {
        if (Template.IsValueCreated) Directory.Delete(Template.Value, recursive: true);
    }

    public static void Copy(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    /// <summary>A command with default flags, those left out that are given.</summary>
    public static string[] Defaults(string[] start, (string Flag, string Value)[] defaults, string[] more) =>
        [.. start, .. defaults.Where(pair => !more.Contains(pair.Flag)).SelectMany(pair => (string[])[pair.Flag, pair.Value]), .. more];

    private static string MakeTemplate()
    {
        string root = Directory.CreateTempSubdirectory("patching-world-").FullName;
        using (TinyVocabulary vocabulary = new TinyVocabulary().Write()) WriteModel(Path.Combine(root, "model"), Config, tokenizer: vocabulary.Folder);
        WriteImages(Path.Combine(root, "colours", "train"), TrainImages / 3, 0);
        WriteImages(Path.Combine(root, "colours", "test"), TestImages / 3, 7);
        return root;
    }

    private static void WriteImages(string folder, int perClass, int shift)
    {
        string[] names = ["red", "lime_green", "blue"];
        for (int k = 0; k < names.Length; k++)
        {
            Directory.CreateDirectory(Path.Combine(folder, names[k]));
            for (int i = 0; i < perClass; i++)
            {
                byte strong = (byte)(150 + (i * 8 + shift) % 100), weak = (byte)((i * 5 + shift) % 60);
                byte[] rgb = [weak, weak, weak];
                rgb[k] = strong;
                string path = Path.Combine(folder, names[k], $"{i:00}{(i % 2 == 0 ? ".png" : ".ppm")}");
                if (i % 2 == 0) SyntheticFiles.Png(path, 18 + i, 20, rgb[0], rgb[1], rgb[2]);
                else SyntheticFiles.Ppm(path, 17, 16 + i, rgb[0], rgb[1], rgb[2]);
            }
        }
    }

    // Uniform numbers of about the spread that training starts from in practice; gains and variances near one.
    private static void Fill(ParameterSpec spec, Span<float> values, int seed)
    {
        uint state = (uint)seed * 2654435761;
        foreach (char letter in spec.Name) state = state * 31 + letter;
        bool norm = spec.Shape.Length == 1 && spec.Name.EndsWith("weight", StringComparison.Ordinal);
        bool gain = norm || spec.Name.EndsWith("running_var", StringComparison.Ordinal);
        float spread = spec.Shape.Length < 2 ? 0.1f : 1 / MathF.Sqrt(spec.Length / spec.Shape[0]);
        for (int i = 0; i < values.Length; i++)
        {
            state = state * 1664525 + 1013904223;
            float uniform = ((state >> 8) / (float)(1 << 23) - 1) * spread;
            values[i] = gain ? 1 + uniform : spec.Name == "logit_scale" ? 2.3f : uniform;
        }
    }

    [GeneratedRegex("\"command\":\"(?:[^\"\\\\]|\\\\.)*\",?")]
    private static partial Regex Command();
}
