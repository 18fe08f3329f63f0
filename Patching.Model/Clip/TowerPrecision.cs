using System.Text.Json.Serialization;
using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>The arithmetic of the towers. Files always hold single precision; so do the weights that the optimizer updates, their gradients and moments.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<TowerPrecision>))]
public enum TowerPrecision
{
    /// <summary>Single precision throughout.</summary>
    [JsonStringEnumMemberName("fp32")]
    Float32,

    /// <summary>
    /// Mixed: what matrix products and the attention read and write is bfloat16, sums are single precision, and so are the residual stream, the statistics of
    /// LayerNorm and softmax, and the loss (Micikevicius et al. 2018; Kalamkar et al. 2019).
    /// </summary>
    [JsonStringEnumMemberName("bf16")]
    BFloat16,
}

/// <summary>Names of the precisions, and which of them a device has.</summary>
public static class TowerPrecisions
{
    /// <summary>The name on the command line and in files.</summary>
    public static string Name(this TowerPrecision precision) => precision == TowerPrecision.BFloat16 ? "bf16" : "fp32";

    /// <summary>Type of the tensors that matrix products and the attention read.</summary>
    public static ElementType Operands(this TowerPrecision precision) =>
        precision == TowerPrecision.BFloat16 ? ElementType.BFloat16 : ElementType.Float32;

    /// <summary>Whether a model's image tower can compute in it: ResNets in single precision only.</summary>
    public static bool CanBeUsedBy(this TowerPrecision precision, ClipConfig config) => precision == TowerPrecision.Float32 || config.Image is not ResNetConfig;

    /// <summary>The precision that was asked for, or the fastest that both the device and the model have.</summary>
    /// <exception cref="InputException">One of them does not have it.</exception>
    public static TowerPrecision On(Device device, TowerPrecision? asked, ClipConfig config)
    {
        if (asked is { } precision && !precision.CanBeUsedBy(config))
            throw new InputException($"--precision {precision.Name()}: ResNet image towers compute in single precision only; use --precision fp32");
        TowerPrecision fastest = On(device, asked);
        return fastest.CanBeUsedBy(config) ? fastest : TowerPrecision.Float32;
    }

    /// <summary>The precision that was asked for, or the fastest that the device has.</summary>
    /// <exception cref="InputException">The device does not have it.</exception>
    public static TowerPrecision On(Device device, TowerPrecision? asked)
    {
        if (asked == TowerPrecision.BFloat16 && !device.SupportsBFloat16)
            throw new InputException(
                $"--precision bf16: needs an NVIDIA GPU of compute capability 8.0 or later, {device.Name} computes in single precision; use --precision fp32");
        return asked ?? (device.SupportsBFloat16 ? TowerPrecision.BFloat16 : TowerPrecision.Float32);
    }
}
