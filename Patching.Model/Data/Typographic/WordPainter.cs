using System.Numerics;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Writes words on pictures: every pixel is blended with the colour of the letters, and that of their outline, by its distance to the
/// nearest stroke. Plain arithmetic, so the bytes are the same on every machine.
/// </summary>
internal static class WordPainter
{
    // In units of the font.
    private const float LetterGap = 1.6f, LineGap = 2f, OutlineWidth = 0.45f, Margin = 0.6f;

    // No word is shrunk further than to this share of the picture's side for capitals as long as another line would help.
    private const float ReadableHeight = 0.09f;

    // Of the picture's side.
    private const float LargestShare = 0.92f;

    /// <summary>Writes a text on a picture. It is broken at spaces and shrunk until it fits.</summary>
    /// <exception cref="KeyNotFoundException">The font lacks a character (<see cref="StrokeFont.CanWrite"/>).</exception>
    public static void Write(RgbImage image, string text, WordStyle style)
    {
        if (style.Capitals) text = text.ToUpperInvariant();
        int side = Math.Min(image.Width, image.Height);
        (string[] lines, float scale) = Layout(text, style, side);
        // A pixel all around is kept for the soft edge of the letters.
        Vector2 size = Size(lines, style) * scale + new Vector2(2);
        Vector2 room = Vector2.Max(Vector2.Zero, new Vector2(image.Width, image.Height) - size);
        Vector2 origin = room * style.Place + new Vector2(1 + scale * (Margin + style.Weight + OutlineWidth));
        for (int i = 0; i < lines.Length; i++)
        {
            Vector2 start = origin + new Vector2(0, i * (StrokeFont.FullHeight + LineGap) * scale);
            // The outline of a letter must not cover its neighbour.
            if (style.Outline is { } outline) WriteLine(image, lines[i], style, start, scale, style.Weight + OutlineWidth, outline);
            WriteLine(image, lines[i], style, start, scale, style.Weight, style.Colour);
        }
    }

    // As few lines as keep the letters readable, or those that let them be largest.
    private static (string[] Lines, float Scale) Layout(string text, WordStyle style, int side)
    {
        string[] best = [text];
        float bestScale = 0;
        int words = text.Count(letter => letter == ' ') + 1;
        for (int count = 1; count <= words; count++)
        {
            string[] lines = Break(text, count);
            Vector2 size = Size(lines, style);
            float scale = Math.Min(style.CapitalHeight * side / StrokeFont.CapitalHeight, LargestShare * side / Math.Max(size.X, size.Y));
            if (scale > bestScale) (best, bestScale) = (lines, scale);
            if (bestScale * StrokeFont.CapitalHeight >= ReadableHeight * side) break;
        }
        return (best, bestScale);
    }

    private static string[] Break(string text, int count)
    {
        int longest = (text.Length + count - 1) / count;
        List<string> lines = [];
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (lines.Count > 0 && (lines[^1].Length + 1 + word.Length <= longest || lines.Count == count)) lines[^1] += ' ' + word;
            else lines.Add(word);
        }
        return [.. lines];
    }

    private static Vector2 Size(string[] lines, WordStyle style)
    {
        float border = 2 * (Margin + style.Weight + OutlineWidth), lean = style.Slant * StrokeFont.CapitalHeight;
        float height = lines.Length * StrokeFont.FullHeight + (lines.Length - 1) * LineGap;
        return new Vector2(lines.Max(line => Width(line, style)) + lean + border, height + border);
    }

    private static float Width(string line, WordStyle style)
    {
        float width = -LetterGap;
        foreach (char letter in line) width += Advance(letter, style);
        return width;
    }

    private static float Advance(char letter, WordStyle style) =>
        (style.Font.Glyph(letter)?.Width ?? StrokeFont.SpaceWidth) * style.Stretch + LetterGap + (style.Weight > 0.6f ? 0.4f : 0);

    private static void WriteLine(RgbImage image, string line, WordStyle style, Vector2 start, float scale, float weight, Vector3 colour)
    {
        float x = 0;
        foreach (char letter in line)
        {
            if (style.Font.Glyph(letter) is { } glyph) WriteGlyph(image, Placed(glyph, style, start, x, scale), weight * scale, colour);
            x += Advance(letter, style);
        }
    }

    private static StrokeSegment[] Placed(StrokeGlyph glyph, WordStyle style, Vector2 start, float x, float scale)
    {
        Vector2 Place(Vector2 point) =>
            start + scale * new Vector2(x + point.X * style.Stretch + style.Slant * (StrokeFont.CapitalHeight - point.Y), point.Y);
        return [.. glyph.Segments.Select(segment => new StrokeSegment(Place(segment.From), Place(segment.To)))];
    }

    private static void WriteGlyph(RgbImage image, StrokeSegment[] segments, float radius, Vector3 colour)
    {
        Vector2 least = new(float.MaxValue), greatest = new(float.MinValue);
        foreach (StrokeSegment segment in segments)
        {
            least = Vector2.Min(least, Vector2.Min(segment.From, segment.To));
            greatest = Vector2.Max(greatest, Vector2.Max(segment.From, segment.To));
        }
        float reach = radius + 1;
        (int left, int top) = (Math.Max(0, (int)(least.X - reach)), Math.Max(0, (int)(least.Y - reach)));
        int right = Math.Min(image.Width - 1, (int)(greatest.X + reach)), bottom = Math.Min(image.Height - 1, (int)(greatest.Y + reach));
        for (int y = top; y <= bottom; y++)
        {
            for (int x = left; x <= right; x++)
            {
                Vector2 pixel = new(x + 0.5f, y + 0.5f);
                float squared = float.MaxValue;
                foreach (StrokeSegment segment in segments) squared = Math.Min(squared, SquaredDistance(pixel, segment));
                float coverage = Math.Clamp(radius + 0.5f - MathF.Sqrt(squared), 0, 1);
                if (coverage > 0) Blend(image.Pixels.AsSpan(3 * (y * image.Width + x), 3), colour, coverage);
            }
        }
    }

    private static float SquaredDistance(Vector2 point, in StrokeSegment segment)
    {
        Vector2 along = segment.To - segment.From, from = point - segment.From;
        float length = along.X * along.X + along.Y * along.Y;
        float t = length == 0 ? 0 : Math.Clamp((from.X * along.X + from.Y * along.Y) / length, 0, 1);
        float x = from.X - t * along.X, y = from.Y - t * along.Y;
        return x * x + y * y;
    }

    private static void Blend(Span<byte> pixel, Vector3 colour, float coverage)
    {
        for (int c = 0; c < 3; c++) pixel[c] = (byte)(pixel[c] + (colour[c] - pixel[c]) * coverage + 0.5f);
    }
}
