using System.Numerics;

namespace Patching.Model.Data;

/// <summary>
/// A straight piece of a letter's stroke, in units of the font: x to the right, y down, capitals from 0 to 6, descenders to 8.
/// </summary>
/// <param name="From">One end.</param>
/// <param name="To">The other; equal to the first for a dot.</param>
internal readonly record struct StrokeSegment(Vector2 From, Vector2 To);

/// <summary>A letter: its strokes and how far the next one is.</summary>
/// <param name="Segments">Pieces of strokes.</param>
/// <param name="Width">From the leftmost to the rightmost point.</param>
internal sealed record StrokeGlyph(IReadOnlyList<StrokeSegment> Segments, float Width);

/// <summary>
/// Letters as pen strokes, drawn for this program, so that words can be written on a machine that has no fonts, with the same result
/// everywhere. Every style (weight, slant, width, corners) comes from the same strokes.
/// </summary>
/// <remarks>
/// A glyph is a list of strokes, a stroke a list of points, two digits each: x, then y. A plain stroke joins its points by straight lines.
/// In one that begins with <c>~</c> only the first and last points lie on the curve; those between are the control points of a quadratic
/// B-spline, whose arcs are drawn as a few straight pieces: enough to look round, or so few that the letters look angular.
/// </remarks>
internal sealed class StrokeFont
{
    /// <summary>Height of capitals in units of the font.</summary>
    public const float CapitalHeight = 6;

    /// <summary>From the top of capitals to the deepest stroke.</summary>
    public const float FullHeight = 8;

    /// <summary>Width of a space.</summary>
    public const float SpaceWidth = 2;

    private const int RoundPieces = 6, AngularPieces = 2;

    private static readonly Dictionary<char, string> Strokes = new()
    {
        ['A'] = "06 20 46|14 34",
        ['B'] = "00 06|~00 40 43 03|~03 43 46 06",
        ['C'] = "~41 40 00 06 46 45",
        ['D'] = "00 06|~00 40 46 06",
        ['E'] = "40 00 06 46|03 33",
        ['F'] = "40 00 06|03 33",
        ['G'] = "~41 40 00 06 46 43|43 23",
        ['H'] = "00 06|40 46|03 43",
        ['I'] = "00 06",
        ['J'] = "30 34|~34 36 06 04",
        ['K'] = "00 06|40 03 46",
        ['L'] = "00 06 46",
        ['M'] = "06 00 23 40 46",
        ['N'] = "06 00 46 40",
        ['O'] = "~20 40 46 06 00 20",
        ['P'] = "00 06|~00 40 43 03",
        ['Q'] = "~20 40 46 06 00 20|34 46",
        ['R'] = "00 06|~00 40 43 03|23 46",
        ['S'] = "~41 40 00 03 43 46 06 05",
        ['T'] = "00 40|20 26",
        ['U'] = "00 04|~04 06 46 44|44 40",
        ['V'] = "00 26 40",
        ['W'] = "00 16 22 36 40",
        ['X'] = "00 46|40 06",
        ['Y'] = "00 23 40|23 26",
        ['Z'] = "00 40 06 46",
        ['a'] = "~22 42 46 06 02 22|42 46",
        ['b'] = "00 06|~22 42 46 06 02 22",
        ['c'] = "~43 42 02 06 46 45",
        ['d'] = "40 46|~22 42 46 06 02 22",
        ['e'] = "04 44|~44 42 02 06 46 45",
        ['f'] = "~30 10 12|12 16|02 32",
        ['g'] = "~22 42 46 06 02 22|42 46|~46 48 08 07",
        ['h'] = "00 06|~04 02 42 44|44 46",
        ['i'] = "02 06|00",
        ['j'] = "22 26|~26 28 07|20",
        ['k'] = "00 06|32 04 36",
        ['l'] = "00 06",
        ['m'] = "02 06|~04 02 32 34|34 36|~34 32 62 64|64 66",
        ['n'] = "02 06|~04 02 42 44|44 46",
        ['o'] = "~22 42 46 06 02 22",
        ['p'] = "02 08|~22 42 46 06 02 22",
        ['q'] = "42 48|~22 42 46 06 02 22",
        ['r'] = "02 06|~04 02 32",
        ['s'] = "~43 42 02 04 44 46 06 05",
        ['t'] = "10 14|~14 16 36|02 32",
        ['u'] = "02 04|~04 06 46 44|42 46",
        ['v'] = "02 26 42",
        ['w'] = "02 16 23 36 42",
        ['x'] = "02 46|42 06",
        ['y'] = "02 25|42 08",
        ['z'] = "02 42 06 46",
        ['0'] = "~20 40 46 06 00 20",
        ['1'] = "02 20 26",
        ['2'] = "~02 00 40 42|42 06 46",
        ['3'] = "~01 00 40 43 23|~23 43 46 06 05",
        ['4'] = "36 30 04 44",
        ['5'] = "40 00 03|~03 43 46 06",
        ['6'] = "~23 43 46 06 03 23|~30 00 04",
        ['7'] = "00 40 16",
        ['8'] = "~20 40 43 03 00 20|~23 43 46 06 03 23",
        ['9'] = "~23 43 40 00 03 23|~41 46 16",
        ['-'] = "04 24",
        ['\''] = "00 02",
        ['.'] = "06",
        [','] = "16 07",
        ['('] = "~10 03 16",
        [')'] = "~00 13 06",
        ['!'] = "00 04|06",
        ['?'] = "~01 00 40 42|42 24|26",
        [':'] = "03|06",
        ['/'] = "06 40",
        ['&'] = "46 11|~11 10 30 31|31 04|~04 06 26 44",
    };

