using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>Images that text files name, one <c>CLASS/IMAGE</c> per line.</summary>
internal static class ListedImages
{
    /// <summary>Adds the images of some lists in the order in which class folders would give them: by class, then by name.</summary>
    /// <param name="place">The data set's files.</param>
    /// <param name="list">Gets the images.</param>
    /// <param name="files">The lists.</param>
    /// <param name="folder">What the lists' paths start from.</param>
    /// <param name="index">Finds the class by what comes before the image's name.</param>
    /// <param name="ending">What the lists leave out of the images' names.</param>
    /// <exception cref="InputException">A line names no image of a class.</exception>
    public static void Add(DataPlace place, ImageList list, IEnumerable<string> files, string folder, ClassIndex index, string ending = "")
    {
        List<(string File, int Label)> images = [];
        foreach (string file in files)
        {
            foreach ((int number, string line) in place.ReadLines(file))
            {
                string path = place.Listed(file, number, "", line);
                int slash = path.LastIndexOf('/');
                int label = (slash < 0 ? null : index.Find(path[..slash])) ?? throw new InputException(
                    $"{place.Describe(file)}: line {number} names '{Weights.HostileText.Show(line)}', which is in the folder of no "
                    + $"class of {place.Set.Name}");
                images.Add((FileTree.Join(folder, path + ending), label));
            }
        }
        foreach ((string file, int label) in images.OrderBy(image => image.Label)
            .ThenBy(image => image.File, StringComparer.Ordinal)) list.Add(file, label);
    }
}
