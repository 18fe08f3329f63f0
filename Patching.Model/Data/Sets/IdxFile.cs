using System.Buffers.Binary;
using System.IO.Compression;
using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// Reads the IDX files of MNIST (http://yann.lecun.com/exdb/mnist): big-endian magic <c>0 0 08 D</c> (unsigned bytes, D dimensions), D
/// sizes of 32 bits, then the elements row by row. Files whose name ends in <c>.gz</c> are decompressed on the way.
/// </summary>
internal static class IdxFile
{
    // Deflate cannot shrink anything below 1/1032 of its size, so a header that promises more than this is lying and nothing is allocated
    // for it.
    private const int MostDeflateGain = 1032;

    // Enough for all of MNIST at once.
    private const int FirstAllocation = 64 << 20;

    /// <summary>Reads a whole file.</summary>
    /// <param name="tree">Where the file is.</param>
    /// <param name="file">File, raw or <c>.gz</c>.</param>
    /// <param name="dimensions">Number of dimensions it must have: 3 for images [n, rows, columns], 1 for labels [n].</param>
    /// <returns>Sizes of the dimensions, and the elements in row-major order.</returns>
    /// <exception cref="InputException">The file cannot be read, or its header and its length contradict each other.</exception>
    public static (int[] Shape, byte[] Data) Read(FileTree tree, string file, int dimensions)
    {
        string path = tree.Describe(file);
        try
        {
            byte[] bytes = tree.Read(file).ToArray();
            using var stream = new MemoryStream(bytes);
            if (!file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase)) return Read(stream, path, dimensions, bytes.Length);
            using var unzipped = new GZipStream(stream, CompressionMode.Decompress);
            return Read(unzipped, path, dimensions, (long)bytes.Length * MostDeflateGain);
        }
        catch (InvalidDataException e)
        {
            throw new InputException($"{path}: damaged gzip data ({OneLine.Of(e)}); download the file again", e);
        }
    }

    private static (int[] Shape, byte[] Data) Read(Stream stream, string path, int dimensions, long mostBytes)
    {
        byte[] header = new byte[4 + (4 * dimensions)];
        if (stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false) < header.Length)
            throw new InputException($"{path}: shorter than the {header.Length}-byte header of an IDX file; download the file again");

        uint magic = BinaryPrimitives.ReadUInt32BigEndian(header);
        uint expected = 0x800u + (uint)dimensions;
        if (magic != expected)
        {
            string content = dimensions == 1 ? "labels" : "images";
            throw new InputException(
                $"{path}: begins with {magic:X8}, an IDX file of {content} begins with {expected:X8}; is it the right file?");
        }

        int[] shape = new int[dimensions];
        long total = 1;
        for (int d = 0; d < dimensions; d++)
        {
            uint size = BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(4 + (4 * d)));
            if (size == 0) throw new InputException($"{path}: dimension {d} is 0, the file holds nothing");
            if (size > mostBytes || (total *= size) > Math.Min(mostBytes, Array.MaxLength))
                throw new InputException(
                    $"{path}: the header promises more data than the file can hold (dimension {d} is {size}); download the file again");
            shape[d] = (int)size;
        }

        byte[] data = ReadElements(stream, path, (int)total);
        if (stream.ReadByte() >= 0)
            throw new InputException($"{path}: goes on after the {total} data bytes that its header promises; download the file again");
        return (shape, data);
    }

    // A compressed file says nothing trustworthy about its real length, so memory grows with what has really come out of it.
    private static byte[] ReadElements(Stream stream, string path, int total)
    {
        byte[] data = new byte[Math.Min(total, FirstAllocation)];
        int read = 0;
        while (true)
        {
            read += stream.ReadAtLeast(data.AsSpan(read), data.Length - read, throwOnEndOfStream: false);
            if (read < data.Length) throw new InputException($"{path}: ends after {read} of {total} data bytes; download the file again");
            if (read == total) return data;
            Array.Resize(ref data, (int)Math.Min(total, 2L * data.Length));
        }
    }
}
