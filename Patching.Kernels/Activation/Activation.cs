namespace Patching.Kernels;

/// <summary>
/// The non-linearity between the two matrices of a transformer's MLP. It is a property of the trained weights: features computed with the
/// other one are wrong by about half a percent, so it is read from the checkpoint or stated by the user, never guessed.
/// </summary>
public enum ActivationKind
{
    /// <summary><c>x * sigmoid(1.702 x)</c>: OpenAI's CLIP weights.</summary>
    QuickGelu,

    /// <summary><c>x * Phi(x) = x/2 * (1 + erf(x / sqrt(2)))</c>, exact: most weights trained with open_clip.</summary>
    Gelu,
}
