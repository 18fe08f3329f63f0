using System.Globalization;
using SkiaSharp;

namespace Patching.Benchmarks.Images;

/// <summary>What <c>data</c> measures.</summary>
internal sealed record DataOptions
{
    /// <summary>The options, for people.</summary>
    public const string Usage = """
        data options (decoding, resampling and the whole image pipeline, beside Pillow and torchvision):
          --photos FOLDER   JPEGs; those of 500 x 375 pixels are taken if there are any; default ../shared/data/photos
          --rounds N        measurements of each, engines taking turns; default 5
          --images N        images of a pass through the whole pipeline; default 640
          --steps N         training steps of ViT-B/32 that the pipeline has to keep up with, 0 for none; default 4
          --peer FILE       our Python script; "none" for no peer; default eng/peer_images.py
          --python FILE     default python3
          --out FILE        the report in Markdown; default standard output only
        """;

    /// <summary>The JPEGs that are measured.</summary>
    public IReadOnlyList<string> Photos { get; private init; } = [];

    /// <summary>Measurements of each engine.</summary>
    public int Rounds { get; private init; } = 5;

    /// <summary>Images of a pass.</summary>
    public int Images { get; private init; } = 640;

    /// <summary>Training steps.</summary>
    public int Steps { get; private init; } = 4;

    /// <summary>The peer's script; null for none.</summary>
    public string? Peer { get; private init; } = Path.Combine("eng", "peer_images.py");

    /// <summary>The interpreter.</summary>
    public string Python { get; private init; } = "python3";

    /// <summary>Where the report goes besides standard output.</summary>
    public string? Output { get; private init; }

    /// <summary>Reads the command line.</summary>
    /// <exception cref="ArgumentException">An option is unknown, its value is none, or there are no photos.</exception>
    public static DataOptions Parse(string[] args)
    {
        DataOptions options = new();
        string folder = Path.Combine("..", "shared", "data", "photos");
        for (int i = 0; i < args.Length; i += 2)
        {
            if (i + 1 == args.Length) throw new ArgumentException($"{args[i]}: no value");
            if (args[i] == "--photos") folder = args[i + 1];
            else options = options.With(args[i], args[i + 1]);
        }
        return options with { Photos = FindPhotos(folder) };
    }

    private DataOptions With(string option, string value) => option switch
    {
        "--rounds" => this with { Rounds = Number(option, value, 1) },
        "--images" => this with { Images = Number(option, value, 1) },
        "--steps" => this with { Steps = Number(option, value, 0) },
        "--peer" => this with { Peer = value == "none" ? null : value },
        "--python" => this with { Python = value },
        "--out" => this with { Output = value },
        _ => throw new ArgumentException($"{option} {value}: unknown"),
    };

    private static string[] FindPhotos(string folder)
    {
        if (!Directory.Exists(folder)) throw new ArgumentException($"--photos {folder}: there is no such folder");
        string[] all = [.. Directory.GetFiles(folder).Where(file => Path.GetExtension(file).ToLowerInvariant() is ".jpg" or ".jpeg").Order(StringComparer.Ordinal)];
        if (all.Length == 0) throw new ArgumentException($"--photos {folder}: holds no JPEG");
        string[] usual = [.. all.Where(IsUsual)];
        return [.. (usual.Length > 0 ? usual : all).Select(Path.GetFullPath)];
    }

    private static bool IsUsual(string file)
    {
        using SKCodec? codec = SKCodec.Create(file);
        return codec?.Info is { Width: 500, Height: 375 } or { Width: 375, Height: 500 };
    }

    private static int Number(string option, string value, int least) =>
        int.TryParse(value, CultureInfo.InvariantCulture, out int number) && number >= least
            ? number
            : throw new ArgumentException($"{option} {value}: must be a number of {least} or more");
}
