using System.Collections.Immutable;
using System.Globalization;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// Infers the architecture of an OpenAI-named checkpoint from the shapes of its tensors, by the rules of the original's <c>build_model</c>:
/// heads are width / 64, layers are counted, the image size is grid * patch, or grid * 32 for a ResNet. The activation leaves no trace in the shapes.
/// </summary>
internal static class OpenAiArchitecture
{
    // Every CLIP that comes without a config has heads of this size.
    private const int HeadSize = 64;

    private const int FirstWidthWithOtherHeads = 1280;

    private const string FirstBottleneck = "visual.layer1.0.conv1.weight";
    private const string AttentionPositions = "visual.attnpool.positional_embedding";
    private const string AttentionOutput = "visual.attnpool.c_proj.weight";

    /// <summary>The architecture of the file's tensors.</summary>
    /// <param name="file">A file with OpenAI's names.</param>
    /// <param name="activation">The activation, where the user states it.</param>
    /// <exception cref="InputException">
    /// Tensors that the shapes are read from are missing or have the wrong number of dimensions (all are named), or nothing says which
    /// activation it is.
    /// </exception>
    public static ClipConfig Infer(TensorFile file, ActivationKind? activation)
    {
        bool resNet = file.Tensors.ContainsKey(FirstBottleneck), hasText = file.Tensors.Keys.Any(OpenAiNames.IsText);
        RequireShapes(file, resNet, hasText);
        int embedding = resNet ? Shape(file, AttentionOutput)[0] : Shape(file, "visual.proj")[1];
        // Without a text tower a ResNet has no MLP, so that its activation is no question.
        bool needsActivation = hasText || !resNet;
        var config = new ClipConfig(
            embedding, resNet ? InferResNet(file) : InferTransformer(file), hasText ? InferText(file) : null,
            activation ?? (needsActivation ? FindActivation(file) : ActivationKind.QuickGelu), ClipConfig.DefaultLayerNormEpsilon);
        config.Check(file.Path);
        CheckScalars(file, config);
        return config;
    }

    private static VisionConfig InferTransformer(TensorFile file)
    {
        int[] conv = Shape(file, "visual.conv1.weight");
        int grid = Grid(file, "visual.positional_embedding");
        return new VisionConfig(
            ImageSize: Product(file, grid, conv[3]), conv[3], Width: conv[0], Layers(file, "visual.transformer.resblocks."),
            ImageHeads(file, conv[0]), MlpWidth: Shape(file, "visual.transformer.resblocks.0.mlp.c_fc.weight")[0]);
    }

    private static ResNetConfig InferResNet(TensorFile file)
    {
        int width = Shape(file, FirstBottleneck)[0];
        ImmutableArray<int> blocks = [.. Enumerable.Range(1, ResNetConfig.Stages).Select(stage => Layers(file, $"visual.layer{stage}."))];
        int imageSize = Product(file, Grid(file, AttentionPositions), ResNetConfig.Reduction);
        return new ResNetConfig(imageSize, blocks, width, Heads: Math.Max(1, width / (ResNetConfig.HeadSize / ResNetConfig.Reduction)));
    }

    /// <summary>Patches or pixels along one side of the image, from the number of positions.</summary>
    private static int Grid(TensorFile file, string positions)
    {
        int rows = Shape(file, positions)[0], grid = (int)Math.Round(Math.Sqrt(Math.Max(rows - 1, 0)));
        return grid >= 1 && grid * grid + 1 == rows
            ? grid
            : throw new InputException($"{file.Path}: {positions} has {rows} rows; expected a square number of patches plus 1");
    }

    private static ActivationKind FindActivation(TensorFile file)
    {
        if (file.Metadata.TryGetValue(ClipCheckpoint.ActivationKey, out string? name))
            return HuggingFaceConfig.ParseActivation(name)
                ?? throw new InputException(
                    $"{file.Path}: the metadata's activation is '{HostileText.Show(name)}'; known: quick_gelu, gelu");
        bool isOpenAiExport = file.Tensors.ContainsKey(OpenAiNames.InputResolution)
            && file.Tensors.ContainsKey(OpenAiNames.ContextLength) && file.Tensors.ContainsKey(OpenAiNames.VocabularySize);
        if (isOpenAiExport) return ActivationKind.QuickGelu;
        throw new InputException(
            $"{file.Path}: does not say which activation it uses; state quick_gelu (OpenAI's weights) or gelu (most open_clip weights)");
    }

