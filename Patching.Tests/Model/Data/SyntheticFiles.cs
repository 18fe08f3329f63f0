using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Text;

namespace Patching.Tests.Model.Data;

/// <summary>Writes small files in the formats of the data sets, without any of the code under test.</summary>
internal static class SyntheticFiles
{
    public static byte[] Idx(uint magic, uint[] shape, ReadOnlySpan<byte> data)
    {
        byte[] file = new byte[4 + (4 * shape.Length) + data.Length];
        BinaryPrimitives.WriteUInt32BigEndian(file, magic);
        for (int d = 0; d < shape.Length; d++) BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(4 + (4 * d)), shape[d]);
        data.CopyTo(file.AsSpan(4 + (4 * shape.Length)));
        return file;
    }

    public static byte[] Gzip(byte[] data)
    {
        using var stream = new MemoryStream();
        using (var gzip = new GZipStream(stream, CompressionLevel.Fastest)) gzip.Write(data);
        return stream.ToArray();
    }

    /// <summary>Writes one split of a MNIST-like data set; pixel p of image i is <c>i * 7 + p</c> mod 256, label i is i mod 10.</summary>
    public static void Mnist(TemporaryFolder root, string name, string prefix, int count, bool gzip, int rows = 28, int columns = 28)
    {
        byte[] pixels = new byte[count * rows * columns];
        for (int i = 0; i < pixels.Length; i++) pixels[i] = (byte)((i / (rows * columns) * 7) + (i % (rows * columns)));
        byte[] labels = [.. Enumerable.Range(0, count).Select(i => (byte)(i % 10))];
        byte[] images = Idx(0x803, [(uint)count, (uint)rows, (uint)columns], pixels);
        byte[] classes = Idx(0x801, [(uint)count], labels);
        string ending = gzip ? ".gz" : "";
        File.WriteAllBytes(root.File(name, "raw", prefix + "-images-idx3-ubyte" + ending), gzip ? Gzip(images) : images);
        File.WriteAllBytes(root.File(name, "raw", prefix + "-labels-idx1-ubyte" + ending), gzip ? Gzip(classes) : classes);
    }

    /// <summary>Writes a binary PPM of one colour per image.</summary>
    public static void Ppm(string path, int width, int height, byte red, byte green, byte blue)
    {
        byte[] header = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"P6\n{width} {height}\n255\n"));
        byte[] file = new byte[header.Length + (3 * width * height)];
        header.CopyTo(file, 0);
        for (int i = header.Length; i < file.Length; i += 3) (file[i], file[i + 1], file[i + 2]) = (red, green, blue);
        File.WriteAllBytes(path, file);
    }

    /// <summary>Writes an 8-bit RGB PNG of one colour.</summary>
    public static void Png(string path, int width, int height, byte red, byte green, byte blue)
    {
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = (8, 2);
        using var rows = new MemoryStream();
        using (var zlib = new ZLibStream(rows, CompressionLevel.Fastest, leaveOpen: true))
        {
            for (int y = 0; y < height; y++)
            {
                zlib.WriteByte(0);
                for (int x = 0; x < width; x++) zlib.Write([red, green, blue]);
            }
        }
        using var file = new FileStream(path, FileMode.CreateNew);
        file.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10]);
        Chunk(file, "IHDR", header);
        Chunk(file, "IDAT", rows.ToArray());
        Chunk(file, "IEND", []);
    }

    private static void Chunk(FileStream file, string type, byte[] data)
    {
        byte[] body = [.. Encoding.ASCII.GetBytes(type), .. data];
        byte[] number = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        file.Write(number);
        file.Write(body);
        uint crc = uint.MaxValue;
        foreach (byte value in body)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) * 0xEDB88320u);
        }
        BinaryPrimitives.WriteUInt32BigEndian(number, ~crc);
        file.Write(number);
    }
}
