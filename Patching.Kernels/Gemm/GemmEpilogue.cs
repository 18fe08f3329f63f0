namespace Patching.Kernels;

/// <summary>
/// What <see cref="Gemm.Forward(Device, Tensor, Tensor, Tensor, in GemmEpilogue)"/> does to a sum before it writes it, in this order: add
/// the bias, save the pre-activation, apply the activation, add the residual. Doing it while the result is in registers or the nearest
/// cache saves one trip through memory each.
/// </summary>
public readonly record struct GemmEpilogue
{
    /// <summary>Added to every row, [O]; or none.</summary>
    public Tensor Bias { get; init; }

    /// <summary>Non-linearity applied after the bias; or none.</summary>
    public ActivationKind? Activation { get; init; }

    /// <summary>Written with <c>x wT + bias</c>, [N, O]: what the backward pass needs of the activation; or none.</summary>
    public Tensor PreActivation { get; init; }

    /// <summary>Added last, [N, O]; or none. Without an activation and a pre-activation it may be the output itself.</summary>
    public Tensor Residual { get; init; }
}
