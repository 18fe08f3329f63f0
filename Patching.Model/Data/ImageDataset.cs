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
