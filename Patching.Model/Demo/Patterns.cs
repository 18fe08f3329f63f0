using System.Numerics;

namespace Patching.Model.Demo;

/// <summary>A pattern that repeats itself, of bars or spots on a ground.</summary>
/// <param name="shift">Where it begins, in both directions.</param>
/// <param name="period">After what distance it repeats itself; the picture is 2 wide.</param>
/// <param name="half">Half the width of a bar.</param>
internal delegate SignedDistance Pattern(Vector2 shift, float period, float half);

/// <summary>The patterns of the demo's supported task. All that tells them apart can be seen in a few neighbouring patches, so a small model learns
/// them fast and well; and no two are near-duplicates (as dots and a grid would be: each is the other's ground), so it knows every one of them with a margin.</summary>
internal static class Patterns
{
    /// <summary>The one that is nothing but its ground.</summary>
    public const string Plain = "plain pattern";

    /// <summary>The patterns, by name.</summary>
    public static readonly IReadOnlyList<(string Name, Pattern Pattern)> All =
    [
        ("horizontal stripe pattern", (shift, period, half) => p => ToLine(p.Y + shift.Y, period) - half),
        ("vertical stripe pattern", (shift, period, half) => p => ToLine(p.X + shift.X, period) - half),
        ("rising stripe pattern", (shift, period, half) => p => ToLine((p.X + p.Y) * 0.7071f + shift.X, period) - half),
        ("falling stripe pattern", (shift, period, half) => p => ToLine((p.X - p.Y) * 0.7071f + shift.X, period) - half),
        ("checkerboard pattern", (shift, period, _) => p => Checkerboard(p + shift, period)),
        ("dot pattern", (shift, period, half) => p => new Vector2(ToLine(p.X + shift.X, period), ToLine(p.Y + shift.Y, period)).Length() - 1.1f * half),
        ("ring pattern", (shift, period, half) => p => ToLine(p.Length() + shift.X, period) - half),
        ("ray pattern", (shift, _, _) => p => Ray(p, shift.X)),
        (Plain, (_, _, _) => _ => float.MaxValue),
    ];

    /// <summary>Distance to the nearest multiple of the period.</summary>
    private static float ToLine(float x, float period) => MathF.Abs(x - period * MathF.Round(x / period));

    // Squares of half a period: inside where both coordinates are in the same half of theirs.
    private static float Checkerboard(Vector2 p, float period)
    {
        float x = period / 4 - ToLine(p.X, period), y = period / 4 - ToLine(p.Y, period), toEdge = MathF.Min(MathF.Abs(x), MathF.Abs(y));
        return x * y > 0 ? -toEdge : toEdge;
    }

    // Six rays and the gaps between them, each a twelfth of a turn wide: inside where the direction is nearer to the middle of a ray than to that of a gap.
    private static float Ray(Vector2 p, float turn)
    {
        const float Spacing = MathF.PI / 3;
        float fromMiddle = ToLine(MathF.Atan2(p.Y, p.X) + turn, Spacing);
        return p.Length() * MathF.Sin(fromMiddle - Spacing / 4);
    }
}
