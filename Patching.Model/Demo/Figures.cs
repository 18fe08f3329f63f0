using System.Numerics;

namespace Patching.Model.Demo;

/// <summary>The figures of the demo's two tasks: ten plain shapes, and the ten digits in two scripts. y points down, as in pictures.</summary>
internal static class Figures
{
    /// <summary>The shapes of the supported task, by name.</summary>
    public static readonly IReadOnlyList<(string Name, SignedDistance Figure)> Shapes =
    [
        ("circle", p => p.Length() - 0.9f),
        ("square", p => Box(p, new Vector2(0.8f, 0.8f))),
        ("triangle", p => Polygon(p, [new(0, -0.95f), new(0.9f, 0.75f), new(-0.9f, 0.75f)])),
        ("ring", p => MathF.Abs(p.Length() - 0.7f) - 0.2f),
        ("cross", p => MathF.Min(Box(p, new Vector2(0.28f, 0.9f)), Box(p, new Vector2(0.9f, 0.28f)))),
        ("star", p => Polygon(p, Star(5, 0.95f, 0.4f))),
        ("crescent", p => MathF.Max(p.Length() - 0.9f, 0.75f - (p - new Vector2(0.45f, 0)).Length())),
        ("diamond", p => Polygon(p, [new(0, -0.95f), new(0.6f, 0), new(0, 0.95f), new(-0.6f, 0)])),
        ("arrow", p => Polygon(p, [new(0, -0.95f), new(0.8f, -0.1f), new(0.3f, -0.1f), new(0.3f, 0.9f), new(-0.3f, 0.9f), new(-0.3f, -0.1f), new(-0.8f, -0.1f)])),
        ("stripe", p => Box(p, new Vector2(0.95f, 0.22f))),
    ];

    /// <summary>Names of the digits.</summary>
    public static readonly IReadOnlyList<string> DigitNames = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

    // Segments a to g of a seven-segment display: top, upper right, lower right, bottom, lower left, upper left, middle.
    private static readonly (Vector2 From, Vector2 To)[] Segments =
    [
        (new(-0.45f, -0.85f), new(0.45f, -0.85f)), (new(0.45f, -0.85f), new(0.45f, 0)), (new(0.45f, 0), new(0.45f, 0.85f)),
        (new(-0.45f, 0.85f), new(0.45f, 0.85f)), (new(-0.45f, 0), new(-0.45f, 0.85f)), (new(-0.45f, -0.85f), new(-0.45f, 0)), (new(-0.45f, 0), new(0.45f, 0)),
    ];

    private static readonly string[] LitSegments = ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg"];

    // Pen strokes of each digit, points joined by straight lines.
    private static readonly Vector2[][][] Strokes =
    [
        [[new(0, -0.85f), new(-0.4f, -0.6f), new(-0.5f, 0), new(-0.4f, 0.6f), new(0, 0.85f), new(0.4f, 0.6f), new(0.5f, 0), new(0.4f, -0.6f), new(0, -0.85f)]],
        [[new(-0.3f, -0.5f), new(0.05f, -0.85f), new(0.05f, 0.85f)]],
        [[new(-0.45f, -0.5f), new(-0.3f, -0.8f), new(0.1f, -0.85f), new(0.4f, -0.6f), new(0.35f, -0.2f), new(-0.45f, 0.8f), new(0.5f, 0.8f)]],
        [[new(-0.4f, -0.75f), new(0.1f, -0.85f), new(0.4f, -0.55f), new(0.25f, -0.15f), new(-0.1f, -0.05f), new(0.3f, 0.1f), new(0.45f, 0.45f), new(0.2f, 0.8f), new(-0.4f, 0.75f)]],
        [[new(0.15f, -0.85f), new(-0.5f, 0.25f), new(0.5f, 0.25f)], [new(0.25f, -0.3f), new(0.2f, 0.85f)]],
        [[new(0.4f, -0.85f), new(-0.3f, -0.8f), new(-0.4f, -0.1f), new(0.1f, -0.2f), new(0.45f, 0.2f), new(0.3f, 0.7f), new(-0.1f, 0.85f), new(-0.45f, 0.65f)]],
        [[new(0.3f, -0.85f), new(-0.2f, -0.5f), new(-0.45f, 0.2f), new(-0.3f, 0.75f), new(0.1f, 0.85f), new(0.4f, 0.55f), new(0.3f, 0.15f), new(-0.05f, 0.05f), new(-0.4f, 0.3f)]],
        [[new(-0.45f, -0.8f), new(0.45f, -0.8f), new(0, 0), new(-0.15f, 0.85f)], [new(-0.25f, 0), new(0.3f, 0)]],
        [[new(0.05f, -0.05f), new(-0.35f, -0.4f), new(-0.2f, -0.8f), new(0.15f, -0.85f), new(0.35f, -0.5f), new(0.05f, -0.05f), new(-0.4f, 0.4f), new(-0.2f, 0.8f), new(0.2f, 0.85f), new(0.4f, 0.45f), new(0.05f, -0.05f)]],
        [[new(0.35f, -0.45f), new(0.05f, -0.05f), new(-0.35f, -0.25f), new(-0.3f, -0.7f), new(0.1f, -0.85f), new(0.35f, -0.5f), new(0.3f, 0.2f), new(0, 0.85f)]],
    ];

