using System.Collections.Immutable;
using System.Globalization;
using Patching.Model.Clip;

namespace Patching.Model.Merging;

/// <summary>
/// An interpolation coefficient per layer instead of one for the whole model. Layers are <c>visual.stem</c> (everything before the blocks), <c>visual.0</c> ... (of a ResNet
/// <c>visual.layer1.0</c> ...) and <c>visual.head</c> (everything after them), and the same with <c>text.</c>
/// </summary>
public sealed class LayerCoefficients
{
    private const string VisualPrefix = "visual.";
    private const string TextPrefix = "text.";
    private const string BlockMark = "resblocks.";
    private const string StagePrefix = "visual.layer";

    private static readonly string[] HeadParts = ["ln_post", "visual.proj", "attnpool", "ln_final", "text_projection", "logit_scale"];

    private readonly Dictionary<string, double> values;

    private LayerCoefficients(Dictionary<string, double> values, string description)
    {
        this.values = values;
        Description = description;
    }

    /// <summary>The coefficients in words, for the record.</summary>
    public string Description { get; }

    /// <summary>The layers of an architecture, in the order of the forward pass: the image tower's, then the text tower's.</summary>
    public static ImmutableArray<string> Layers(ClipConfig config) => [.. ParameterTable.All(config).Select(LayerOf).Distinct()];

    /// <summary>The layer that a parameter belongs to.</summary>
    public static string LayerOf(ParameterSpec spec)
    {
        string tower = spec.Name.StartsWith(VisualPrefix, StringComparison.Ordinal) ? VisualPrefix : TextPrefix;
        int block = spec.Name.IndexOf(BlockMark, StringComparison.Ordinal);
        if (block >= 0)
        {
            ReadOnlySpan<char> rest = spec.Name.AsSpan(block + BlockMark.Length);
            return $"{tower}{rest[..rest.IndexOf('.')]}";
        }
        if (spec.Name.StartsWith(StagePrefix, StringComparison.Ordinal)) return string.Join('.', spec.Name.Split('.').Take(3));
        return tower + (HeadParts.Any(part => spec.Name.Contains(part, StringComparison.Ordinal)) ? "head" : "stem");
    }

    /// <summary>
    /// LiNeS (Wang et al. 2025): <c>a_l = alpha + slope (l - 1) / (L - 1)</c> for blocks l = 1 ... L of a tower, so that early layers, which other tasks share, change less. The stem goes with
    /// the first block, the head with the last. Single layers can be set by hand.
    /// </summary>
    /// <param name="config">The architecture.</param>
    /// <param name="alpha">Coefficient of the first layer; of all, where the slope is zero.</param>
    /// <param name="slope">What the last layer's coefficient is larger by.</param>
    /// <param name="single">Layers with a coefficient of their own, <c>visual.3=0.25</c>.</param>
    /// <exception cref="InputException">There is no such layer, or a number is none.</exception>
    public static LayerCoefficients Create(ClipConfig config, double alpha, double slope, IReadOnlyList<string> single)
    {
        if (!double.IsFinite(alpha) || !double.IsFinite(slope)) throw new InputException("--alpha, --slope: must be finite numbers");
        Dictionary<string, double> values = [];
        foreach (string prefix in (string[])[VisualPrefix, TextPrefix])
        {
            string[] tower = [.. Layers(config).Where(layer => layer.StartsWith(prefix, StringComparison.Ordinal))];
            int blocks = tower.Length - 2;
            for (int i = 0; i < tower.Length; i++)
                values[tower[i]] = alpha + (blocks > 1 ? slope * Math.Clamp(i - 1, 0, blocks - 1) / (blocks - 1) : 0);
        }
        foreach (string setting in single) Set(values, setting);
        string byHand = string.Concat(single.Select(setting => " " + setting));
        return new LayerCoefficients(values, string.Create(CultureInfo.InvariantCulture, $"layers alpha={alpha:R} slope={slope:R}{byHand}"));
    }

    /// <summary>Given coefficients, one per layer of the image tower; the text tower stays as it is in the base.</summary>
    /// <param name="layers">The first of <see cref="Layers"/>.</param>
    /// <param name="coefficients">Their coefficients.</param>
    public static LayerCoefficients Of(IReadOnlyList<string> layers, IReadOnlyList<double> coefficients) => new(
        layers.Zip(coefficients).ToDictionary(),
        "layers " + string.Join(' ', layers.Zip(coefficients, (layer, a) => string.Create(CultureInfo.InvariantCulture, $"{layer}={a:R}"))));

    /// <summary>The merge of base and tuned model, <c>(1 - a_l) theta_0 + a_l theta_1</c>.</summary>
    public LinearCombination Method() => new(Description, spec =>
    {
        double a = values.GetValueOrDefault(LayerOf(spec));
        return [1 - a, a];
    });

    private static void Set(Dictionary<string, double> values, string setting)
    {
        int at = setting.IndexOf('=');
        string layer = at < 0 ? setting : setting[..at];
        if (!values.ContainsKey(layer)) throw new InputException($"--layer {setting}: the model has no layer '{layer}'; its layers are {string.Join(", ", values.Keys)}");
        if (at < 0 || !double.TryParse(setting.AsSpan(at + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) || !double.IsFinite(value))
            throw new InputException($"--layer {setting}: write LAYER=NUMBER, such as visual.0=0.25");
        values[layer] = value;
    }
}
