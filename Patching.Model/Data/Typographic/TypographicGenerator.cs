using System.Globalization;
using System.Runtime.ExceptionServices;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Makes typographic attacks: the name of a wrong class, written on an image in a random style (Goh et al. 2021, "Multimodal neurons in
/// artificial neural networks"; patched in Ilharco et al. 2022). Pictures are squares, cut as evaluation cuts them, so that the
/// whole word is seen; <c>label=CLASS_text=WORD#17.png</c> says what they show. The same seed gives the same files.
/// </summary>
public static class TypographicGenerator
{
    // What separates the parts of a file name, and what no file name can hold.
    private static readonly char[] Reserved = ['/', '\\', '_', '#', '='];

    /// <summary>Draws all pictures; the folder appears when it is complete.</summary>
    /// <param name="settings">What to draw.</param>
    /// <param name="note">Gets one line where something is left out.</param>
    /// <param name="progress">Called with pictures done and to do, on any thread but never on two at once.</param>
    /// <param name="cancellation">Gives up; no folder is left.</param>
    /// <returns>Pictures drawn.</returns>
    /// <exception cref="InputException">A setting is impossible or the data set cannot be used.</exception>
    public static int Run(
        TypographicSettings settings, Action<string>? note, Action<string, long, long>? progress, CancellationToken cancellation)
    {
        settings.Check();
        ImageDataset[] datasets = [.. settings.Splits.Select(split => DatasetCatalog.Open(settings.From, split, settings.DataLocation))];
        string[] words = UsableNames(datasets[0], note);
        int[][] chosen = [.. datasets.Select(dataset => Choose(dataset, words, settings))];
        string target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(settings.Out)), temporary = $"{target}.{Guid.NewGuid():N}.tmp";
        try
        {
            Directory.CreateDirectory(temporary);
            long done = 0, total = chosen.Sum(images => (long)images.Length);
            for (int i = 0; i < datasets.Length; i++)
            {
                string folder = Directory.CreateDirectory(Path.Combine(temporary, FolderOf(settings.Splits[i]))).FullName;
                void Report() => progress?.Invoke("typographic", ++done, total);
                DrawAll(datasets[i], chosen[i], words, folder, (int)settings.Splits[i], settings, Report, cancellation);
            }
            File.WriteAllLines(Path.Combine(temporary, "classes.txt"), words);
            File.WriteAllLines(Path.Combine(temporary, "templates.txt"), datasets[0].Templates);
            if (Directory.Exists(target)) Directory.Delete(target);
            Directory.Move(temporary, target);
            return (int)total;
        }
        catch (Exception error)
        {
            if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true);
            if (error is IOException or UnauthorizedAccessException)
                throw new InputException($"--out {settings.Out}: cannot be written ({OneLine.Of(error)})", error);
            throw;
        }
    }

    /// <summary>Name of the folder of a split.</summary>
    internal static string FolderOf(DatasetSplit split) => split == DatasetSplit.Train ? "train" : "test";

    // Names that can be written and be part of a file name, each once.
    private static string[] UsableNames(ImageDataset dataset, Action<string>? note)
    {
        bool CanUse(string name) => name.IndexOfAny(Reserved) < 0 && StrokeFont.CanWrite(name);
        string[] usable = [.. dataset.ClassNames.Distinct(StringComparer.Ordinal).Where(CanUse)];
        string[] others = [.. dataset.ClassNames.Except(usable, StringComparer.Ordinal)];
        if (usable.Length < 2)
            throw new InputException(
                $"{dataset.Name}: only {usable.Length} of its class names can be written on images; at least 2 are needed");
        if (others.Length > 0)
            note?.Invoke(
                $"{dataset.Name}: {others.Length} classes are left out because their names cannot be written or be part of a file name, "
                + $"the first is '{others[0]}'");
        return usable;
    }

    private static int[] Choose(ImageDataset dataset, string[] words, TypographicSettings settings)
    {
        HashSet<string> usable = [.. words];
        int[] order = TorchPermutation.Create(dataset.Count, settings.Seed);
        int[] images = [.. order.Where(i => usable.Contains(dataset.ClassNames[dataset.Label(i)]))];
        if (images.Length == 0) throw new InputException($"{dataset.Name}: has no image of a class whose name can be written");
        if (settings.Count == 0 || settings.Count == images.Length) return images;
        if (settings.Count > images.Length)
            throw new InputException(
                $"--count {settings.Count}: {dataset.Name} has only {images.Length} images to write on; give at most that, or 0 for all");
        return images[..settings.Count];
    }

    private static void DrawAll(
        ImageDataset dataset, int[] images, string[] words, string folder, int stream, TypographicSettings settings, Action report,
        CancellationToken cancellation)
    {
        ImagePreprocessor square = new(settings.Side);
        ParallelOptions options = new() { MaxDegreeOfParallelism = settings.Workers, CancellationToken = cancellation };
        object gate = new();
        try
        {
            Parallel.For(0, images.Length, options, number =>
            {
                string label = dataset.ClassNames[dataset.Label(images[number])];
                SampleRandom random = SampleRandom.ForSample(settings.Seed, stream, number);
                string word = WrongName(words, label, ref random);
                byte[] pixels = new byte[square.OutputBytes];
                square.Apply(dataset.Load(images[number]), pixels);
                RgbImage picture = new(settings.Side, settings.Side, pixels);
                WordPainter.Write(picture, word, WordStyle.Draw(ref random));
                SkiaImageWriter.WritePng(picture, Path.Combine(folder, FileName(label, word, number)));
                lock (gate) report();
            });
        }
        catch (AggregateException error)
        {
            ExceptionDispatchInfo.Throw(error.InnerExceptions.OfType<InputException>().FirstOrDefault() ?? error.InnerExceptions[0]);
        }
    }

    private static string WrongName(string[] words, string label, ref SampleRandom random)
    {
        int right = Array.IndexOf(words, label), drawn = random.NextInt(words.Length - 1);
        return words[drawn < right ? drawn : drawn + 1];
    }

    private static string FileName(string label, string word, int number) =>
        string.Create(CultureInfo.InvariantCulture, $"label={label}_text={word}#{number}.png").Replace(' ', '_');
}
