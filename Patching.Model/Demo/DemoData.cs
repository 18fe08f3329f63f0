using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;
using Patching.Model.Images;

namespace Patching.Model.Demo;

/// <summary>
/// Draws everything the demo learns from and is tested on. With captions: patterns, digits of a seven-segment display (so that the model has heard of digits) and
/// handwritten letters (so that it has seen a pen). Without: more patterns, the supported task, and handwritten digits, which it has never seen, the patching task.
/// Every picture depends on the seed and its own number only.
/// </summary>
/// <param name="root">Folder that gets the data.</param>
/// <param name="seed">Seed of all pictures.</param>
/// <param name="imageSize">Side of a picture in pixels.</param>
/// <param name="progress">Called with the pictures drawn and to draw, one call at a time.</param>
internal sealed class DemoData(string root, long seed, int imageSize, Action<long, long>? progress)
{
    private const int ReportInterval = 100;
    private const float Noise = 0.05f;
    private const double GreyDisplays = 0.2;

    private static readonly (string Name, Vector3 Colour)[] Colours =
    [
        ("red", new(0.85f, 0.15f, 0.15f)), ("green", new(0.15f, 0.65f, 0.2f)), ("blue", new(0.2f, 0.3f, 0.9f)), ("yellow", new(0.95f, 0.85f, 0.2f)),
        ("purple", new(0.55f, 0.2f, 0.7f)), ("orange", new(0.95f, 0.55f, 0.1f)), ("white", new(0.95f, 0.95f, 0.95f)), ("black", new(0.06f, 0.06f, 0.06f)),
    ];

    private readonly Lock counting = new();
    private long drawn;
    private long toDraw;

    /// <summary>Pairs of pictures and captions for contrastive training.</summary>
    public string Captions => Path.Combine(root, "captions.jsonl");

    /// <summary>The supported task, an image folder with splits.</summary>
    public string Patterned => Path.Combine(root, "patterns");

    /// <summary>The patching task, an image folder with splits.</summary>
    public string Handwriting => Path.Combine(root, "handwriting");

    /// <summary>Draws all of it.</summary>
    /// <param name="pairs">Pictures with captions.</param>
    /// <param name="training">Pictures of the patching task to train on.</param>
    /// <param name="test">Pictures of each task to test on, and as many to validate on.</param>
    /// <param name="cancellation">Stops between two pictures.</param>
    public void Draw(int pairs, int training, int test, CancellationToken cancellation)
    {
        (drawn, toDraw) = (0, pairs + training + 4L * test);
        DrawCaptioned(pairs, cancellation);
        string[] patterns = [.. Patterns.All.Select(pattern => pattern.Name)], digits = [.. Glyphs.DigitNames.Select(name => $"digit {name}")];
        foreach ((string split, int count) in ((string, int)[])[("val", test), ("test", test)])
            DrawClasses(Patterned, split, count, patterns, (label, random) => PatternOf(label, ref random).Picture, cancellation);
        foreach ((string split, int count) in ((string, int)[])[("train", training), ("val", test), ("test", test)])
            DrawClasses(Handwriting, split, count, digits, (label, random) => Written(Glyphs.Digits[label], ref random), cancellation);
    }

    private void Save(Drawing picture, string path)
    {
        SkiaImageWriter.WritePng(picture.ToImage(), path);
        lock (counting)
        {
            if (++drawn % ReportInterval == 0 || drawn == toDraw) progress?.Invoke(drawn, toDraw);
        }
    }

