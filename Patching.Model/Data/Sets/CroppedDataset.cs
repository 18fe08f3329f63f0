using Patching.Model.Data.Files;
using Patching.Model.Images;

namespace Patching.Model.Data.Sets;

/// <summary>A part of an image, in pixels; the right and lower edges are not in it. What lies outside the image is black.</summary>
internal readonly record struct CropBox(int Left, int Top, int Right, int Bottom)
{
    /// <summary>Beyond every edge of an image.</summary>
    public const int Most = 1 << 20;

    /// <summary>Whether there is nothing in it.</summary>
    public bool IsEmpty => Right <= Left || Bottom <= Top;
}

/// <summary>An image that is a part of a file's.</summary>
/// <param name="File">The file.</param>
/// <param name="Key">What the part is called.</param>
/// <param name="Label">Its label.</param>
/// <param name="Box">Where it is.</param>
internal sealed record CroppedImage(string File, string Key, int Label, CropBox Box);

/// <summary>Images that are cut out of larger ones when they are loaded.</summary>
internal sealed class CroppedDataset(string name, IReadOnlyList<string> classNames, FileTree tree, CroppedImage[] images,
    IReadOnlyList<string> notes)
    : ImageDataset(name, classNames)
{
    /// <inheritdoc/>
    public override int Count => images.Length;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes => notes;

    /// <inheritdoc/>
    public override int Label(int index) => images[index].Label;

    /// <inheritdoc/>
    public override RgbImage Load(int index)
    {
        CropBox box = images[index].Box;
        string file = images[index].File;
        RgbImage whole = ImageDecoder.Decode(tree.Read(file).Span, tree.Describe(file));
        (int left, int right) = (Math.Max(box.Left, 0), Math.Min(box.Right, whole.Width));
        (int top, int bottom) = (Math.Max(box.Top, 0), Math.Min(box.Bottom, whole.Height));
        if (left >= right || top >= bottom)
            throw new InputException(
                $"{Describe(index)}: lies outside the image of {whole.Width} x {whole.Height} pixels; is it another image?");
        (int width, int height) = (box.Right - box.Left, box.Bottom - box.Top);
        ImageDecoder.CheckSize(width, height, Describe(index), ImageDecoder.DefaultMaxPixels);
        byte[] pixels = new byte[3 * width * height];
        for (int y = top; y < bottom; y++)
        {
            whole.Pixels.AsSpan(3 * ((y * whole.Width) + left), 3 * (right - left))
                .CopyTo(pixels.AsSpan(3 * (((y - box.Top) * width) + left - box.Left)));
        }
        return new RgbImage(width, height, pixels);
    }

    /// <inheritdoc/>
    public override string SourceFile(int index) => tree.Container(images[index].File);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => new(StoredPath(index), tree.Read(images[index].File));

    /// <inheritdoc/>
    public override string StoredPath(int index) => $"{images[index].File}[{images[index].Key}]";

    /// <inheritdoc/>
    public override string Describe(int index) => $"{tree.Describe(images[index].File)}[{images[index].Key}]";
}