    /// <summary>A digit of a seven-segment display.</summary>
    /// <param name="digit">0 to 9.</param>
    /// <param name="thickness">Half the width of a segment.</param>
    public static SignedDistance DisplayDigit(int digit, float thickness)
    {
        (Vector2 From, Vector2 To)[] lit = [.. LitSegments[digit].Select(letter => Segments[letter - 'a'])];
        return point => lit.Min(segment => ToSegment(point, segment.From, segment.To)) - thickness;
    }

    /// <summary>A digit written with a pen by an unsteady hand.</summary>
    /// <param name="digit">0 to 9.</param>
    /// <param name="thickness">Half the width of the pen.</param>
    /// <param name="wobble">How far a point of the stroke may be from where it should be, in both directions; called twice per point.</param>
    public static SignedDistance WrittenDigit(int digit, float thickness, Func<float> wobble)
    {
        Vector2[][] strokes = [.. Strokes[digit].Select(stroke => stroke.Select(point => point + new Vector2(wobble(), wobble())).ToArray())];
        return point =>
        {
            float nearest = float.MaxValue;
            foreach (Vector2[] stroke in strokes)
                for (int i = 0; i + 1 < stroke.Length; i++) nearest = MathF.Min(nearest, ToSegment(point, stroke[i], stroke[i + 1]));
            return nearest - thickness;
        };
    }

    private static float Box(Vector2 p, Vector2 half)
    {
        Vector2 d = Vector2.Abs(p) - half;
        return Vector2.Max(d, Vector2.Zero).Length() + MathF.Min(MathF.Max(d.X, d.Y), 0);
    }

    private static float ToSegment(Vector2 p, Vector2 a, Vector2 b)
    {
        Vector2 along = b - a, from = p - a;
        float t = Math.Clamp(Vector2.Dot(from, along) / MathF.Max(along.LengthSquared(), 1e-12f), 0, 1);
        return (from - t * along).Length();
    }

    // The nearest edge; inside where a ray crosses the outline an odd number of times.
    private static float Polygon(Vector2 p, ReadOnlySpan<Vector2> corners)
    {
        float nearest = float.MaxValue;
        bool inside = false;
        for (int i = 0; i < corners.Length; i++)
        {
            Vector2 a = corners[i], b = corners[(i + 1) % corners.Length];
            nearest = MathF.Min(nearest, ToSegment(p, a, b));
            if (a.Y > p.Y != b.Y > p.Y && p.X < a.X + (b.X - a.X) * (p.Y - a.Y) / (b.Y - a.Y)) inside = !inside;
        }
        return inside ? -nearest : nearest;
    }

    private static Vector2[] Star(int points, float outer, float inner)
    {
        Vector2[] corners = new Vector2[2 * points];
        for (int i = 0; i < corners.Length; i++)
        {
            (float sine, float cosine) = MathF.SinCos(MathF.PI * i / points);
            corners[i] = (i % 2 == 0 ? outer : inner) * new Vector2(sine, -cosine);
        }
        return corners;
    }
}
