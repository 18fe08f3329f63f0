using System.Numerics;

namespace Patching.Model.Demo;

/// <summary>A pattern that repeats itself, of bars or spots on a ground.</summary>
/// <param name="shift">Where it begins, in both directions.</param>
/// <param name="period">After what distance it repeats itself; the picture is 2 wide.</param>
/// <param name="half">Half the width of a bar.</param>
internal delegate SignedDistance Pattern(Vector2 shift, float period, float half);

/// <summary>The patterns of the demo's supported task. All that tells them apart can be seen in a few neighbouring patches, so a small model learns them fast and well.</summary>
internal static class Patterns
{
    /// <summary>The one that is nothing but its ground.</summary>
    public const string Plain = "plain pattern";

    /// <summary>The patterns, by name.</summary>
    public static readonly IReadOnlyList<(string Name, Pattern Pattern)> All =
    [
        ("horizontal stripe pattern", (shift, period, half) => p => ToLine(p.Y + shift.Y, period) - half),
        ("vertical stripe pattern", (shift, period, half) => p => ToLine(p.X + shift.X, period) - half),
        ("diagonal stripe pattern", (shift, period, half) => p => ToLine((p.X + p.Y) * 0.7071f + shift.X, period) - half),
        ("checkerboard pattern", (shift, period, _) => p => Checkerboard(p + shift, period)),
        ("dot pattern", (shift, period, half) => p => new Vector2(ToLine(p.X + shift.X, period), ToLine(p.Y + shift.Y, period)).Length() - 1.3f * half),
        ("grid pattern", (shift, period, half) => p => MathF.Min(ToLine(p.X + shift.X, period), ToLine(p.Y + shift.Y, period)) - half / 2),
        ("ring pattern", (shift, period, half) => p => ToLine(p.Length() + shift.X, period) - half),
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
}
