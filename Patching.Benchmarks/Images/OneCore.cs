using System.Text.Json.Nodes;
using Patching.Benchmarks.Gpu;
using Patching.Model.Images;
using SkiaSharp;

namespace Patching.Benchmarks.Images;

/// <summary>Decoding and resampling in one thread.</summary>
internal sealed unsafe class OneCore
{
    private readonly IReadOnlyList<string> files;
    private readonly PeerProcess peer;
    private readonly int size;
    private readonly RgbImage[] decoded;
    private readonly byte[][] encoded;
    private readonly byte[] square;
    private readonly byte[] rgba;

    /// <summary>Reads and decodes the photos.</summary>
    public OneCore(IReadOnlyList<string> files, PeerProcess peer, int size)
    {
        (this.files, this.peer, this.size) = (files, peer, size);
        decoded = [.. files.Select(file => ImageDecoder.DecodeFile(file))];
        encoded = [.. files.Select(File.ReadAllBytes)];
        square = new byte[3 * size * size];
        rgba = new byte[4 * decoded.Max(image => image.Width * image.Height)];
    }

    /// <summary>JPEG to RGB.</summary>
    public Contest Decoding() => new("decode", files.Count, 1,
    [
        Entrant.Of("patching", EntrantKind.Ours, () =>
        {
            foreach (string file in files) ImageDecoder.DecodeFile(file);
        }),
        Entrant.Of("SkiaSharp's codec (libjpeg-turbo) into one buffer, nothing else", EntrantKind.Peer, SkiaSharpOnly),
        Entrant.Of("Pillow", peer, Job("decode")),
    ]);

    /// <summary>RGB to the square.</summary>
    public Contest Resampling()
    {
        List<Entrant> entrants =
        [
            .. Enum.GetValues<WeightedSum.Instructions>().Where(WeightedSum.IsSupported).Reverse()
                .Select(set => Entrant.Of($"patching, {set}", EntrantKind.Ours, () => Resample(new BicubicResampler(set)))),
            Entrant.Of("floor: the weighted sums alone, in the first-level cache", EntrantKind.Floor, SumsOnly),
            Entrant.Of("Pillow", peer, Job("resize")),
        ];
        return new Contest($"resize and crop to {size} x {size}", files.Count, 1, entrants);
    }

    /// <summary>Both.</summary>
    public Contest Both() => new("decode, resize and crop", files.Count, 1,
    [
        Entrant.Of("patching", EntrantKind.Ours, () =>
        {
            ImagePreprocessor preprocessor = new(size);
            foreach (string file in files) preprocessor.Apply(ImageDecoder.DecodeFile(file), square);
        }),
        Entrant.Of("Pillow", peer, Job("both")),
    ]);

    private JsonObject Job(string work) =>
        new() { ["work"] = work, ["size"] = size, ["files"] = new JsonArray([.. files.Select(file => (JsonNode)file)]) };

    private void SkiaSharpOnly()
    {
        foreach (byte[] file in encoded)
        {
            fixed (byte* bytes = file, pixels = rgba)
            {
                using SKData data = SKData.Create((IntPtr)bytes, file.Length);
                using SKCodec codec = SKCodec.Create(data);
                SKImageInfo info = new(codec.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul);
                codec.GetPixels(info, (IntPtr)pixels);
            }
        }
    }

    private void Resample(BicubicResampler resampler)
    {
        foreach (RgbImage image in decoded)
        {
            (ResampleAxis columns, ResampleAxis rows) = Axes(image);
            resampler.Resample(image, columns, rows, square);
        }
    }

    // As many blocks of as many terms as the two passes have, on bytes that never leave the cache.
    private void SumsOnly()
    {
        byte[] source = new byte[64 * WeightedSum.BlockBytes], target = new byte[WeightedSum.BlockBytes];
        foreach (RgbImage image in decoded)
        {
            (ResampleAxis columns, ResampleAxis rows) = Axes(image);
            BicubicWeights horizontal = new(columns), vertical = new(rows);
            int tiles = (vertical.EndSource - vertical.FirstSource + 15) / 16;
            int blocks = (3 * size + WeightedSum.BlockBytes - 1) / WeightedSum.BlockBytes;
            fixed (byte* from = source, to = target)
            {
                for (int i = 0; i < size; i++)
                {
                    Sums(tiles, to, from, horizontal.Of(i));
                    Sums(blocks, to, from, vertical.Of(i));
                }
            }
        }
    }

    private static void Sums(int blocks, byte* to, byte* from, ReadOnlySpan<int> weights)
    {
        fixed (int* w = weights)
        {
            for (int block = 0; block < blocks; block++)
                WeightedSum.Block(WeightedSum.Best, to, from, WeightedSum.BlockBytes, w, weights.Length);
        }
    }

    private (ResampleAxis Columns, ResampleAxis Rows) Axes(RgbImage image)
    {
        int shortSide = Math.Min(image.Width, image.Height);
        ResampleAxis Axis(int length)
        {
            int resized = size * length / shortSide;
            return new ResampleAxis(0, length, resized, (resized - size) / 2, size);
        }
        return (Axis(image.Width), Axis(image.Height));
    }
}
