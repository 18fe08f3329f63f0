using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;
using Patching.Model.Images;

namespace Patching.Model.Demo;

/// <summary>
/// Draws everything the demo learns from and is tested on: pictures of coloured shapes with captions, digits of a seven-segment display with captions (so that the
/// model has heard of digits), and handwritten digits, which it has never seen. Every picture depends on the seed and its own number only.
/// </summary>
/// <param name="root">Folder that gets the data.</param>
/// <param name="seed">Seed of all pictures.</param>
/// <param name="imageSize">Side of a picture in pixels.</param>
/// <param name="progress">Called with the pictures drawn and to draw, one call at a time.</param>
internal sealed class DemoData(string root, long seed, int imageSize, Action<long, long>? progress)
{
    private const int ReportInterval = 100;

    private static readonly (string Name, Vector3 Colour)[] Colours =
    [
        ("red", new(0.85f, 0.15f, 0.15f)), ("green", new(0.15f, 0.65f, 0.2f)), ("blue", new(0.2f, 0.3f, 0.9f)), ("yellow", new(0.95f, 0.85f, 0.2f)),
        ("purple", new(0.55f, 0.2f, 0.7f)), ("orange", new(0.95f, 0.55f, 0.1f)), ("white", new(0.95f, 0.95f, 0.95f)), ("black", new(0.06f, 0.06f, 0.06f)),
    ];

    private static readonly string[] Sizes = ["small", "large"];

    private readonly Lock counting = new();
    private long drawn;
    private long toDraw;

    /// <summary>Pairs of pictures and captions for contrastive training.</summary>
    public string Captions => Path.Combine(root, "captions.jsonl");

    /// <summary>The supported task, an image folder with splits.</summary>
    public string Shapes => Path.Combine(root, "shapes");

    /// <summary>The patching task, an image folder with splits.</summary>
    public string Digits => Path.Combine(root, "handwriting");

    /// <summary>Draws all of it.</summary>
    /// <param name="pairs">Pictures with captions.</param>
    /// <param name="training">Pictures to train on, per task.</param>
    /// <param name="test">Pictures to test on, per task.</param>
    /// <param name="cancellation">Stops between two pictures.</param>
    public void Draw(int pairs, int training, int test, CancellationToken cancellation)
    {
        (drawn, toDraw) = (0, Count(pairs, training, test));
        DrawCaptioned(pairs, cancellation);
        DrawClasses(Shapes, "train", training, [.. Figures.Shapes.Select(shape => shape.Name)], ShapeOf, cancellation);
        DrawClasses(Shapes, "test", test, [.. Figures.Shapes.Select(shape => shape.Name)], ShapeOf, cancellation);
        string[] digits = [.. Figures.DigitNames.Select(name => $"digit {name}")];
        foreach ((string split, int count) in ((string, int)[])[("train", training), ("val", test), ("test", test)])
            DrawClasses(Digits, split, count, digits, (label, random) => WrittenDigit(label, ref random), cancellation);

        Drawing ShapeOf(int label, SampleRandom random) => Shape(label, ref random).Picture;
    }

    /// <summary>How many pictures <see cref="Draw"/> draws: the patching task has a validation split, too.</summary>
    private static long Count(int pairs, int training, int test) => pairs + 2L * training + 3L * test;

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
            // One in four pictures is a display's digit, the others are shapes.
            bool isDigit = i % 4 == 3;
            int label = random.NextInt(10);
            (Drawing picture, string what) = isDigit ? DisplayDigit(label, ref random) : Shape(label, ref random);
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

    private (Drawing Picture, string What) Shape(int label, ref SampleRandom random)
    {
        int colour = random.NextInt(Colours.Length), size = random.NextInt(Sizes.Length);
        Drawing drawing = Background(ref random);
        float scale = size == 0 ? Between(0.45f, 0.58f, ref random) : Between(0.7f, 0.9f, ref random), room = 0.5f * (1 - scale);
        Vector2 centre = new(Between(-room, room, ref random), Between(-room, room, ref random));
        drawing.Paint(Figures.Shapes[label].Figure, new Placement(centre, scale, Between(-0.2f, 0.2f, ref random)), Vary(Colours[colour].Colour, ref random));
        drawing.AddNoise(0.1f, ref random);
        string name = Figures.Shapes[label].Name;
        string what = random.NextInt(3) switch
        {
            0 => name,
            1 => $"{Colours[colour].Name} {name}",
            _ => $"{Sizes[size]} {Colours[colour].Name} {name}",
        };
        return (drawing, what);
    }

    private (Drawing Picture, string What) DisplayDigit(int digit, ref SampleRandom random)
    {
        int colour = random.NextInt(Colours.Length);
        Drawing drawing = Background(ref random);
        SignedDistance figure = Figures.DisplayDigit(digit, Between(0.09f, 0.15f, ref random));
        float scale = Between(0.5f, 0.85f, ref random), room = 0.95f - scale;
        Vector2 centre = new(Between(-room, room, ref random), Between(-room, room, ref random));
        drawing.Paint(figure, new Placement(centre, scale), Vary(Colours[colour].Colour, ref random));
        drawing.AddNoise(0.1f, ref random);
        return (drawing, random.NextInt(2) == 0 ? $"digit {Figures.DigitNames[digit]}" : $"{Colours[colour].Name} digit {Figures.DigitNames[digit]}");
    }

    // White or dark ink, a thick pen, an unsteady hand, slanted: nothing of it is in the captioned pictures.
    private Drawing WrittenDigit(int digit, ref SampleRandom random)
    {
        bool chalk = random.NextInt(2) == 0;
        float paper = chalk ? Between(0.05f, 0.25f, ref random) : Between(0.75f, 0.95f, ref random), ink = chalk ? Between(0.8f, 1, ref random) : Between(0, 0.2f, ref random);
        Drawing drawing = new(imageSize, new Vector3(paper));
        SampleRandom hand = random;
        SignedDistance figure = Figures.WrittenDigit(digit, Between(0.08f, 0.2f, ref random), () => Between(-0.09f, 0.09f, ref hand));
        Vector2 centre = new(Between(-0.15f, 0.15f, ref random), Between(-0.15f, 0.15f, ref random));
        Placement place = new(centre, Between(0.65f, 0.9f, ref random), Between(-0.2f, 0.2f, ref random), Between(0.7f, 1.25f, ref random), Between(-0.35f, 0.35f, ref random));
        drawing.Paint(figure, place, new Vector3(ink));
        drawing.AddNoise(0.25f, ref random);
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
