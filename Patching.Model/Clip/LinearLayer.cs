using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>A linear layer's tensors, <c>y = x W^T + b</c>; with weights that will not change for a while, also W rearranged for the GEMM.</summary>
internal sealed class LinearLayer
{
    private PackedWeight? packed;

    /// <summary>Finds the layer's tensors.</summary>
    /// <param name="set">Weights or gradients.</param>
    /// <param name="weight">Name of W.</param>
    /// <param name="bias">Name of b, where there is one.</param>
    public LinearLayer(ParameterSet set, string weight, string? bias)
    {
        Tensor whole = set.Operand(weight);
        Weight = whole.Reshape(whole.Shape[0], checked((int)(whole.Shape.Count / whole.Shape[0])));
        Bias = bias is null ? default : set[bias];
    }

    /// <summary>W [out, in] as matrix products read it: the rounded copy where the weights have one, the gradient itself among gradients.</summary>
    public Tensor Weight { get; }

    /// <summary>b [out], or none.</summary>
    public Tensor Bias { get; }

    /// <summary>The name under which a layer called <paramref name="name"/> keeps its weight and bias.</summary>
    public static LinearLayer Named(ParameterSet set, string name) => new(set, $"{name}.weight", $"{name}.bias");

    /// <summary>Writes <c>y = x W^T + b</c> and whatever else <paramref name="epilogue"/> asks for; its bias is this layer's.</summary>
    public void Forward(Device device, Tensor y, Tensor x, in GemmEpilogue epilogue = default)
    {
        GemmEpilogue withBias = epilogue with { Bias = Bias };
        if (packed is { } weight) Gemm.Forward(device, y, x, weight, withBias);
        else Gemm.Forward(device, y, x, Weight, withBias);
    }

    /// <summary>Accumulates the gradients of a layer's tensors into <paramref name="gradients"/>; <paramref name="workspace"/> is scratch for bfloat16 operands.</summary>
    public static void BackwardWeight(Device device, LinearLayer gradients, Tensor dy, Tensor x, Tensor workspace) =>
        Gemm.BackwardWeight(device, gradients.Weight, gradients.Bias, dy, x, workspace);

    /// <summary>Takes memory for the rearranged weight.</summary>
    public void TakePacked(Arena arena, string name) => packed = PackedWeight.Take(arena, name, Weight.Rows, Weight.Columns);

    /// <summary>Rearranges the weight as it is now.</summary>
    public void Pack(Device device) => Gemm.Pack(device, packed!.Value, Weight);
}