    private void DrawCaptioned(int pairs, CancellationToken cancellation)
    {
        string folder = Path.Combine(root, "captioned");
        Directory.CreateDirectory(folder);
        string[] lines = new string[pairs];
        Parallel.For(0, pairs, new ParallelOptions { CancellationToken = cancellation }, i =>
        {
            SampleRandom random = Stream("captioned", i);
            (Drawing picture, string what) = Captioned(i, ref random);
            string name = string.Create(CultureInfo.InvariantCulture, $"{i:D6}.png");
            Save(picture, Path.Combine(folder, name));
            string article = what[0] is 'o' ? "an" : "a", caption = random.NextInt(2) == 0 ? $"a photo of {article} {what}." : $"a photo of the {what}.";
            lines[i] = JsonSerializer.Serialize(new { image = $"captioned/{name}", caption });
        });
        File.WriteAllLines(Captions, lines, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
    }

    private void DrawClasses(
        string task, string split, int count, string[] classNames, Func<int, SampleRandom, Drawing> draw, CancellationToken cancellation)
    {
        string[] folders = [.. classNames.Select(name => Path.Combine(task, split, name.Replace(' ', '_')))];
        foreach (string folder in folders) Directory.CreateDirectory(folder);
        Parallel.For(0, count, new ParallelOptions { CancellationToken = cancellation }, i =>
        {
            int label = i % classNames.Length;
            Drawing picture = draw(label, Stream($"{Path.GetFileName(task)}/{split}", i));
            Save(picture, Path.Combine(folders[label], string.Create(CultureInfo.InvariantCulture, $"{i:D6}.png")));
        });
    }

    // Of eight pictures two are digits, two letters and four patterns.
    private (Drawing Picture, string What) Captioned(int i, ref SampleRandom random)
    {
        if (i % 8 < 2) return DisplayDigit(random.NextInt(Glyphs.DigitNames.Count), ref random);
        if (i % 8 >= 4) return PatternOf(random.NextInt(Patterns.All.Count), ref random);
        (string name, Vector2[][] strokes) = Glyphs.Letters[random.NextInt(Glyphs.Letters.Count)];
        return (Written(strokes, ref random), $"letter {name}");
    }

    private (Drawing Picture, string What) PatternOf(int label, ref SampleRandom random)
    {
        int ink = random.NextInt(Colours.Length), ground = (ink + 1 + random.NextInt(Colours.Length - 1)) % Colours.Length;
        Drawing drawing = new(imageSize, Vary(Colours[ground].Colour, ref random));
        (string name, Pattern pattern) = Patterns.All[label];
        float period = Between(0.45f, 0.7f, ref random);
        Vector2 shift = new(Between(0, 1, ref random), Between(0, 1, ref random));
        SignedDistance figure = pattern(shift, period, Between(0.2f, 0.3f, ref random) * period);
        drawing.Paint(figure, new Placement(Vector2.Zero, 1), Vary(Colours[ink].Colour, ref random));
        drawing.AddNoise(Noise, ref random);
        string colour = Colours[name == Patterns.Plain ? ground : ink].Name;
        return (drawing, random.NextInt(2) == 0 ? name : $"{colour} {name}");
    }

    // Most displays glow in a colour; one in five is black on white or white on black, as writing is.
    private (Drawing Picture, string What) DisplayDigit(int digit, ref SampleRandom random)
    {
        int colour = random.NextInt(Colours.Length);
        bool grey = random.NextDouble() < GreyDisplays, light = random.NextDouble() < 0.5;
        float shade = light ? Between(0.75f, 1, ref random) : Between(0, 0.25f, ref random);
        Drawing drawing = grey ? new Drawing(imageSize, new Vector3(1 - shade)) : Background(ref random);
        SignedDistance figure = Glyphs.DisplayDigit(digit, Between(0.09f, 0.15f, ref random));
        float scale = Between(0.6f, 0.9f, ref random), room = 0.95f - scale;
        Vector2 centre = new(Between(-room, room, ref random), Between(-room, room, ref random));
        drawing.Paint(figure, new Placement(centre, scale), grey ? new Vector3(shade) : Vary(Colours[colour].Colour, ref random));
        drawing.AddNoise(Noise, ref random);
        string what = $"digit {Glyphs.DigitNames[digit]}";
        return (drawing, grey || random.NextInt(2) == 0 ? what : $"{Colours[colour].Name} {what}");
    }

    // Chalk on a board or ink on paper, an unsteady hand, slanted.
    private Drawing Written(Vector2[][] strokes, ref SampleRandom random)
    {
        bool chalk = random.NextDouble() < 0.5;
        float paper = chalk ? Between(0.05f, 0.25f, ref random) : Between(0.75f, 0.95f, ref random), ink = chalk ? Between(0.8f, 1, ref random) : Between(0, 0.2f, ref random);
        Drawing drawing = new(imageSize, new Vector3(paper));
        // A copy, because a lambda cannot hold a reference; it goes through the same numbers as the rest of the picture, which does no harm.
        SampleRandom hand = random;
        SignedDistance figure = Glyphs.Written(strokes, Between(0.1f, 0.18f, ref random), () => Between(-0.04f, 0.04f, ref hand));
        Vector2 centre = new(Between(-0.05f, 0.05f, ref random), Between(-0.05f, 0.05f, ref random));
        Placement place = new(
            centre, Between(0.75f, 0.9f, ref random), Between(-0.05f, 0.05f, ref random), Between(0.9f, 1.1f, ref random), Between(-0.15f, 0.15f, ref random));
        drawing.Paint(figure, place, new Vector3(ink));
        drawing.AddNoise(Noise, ref random);
        return drawing;
    }

    // Grey that changes a little from one side to the other, between the darkest and the lightest of the colours.
    private Drawing Background(ref SampleRandom random)
    {
        Vector3 grey = new(Between(0.4f, 0.7f, ref random));
        Drawing drawing = new(imageSize, Vary(grey, ref random));
        Vector3 shade = Vary(grey, ref random);
        float angle = Between(0, 2 * MathF.PI, ref random);
        Vector2 direction = new(MathF.Cos(angle), MathF.Sin(angle));
        drawing.Paint(point => Vector2.Dot(point, direction), new Placement(Vector2.Zero, 1), shade);
        return drawing;
    }

    private SampleRandom Stream(string name, int index)
    {
        long hash = name.Aggregate(17L, (sum, c) => unchecked(sum * 31 + c));
        return SampleRandom.ForSample(seed ^ hash, 0, index);
    }

    private static Vector3 Vary(Vector3 colour, ref SampleRandom random) =>
        colour + new Vector3(Between(-0.06f, 0.06f, ref random), Between(-0.06f, 0.06f, ref random), Between(-0.06f, 0.06f, ref random));

    private static float Between(float from, float to, ref SampleRandom random) => from + (to - from) * (float)random.NextDouble();
}