    private readonly Dictionary<char, StrokeGlyph> glyphs;

    private StrokeFont(int piecesPerArc) => glyphs = Strokes.ToDictionary(entry => entry.Key, entry => Draw(entry.Value, piecesPerArc));

    /// <summary>Letters with round arcs.</summary>
    public static StrokeFont Round { get; } = new(RoundPieces);

    /// <summary>Letters with corners.</summary>
    public static StrokeFont Angular { get; } = new(AngularPieces);

    /// <summary>Whether every character of a text has a glyph or is a space.</summary>
    public static bool CanWrite(string text) => text.All(letter => letter == ' ' || Strokes.ContainsKey(letter));

    /// <summary>The glyph of a character; null for a space.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public StrokeGlyph? Glyph(char letter) => letter == ' ' ? null : glyphs[letter];

    private static StrokeGlyph Draw(string description, int piecesPerArc)
    {
        List<StrokeSegment> segments = [];
        foreach (string stroke in description.Split('|'))
        {
            Vector2[] points = [.. stroke.TrimStart('~').Split(' ').Select(point => new Vector2(point[0] - '0', point[1] - '0'))];
            if (stroke[0] == '~') points = Spline(points, piecesPerArc);
            if (points.Length == 1) segments.Add(new StrokeSegment(points[0], points[0]));
            for (int i = 1; i < points.Length; i++) segments.Add(new StrokeSegment(points[i - 1], points[i]));
        }
        float left = segments.Min(segment => Math.Min(segment.From.X, segment.To.X));
        float right = segments.Max(segment => Math.Max(segment.From.X, segment.To.X));
        Vector2 shift = new(-left, 0);
        return new StrokeGlyph([.. segments.Select(segment => new StrokeSegment(segment.From + shift, segment.To + shift))], right - left);
    }

    // A quadratic arc per control point; neighbours meet in the middle between theirs.
    private static Vector2[] Spline(Vector2[] points, int piecesPerArc)
    {
        List<Vector2> curve = [points[0]];
        for (int i = 1; i < points.Length - 1; i++)
        {
            Vector2 from = curve[^1], control = points[i];
            Vector2 to = i == points.Length - 2 ? points[^1] : (control + points[i + 1]) / 2;
            for (int piece = 1; piece <= piecesPerArc; piece++)
            {
                float t = piece / (float)piecesPerArc;
                curve.Add(Vector2.Lerp(Vector2.Lerp(from, control, t), Vector2.Lerp(control, to, t), t));
            }
        }
        return [.. curve];
    }
}
