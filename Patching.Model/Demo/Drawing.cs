using System.Numerics;
using Patching.Model.Images;

namespace Patching.Model.Demo;

/// <summary>Distance from a point to the edge of a figure, negative inside; the figure is about one unit in radius and centred.</summary>
internal delegate float SignedDistance(Vector2 point);

/// <summary>
/// A small picture that figures are painted on by their signed distance: smooth edges without a graphics library, the same bytes on every machine.
/// </summary>
internal sealed class Drawing
{
    private readonly Vector3[] pixels;
    private readonly int size;

    /// <summary>Begins with one colour everywhere.</summary>
    public Drawing(int size, Vector3 background)
    {
        this.size = size;
        pixels = new Vector3[size * size];
        Array.Fill(pixels, background);
    }

    /// <summary>Paints a figure.</summary>
    /// <param name="figure">Its shape.</param>
    /// <param name="place">Maps the picture, from -1 to 1 in both directions, to the figure's own coordinates.</param>
    /// <param name="colour">Red, green, blue from 0 to 1.</param>
    public void Paint(SignedDistance figure, Placement place, Vector3 colour)
    {
        // Distances are measured in figure units; half a pixel on both sides of the edge is blended.
        float pixelsPerUnit = size / 2f * place.Scale;
        for (int y = 0; y < size; y++)
        {
            for (int x = 0; x < size; x++)
            {
                Vector2 point = new(2 * (x + 0.5f) / size - 1, 2 * (y + 0.5f) / size - 1);
                float coverage = Math.Clamp(0.5f - figure(place.ToFigure(point)) * pixelsPerUnit, 0, 1);
                pixels[y * size + x] = Vector3.Lerp(pixels[y * size + x], colour, coverage);
            }
        }
    }

    /// <summary>Adds noise of the given strength to every channel.</summary>
    public void AddNoise(float strength, ref SampleRandom random)
    {
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] += strength * (new Vector3((float)random.NextDouble(), (float)random.NextDouble(), (float)random.NextDouble()) - new Vector3(0.5f));
    }

    /// <summary>The picture in bytes.</summary>
    public RgbImage ToImage()
    {
        byte[] bytes = new byte[3 * pixels.Length];
        for (int i = 0; i < pixels.Length; i++)
        {
            bytes[3 * i] = ToByte(pixels[i].X);
            bytes[3 * i + 1] = ToByte(pixels[i].Y);
            bytes[3 * i + 2] = ToByte(pixels[i].Z);
        }
        return new RgbImage(size, size, bytes);
    }

    private static byte ToByte(float value) => (byte)Math.Clamp(MathF.Round(255 * value), 0, 255);
}

/// <summary>Where a figure lies in a picture: moved, turned, stretched and slanted.</summary>
/// <param name="Centre">Its middle, from -1 to 1.</param>
/// <param name="Scale">Its size: 1 reaches the picture's edge.</param>
/// <param name="Angle">Turn in radians.</param>
/// <param name="Stretch">Width over height, 1 for as it is.</param>
/// <param name="Slant">Shear, 0 for upright.</param>
internal readonly record struct Placement(Vector2 Centre, float Scale, float Angle = 0, float Stretch = 1, float Slant = 0)
{
    private readonly float sine = MathF.Sin(-Angle);
    private readonly float cosine = MathF.Cos(Angle);

    /// <summary>A point of the picture in the figure's coordinates.</summary>
    public Vector2 ToFigure(Vector2 point)
    {
        Vector2 moved = (point - Centre) / Scale;
        Vector2 turned = new(cosine * moved.X - sine * moved.Y, sine * moved.X + cosine * moved.Y);
        return new Vector2((turned.X + Slant * turned.Y) / Stretch, turned.Y);
    }
}
