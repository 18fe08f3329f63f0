namespace Patching.Model.Data;

/// <summary>A few training images of every class (<c>--shots K</c>), chosen at random and kept in the data set's order.</summary>
public static class FewShots
{
    /// <summary>
    /// At most <paramref name="shots"/> images of every class: those that come first in <see cref="TorchPermutation"/>'s order for the
    /// seed, so that fewer shots are a part of more shots with the same seed. Labels are as the data set has them.
    /// </summary>
    /// <param name="dataset">The whole.</param>
    /// <param name="shots">Images per class, at least 1.</param>
    /// <param name="seed">Decides which.</param>
    /// <param name="note">Gets one line where a class has fewer.</param>
    public static ImageDataset Take(ImageDataset dataset, int shots, long seed, Action<string>? note = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(shots, 1);
        int[] taken = new int[dataset.ClassNames.Count];
        List<int> chosen = [];
        foreach (int index in TorchPermutation.Create(dataset.Count, seed))
        {
            if (taken[dataset.Label(index)] == shots) continue;
            taken[dataset.Label(index)]++;
            chosen.Add(index);
        }
        chosen.Sort();
        int[] few = [.. Enumerable.Range(0, taken.Length).Where(label => taken[label] < shots)];
        if (few.Length > 0)
            note?.Invoke(
                $"{dataset.Name}: {few.Length} classes have fewer than {shots} images, "
                + $"'{dataset.ClassNames[few[0]]}' has {taken[few[0]]}; all of them are taken");
        return new SubsetDataset(dataset.Name, dataset, [.. chosen]);
    }
}
