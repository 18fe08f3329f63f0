namespace Patching.Model.Images;

/// <summary>How an image of any proportions becomes a square.</summary>
public enum ResizeMode
{
    /// <summary>The short side is resized to the square's, the long side in proportion, and the centre cut out: CLIP's own way.</summary>
    Shortest,

    /// <summary>Both sides are resized to the square's, whatever the proportions (open_clip's <c>squash</c>, used by DFN-5B).</summary>
    Squash,
}
