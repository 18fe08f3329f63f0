using System.Numerics;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>How a word looks: drawn at random for every image.</summary>
/// <param name="Font">Round or angular letters.</param>
/// <param name="Weight">Half the width of a stroke, in units of the font (capitals are 6 high).</param>
/// <param name="Stretch">Width of letters over their usual width.</param>
/// <param name="Slant">How far the top of capitals leans to the right, over their height.</param>
/// <param name="CapitalHeight">Wanted height of capitals over the side of the picture.</param>
/// <param name="Capitals">Whether all letters are capitals.</param>
/// <param name="Colour">Colour of the letters, red, green, blue from 0 to 255.</param>
/// <param name="Outline">Colour around the letters; null for none.</param>
/// <param name="Place">Where the word is in the room that its size leaves, from 0 (left, top) to 1.</param>
internal sealed record WordStyle(
    StrokeFont Font, float Weight, float Stretch, float Slant, float CapitalHeight, bool Capitals, Vector3 Colour,
    Vector3? Outline, Vector2 Place)
{
    private static readonly Vector3 White = new(255), Black = new(0);

    /// <summary>Draws a style.</summary>
    public static WordStyle Draw(ref SampleRandom random)
    {
        StrokeFont font = random.NextInt(3) == 0 ? StrokeFont.Angular : StrokeFont.Round;
        float weight = Uniform(0.3f, 0.85f, ref random), stretch = Uniform(0.75f, 1.25f, ref random);
        float slant = random.NextInt(3) == 0 ? Uniform(0.1f, 0.3f, ref random) : 0;
        float height = Uniform(0.09f, 0.22f, ref random);
        bool capitals = random.NextInt(4) == 0;
        Vector3 colour = new(random.NextInt(256), random.NextInt(256), random.NextInt(256));
        // Rec. 601's luma: an outline has to stand out from the letters.
        bool bright = Vector3.Dot(colour, new Vector3(0.299f, 0.587f, 0.114f)) > 127.5f;
        Vector3? outline = random.NextInt(4) == 0 ? null : bright ? Black : White;
        Vector2 place = new(Uniform(0, 1, ref random), Uniform(0, 1, ref random));
        return new WordStyle(font, weight, stretch, slant, height, capitals, colour, outline, place);
    }

    private static float Uniform(float from, float to, ref SampleRandom random) => from + (to - from) * (float)random.NextDouble();
}
