using System.Diagnostics;
using Patching.Model.Images;
using SkiaSharp;

namespace Patching.Benchmarks.Images;

/// <summary>What decoding large JPEGs at a fraction of their size saves, and what it does to the squares.</summary>
/// <param name="Sides">Size of the pictures.</param>
/// <param name="Mean">Mean difference of a byte, in levels.</param>
/// <param name="Beyond">Share of bytes that differ by more than 4 levels.</param>
/// <param name="Largest">Largest difference.</param>
/// <param name="ExactSeconds">Decode, resize and crop one picture whole.</param>
/// <param name="ReducedSeconds">The same, reduced.</param>
internal sealed record ReducedJpegs(string Sides, double Mean, double Beyond, int Largest, double ExactSeconds, double ReducedSeconds)
{
    private const int Quality = 90, Pictures = 6, Noticeable = 4;

    /// <summary>
    /// Measures on mosaics of the photos, so many photos to a side: pictures as large as those of a camera, with details as fine.
    /// </summary>
    public static ReducedJpegs Measure(IReadOnlyList<string> photos, int across, int size, int enough, string folder)
    {
        string[] files = [.. Enumerable.Range(0, Pictures).Select(i => Mosaic(photos, across, i, folder))];
        ImagePreprocessor preprocessor = new(size);
        byte[] exact = new byte[preprocessor.OutputBytes], reduced = new byte[preprocessor.OutputBytes];
        long sum = 0, beyond = 0;
        int largest = 0;
        List<double> wholeTimes = [], reducedTimes = [];
        string sides = "";
        foreach (string file in files.Append(files[0]))
        {
            long start = Stopwatch.GetTimestamp();
            RgbImage image = ImageDecoder.DecodeFile(file);
            preprocessor.Apply(image, exact);
            long between = Stopwatch.GetTimestamp();
            RgbImage small = ImageDecoder.DecodeFileReduced(file, enough);
            preprocessor.Apply(small, reduced);
            wholeTimes.Add(Stopwatch.GetElapsedTime(start, between).TotalSeconds);
            reducedTimes.Add(Stopwatch.GetElapsedTime(between).TotalSeconds);
            sides = $"{image.Width} x {image.Height}, decoded at {small.Width} x {small.Height}";
            for (int i = 0; i < exact.Length; i++)
            {
                int difference = Math.Abs(exact[i] - reduced[i]);
                sum += difference;
                if (difference > Noticeable) beyond++;
                largest = Math.Max(largest, difference);
            }
        }
        double bytes = (double)exact.Length * (files.Length + 1);
        return new ReducedJpegs(sides, sum / bytes, beyond / bytes, largest, wholeTimes.Skip(1).Average(), reducedTimes.Skip(1).Average());
    }

    private static string Mosaic(IReadOnlyList<string> photos, int across, int number, string folder)
    {
        const int width = 500, height = 375;
        using SKBitmap canvas = new(across * width, across * height, SKColorType.Rgba8888, SKAlphaType.Opaque);
        using SKCanvas paint = new(canvas);
        for (int i = 0; i < across * across; i++)
        {
            using SKBitmap photo = SKBitmap.Decode(photos[(number + i) % photos.Count]);
            // Portraits are cut, not scaled: details stay as fine as the camera saw them.
            SKRect place = SKRect.Create(i % across * width, i / across * height, width, height);
            paint.Save();
            paint.ClipRect(place);
            paint.DrawBitmap(photo, place.Left, place.Top, SKSamplingOptions.Default);
            if (photo.Width < width) paint.DrawBitmap(photo, place.Left + photo.Width, place.Top, SKSamplingOptions.Default);
            paint.Restore();
        }
        string path = Path.Combine(folder, $"mosaic-{across}-{number}.jpg");
        using SKData data = canvas.Encode(SKEncodedImageFormat.Jpeg, Quality);
        using FileStream file = File.Create(path);
        data.SaveTo(file);
        return path;
    }
}
