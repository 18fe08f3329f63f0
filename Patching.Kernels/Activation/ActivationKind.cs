namespace Patching.Kernels;

/// <summary>The non-linearity inside a transformer's MLP. It is a property of the checkpoint: OpenAI trained with QuickGELU, most later models with GELU.</summary>
public enum ActivationKind
{
    /// <summary><c>x * sigmoid(1.702 x)</c> (OpenAI CLIP).</summary>
    QuickGelu,

    /// <summary><c>x * Phi(x)</c> with the exact normal distribution function, <c>0.5 x (1 + erf(x / sqrt 2))</c> (Hendrycks and Gimpel 2016).</summary>
    Gelu,
}