    private static TextConfig InferText(TensorFile file)
    {
        int[] tokens = Shape(file, "token_embedding.weight");
        return new TextConfig(
            ContextLength: Shape(file, "positional_embedding")[0], VocabularySize: tokens[0], Width: tokens[1],
            Layers(file, "transformer.resblocks."), Heads(file, tokens[1]),
            MlpWidth: Shape(file, "transformer.resblocks.0.mlp.c_fc.weight")[0], TextPooling.ArgMaxId, EndOfTextId: tokens[0] - 1);
    }

    private static void RequireShapes(TensorFile file, bool resNet, bool hasText)
    {
        List<(string Name, int Rank)> needed = resNet
            ? [(FirstBottleneck, 4), (AttentionPositions, 2), (AttentionOutput, 2)]
            :
            [
                ("visual.conv1.weight", 4), ("visual.positional_embedding", 2), ("visual.proj", 2),
                ("visual.transformer.resblocks.0.mlp.c_fc.weight", 2),
            ];
        if (hasText)
            needed.AddRange([("token_embedding.weight", 2), ("positional_embedding", 2), ("transformer.resblocks.0.mlp.c_fc.weight", 2)]);
        string[] problems = [.. needed.Select(tensor => Problem(file, tensor.Name, tensor.Rank)).OfType<string>()];
        if (problems.Length > 0)
            throw new InputException($"{file.Path}: does not show its architecture: {string.Join("; ", problems)}; give a complete file");
    }

    private static string? Problem(TensorFile file, string name, int rank)
    {
        if (!file.Tensors.TryGetValue(name, out TensorEntry? entry)) return $"{name} is missing";
        bool fits = entry.Shape.Length == rank && entry.Shape.All(size => size is > 0 and <= int.MaxValue);
        return fits ? null : string.Create(CultureInfo.InvariantCulture, $"{name} is {entry.ShapeText}, expected {rank} sizes");
    }

    private static int[] Shape(TensorFile file, string name) => [.. file.Tensors[name].Shape.Select(size => (int)size)];

    /// <summary>One more than the largest index after the prefix; gaps show later as missing tensors.</summary>
    private static int Layers(TensorFile file, string prefix)
    {
        int layers = 0;
        foreach (string name in file.Tensors.Keys)
        {
            if (!name.StartsWith(prefix, StringComparison.Ordinal)) continue;
            int end = name.IndexOf('.', prefix.Length);
            // Longer numbers are no layers of any CLIP; such names are reported as unexpected tensors.
            if (end < 0 || end - prefix.Length > 3) continue;
            ReadOnlySpan<char> digits = name.AsSpan(prefix.Length, end - prefix.Length);
            if (int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int index))
                layers = Math.Max(layers, index + 1);
        }
        return layers;
    }

    /// <summary>open_clip's towers from ViT-H on have heads of 80 to 104 channels, which no shape shows.</summary>
    private static int ImageHeads(TensorFile file, int width)
    {
        if (width >= FirstWidthWithOtherHeads && !file.Tensors.ContainsKey(OpenAiNames.InputResolution))
            throw new InputException(
                $"{file.Path}: an image tower of width {width} may have heads of any size; put its {OpenClipConfig.FileName} or config.json beside it and give the folder");
        return Heads(file, width);
    }

    private static int Heads(TensorFile file, int width) => width % HeadSize == 0
        ? width / HeadSize
        : throw new InputException(
            $"{file.Path}: width {width} is not a multiple of {HeadSize}, so its number of heads is unknown; add a config.json");

    private static int Product(TensorFile file, int grid, int patch)
    {
        long size = (long)grid * patch;
        return size <= int.MaxValue ? (int)size : throw new InputException($"{file.Path}: the image size {size} is impossible");
    }

    private static void CheckScalars(TensorFile file, ClipConfig config)
    {
        CheckScalar(file, OpenAiNames.InputResolution, config.Image.ImageSize);
        if (config.Text is not { } text) return;
        CheckScalar(file, OpenAiNames.ContextLength, text.ContextLength);
        CheckScalar(file, OpenAiNames.VocabularySize, text.VocabularySize);
    }

    private static void CheckScalar(TensorFile file, string name, int expected)
    {
        if (!file.Tensors.ContainsKey(name)) return;
        long value = file.ReadInt64Scalar(name);
        if (value != expected)
            throw new InputException($"{file.Path}: {name} is {value}, but the shapes of the tensors say {expected}; the file is damaged");
    }
}
