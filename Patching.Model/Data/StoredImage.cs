namespace Patching.Model.Data;

/// <summary>An image as it is stored, for hashing.</summary>
/// <param name="Path">
/// Where it is, below the data location or the data set's own root, with forward slashes; <c>FILE[17]</c> for one of many in a file. The
/// same on every machine that has the data set in the same layout, unpacked or not.
/// </param>
/// <param name="Bytes">Its bytes: the file's, or its pixels where a file holds many images.</param>
public readonly record struct StoredImage(string Path, ReadOnlyMemory<byte> Bytes);
