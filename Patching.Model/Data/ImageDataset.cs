using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Labelled images in a fixed order. Opening one reads and checks everything but the pixels of image files; <see cref="Load"/> then hands
/// out single images to any number of threads. All members are safe to call from several threads at once.
/// </summary>
public abstract class ImageDataset
{
    /// <summary>Creates the common part.</summary>
    /// <param name="name">Name as results and heads record it, for example <c>MNIST</c>, <c>MNISTVal</c> or <c>folder:pets</c>.</param>
    /// <param name="classNames">Name of every class, indexed by label.</param>
    protected ImageDataset(string name, IReadOnlyList<string> classNames)
    {
        Name = name;
        ClassNames = classNames;
    }

    /// <summary>Name as results and heads record it.</summary>
    public string Name { get; }

    /// <summary>Name of every class as the text tower reads it, indexed by label.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>Number of images, at least one.</summary>
    public abstract int Count { get; }

    /// <summary>
    /// What was tolerated while opening and a user should know (an empty class folder, files that are not images); usually empty.
    /// </summary>
    public virtual IReadOnlyList<string> Notes => [];

    /// <summary>Prompt templates of the zero-shot head; each holds <see cref="ZeroShotPrompts.Placeholder"/>.</summary>
    public virtual IReadOnlyList<string> Templates => ZeroShotPrompts.For(Name).Templates;

    /// <summary>SHA-256 of the manifest that names the images, in hexadecimal; null where none was given.</summary>
    public virtual string? ManifestSha256 => null;

    /// <summary>Label of one image, in <c>[0, ClassNames.Count)</c>.</summary>
    public abstract int Label(int index);

    /// <summary>Pixels of one image in its own size. The caller owns them.</summary>
    /// <exception cref="InputException">The image's file cannot be read or decoded; the message names it.</exception>
    public abstract RgbImage Load(int index);

    /// <summary>
    /// Like <see cref="Load"/>, but a large JPEG may come at a half, a quarter or an eighth of its size, decoded so from the start, with
    /// both sides still at least <paramref name="enough"/> (<see cref="ImageDecoder.DecodeReduced"/>). Images that are no files of their own
    /// come as they are.
    /// </summary>
    /// <exception cref="InputException">As for <see cref="Load"/>.</exception>
    public virtual RgbImage LoadReduced(int index, int enough) => Load(index);

    /// <summary>
    /// True where the pixels lie in memory, decoded, so that nothing is gained by keeping decoded images on disk.
    /// </summary>
    public virtual bool IsDecoded => false;

    /// <summary>
    /// The file that holds one image, alone or with others. Its name, size and time, with <see cref="Describe"/>, tell whether the image
    /// is still the same.
    /// </summary>
    public abstract string SourceFile(int index);

    /// <summary>
    /// Class whose name is written on the image, where that is known and is not its own (typographic attacks); null for all other images.
    /// </summary>
    public virtual int? WrittenLabel(int index) => null;

    /// <summary>One image as it is stored, its pixels where nothing else is: what a manifest hashes.</summary>
    /// <exception cref="InputException">The image's file cannot be read; the message names it.</exception>
    public virtual StoredImage Stored(int index) => new(StoredPath(index), Load(index).Pixels);

    /// <summary>The path of <see cref="Stored"/>, without reading the image.</summary>
    public virtual string StoredPath(int index) => Describe(index);

    /// <summary>Where one image comes from, for messages: its file, or <c>t10k-images-idx3-ubyte[17]</c>.</summary>
    public abstract string Describe(int index);
}
