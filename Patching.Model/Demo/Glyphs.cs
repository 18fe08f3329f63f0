using System.Numerics;

namespace Patching.Model.Demo;

/// <summary>Digits in two scripts, those of a seven-segment display and handwritten ones, and handwritten letters. y points down, as in pictures.</summary>
internal static class Glyphs
{
    /// <summary>Names of the digits.</summary>
    public static readonly IReadOnlyList<string> DigitNames = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

    /// <summary>Pen strokes of each digit, points joined by straight lines.</summary>
    public static readonly IReadOnlyList<Vector2[][]> Digits =
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

    /// <summary>Letters that are not mistaken for digits, with their strokes.</summary>
    public static readonly IReadOnlyList<(string Name, Vector2[][] Strokes)> Letters =
    [
        ("a", [[new(-0.5f, 0.85f), new(0, -0.85f), new(0.5f, 0.85f)], [new(-0.3f, 0.25f), new(0.3f, 0.25f)]]),
        ("c", [[new(0.45f, -0.6f), new(0.1f, -0.85f), new(-0.35f, -0.6f), new(-0.5f, 0), new(-0.35f, 0.6f), new(0.1f, 0.85f), new(0.45f, 0.6f)]]),
        ("d", [[new(-0.45f, 0.85f), new(-0.45f, -0.85f), new(0.1f, -0.85f), new(0.45f, -0.4f), new(0.45f, 0.4f), new(0.1f, 0.85f), new(-0.45f, 0.85f)]]),
        ("e", [[new(0.45f, -0.85f), new(-0.4f, -0.85f), new(-0.4f, 0.85f), new(0.45f, 0.85f)], [new(-0.4f, 0), new(0.3f, 0)]]),
        ("f", [[new(0.45f, -0.85f), new(-0.4f, -0.85f), new(-0.4f, 0.85f)], [new(-0.4f, -0.05f), new(0.3f, -0.05f)]]),
        ("h", [[new(-0.45f, -0.85f), new(-0.45f, 0.85f)], [new(0.45f, -0.85f), new(0.45f, 0.85f)], [new(-0.45f, 0), new(0.45f, 0)]]),
        ("j", [[new(0.3f, -0.85f), new(0.3f, 0.5f), new(0.05f, 0.85f), new(-0.3f, 0.7f), new(-0.4f, 0.4f)]]),
        ("k", [[new(-0.4f, -0.85f), new(-0.4f, 0.85f)], [new(0.45f, -0.85f), new(-0.4f, 0.05f), new(0.5f, 0.85f)]]),
        ("m", [[new(-0.55f, 0.85f), new(-0.45f, -0.85f), new(0, 0.2f), new(0.45f, -0.85f), new(0.55f, 0.85f)]]),
        ("n", [[new(-0.45f, 0.85f), new(-0.45f, -0.85f), new(0.45f, 0.85f), new(0.45f, -0.85f)]]),
        ("p", [[new(-0.4f, 0.85f), new(-0.4f, -0.85f), new(0.2f, -0.85f), new(0.45f, -0.45f), new(0.2f, 0), new(-0.4f, 0)]]),
        ("r", [[new(-0.4f, 0.85f), new(-0.4f, -0.85f), new(0.2f, -0.85f), new(0.45f, -0.45f), new(0.2f, 0), new(-0.4f, 0), new(0.5f, 0.85f)]]),
        ("t", [[new(-0.5f, -0.85f), new(0.5f, -0.85f)], [new(0, -0.85f), new(0, 0.85f)]]),
        ("u", [[new(-0.45f, -0.85f), new(-0.45f, 0.4f), new(-0.2f, 0.85f), new(0.2f, 0.85f), new(0.45f, 0.4f), new(0.45f, -0.85f)]]),
        ("w", [[new(-0.55f, -0.85f), new(-0.3f, 0.85f), new(0, -0.2f), new(0.3f, 0.85f), new(0.55f, -0.85f)]]),
        ("x", [[new(-0.5f, -0.85f), new(0.5f, 0.85f)], [new(0.5f, -0.85f), new(-0.5f, 0.85f)]]),
        ("y", [[new(-0.5f, -0.85f), new(0, 0)], [new(0.5f, -0.85f), new(0, 0), new(0, 0.85f)]]),
    ];

    // Segments a to g of a seven-segment display: top, upper right, lower right, bottom, lower left, upper left, middle.
    private static readonly (Vector2 From, Vector2 To)[] Segments =
    [
        (new(-0.45f, -0.85f), new(0.45f, -0.85f)), (new(0.45f, -0.85f), new(0.45f, 0)), (new(0.45f, 0), new(0.45f, 0.85f)),
        (new(-0.45f, 0.85f), new(0.45f, 0.85f)), (new(-0.45f, 0), new(-0.45f, 0.85f)), (new(-0.45f, -0.85f), new(-0.45f, 0)), (new(-0.45f, 0), new(0.45f, 0)),
    ];

    private static readonly string[] LitSegments = ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg"];

    /// <summary>A digit of a seven-segment display.</summary>
    /// <param name="digit">0 to 9.</param>
    /// <param name="thickness">Half the width of a segment.</param>
    public static SignedDistance DisplayDigit(int digit, float thickness) =>
        Drawn([.. LitSegments[digit].Select(letter => new Line(Segments[letter - 'a'].From, Segments[letter - 'a'].To))], thickness);

    /// <summary>A figure written with a pen by an unsteady hand.</summary>
    /// <param name="strokes">Its strokes.</param>
    /// <param name="thickness">Half the width of the pen.</param>
    /// <param name="wobble">How far a point of a stroke is from where it should be, in either direction; called twice per point, before this returns.</param>
    public static SignedDistance Written(Vector2[][] strokes, float thickness, Func<float> wobble)
    {
        List<Line> lines = [];
        foreach (Vector2[] stroke in strokes)
        {
            Vector2[] points = [.. stroke.Select(point => point + new Vector2(wobble(), wobble()))];
            for (int i = 0; i + 1 < points.Length; i++) lines.Add(new Line(points[i], points[i + 1]));
        }
        return Drawn([.. lines], thickness);
    }

    private static SignedDistance Drawn(Line[] lines, float thickness) => point =>
    {
        float nearest = float.MaxValue;
        foreach (ref readonly Line line in lines.AsSpan()) nearest = MathF.Min(nearest, line.SquaredDistance(point));
        return MathF.Sqrt(nearest) - thickness;
    };

    /// <summary>A straight piece of a stroke. Most of the demo's drawing is the distance to one, so what does not depend on the point is kept.</summary>
    private readonly struct Line(Vector2 from, Vector2 to)
    {
        private readonly float x = from.X, y = from.Y, alongX = to.X - from.X, alongY = to.Y - from.Y;
        private readonly float inverseSquare = 1 / MathF.Max((to - from).LengthSquared(), 1e-12f);

        public float SquaredDistance(Vector2 point)
        {
            float dx = point.X - x, dy = point.Y - y, along = (dx * alongX + dy * alongY) * inverseSquare;
            along = along > 1 ? 1 : along > 0 ? along : 0;
            dx -= along * alongX;
            dy -= along * alongY;
            return dx * dx + dy * dy;
        }
    }
}
