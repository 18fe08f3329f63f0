using System.Buffers.Binary;
using System.IO.Compression;

namespace Patching.Model.Data.Matlab;

/// <summary>
/// Reads MATLAB files of version 5 (<c>save -v6</c> and <c>-v7</c>): numbers, text, cell arrays and arrays of structures, compressed or
/// not. The input is not trusted: every size is checked against the bytes that are there, and nothing in the file can make the reader
/// allocate more than they can hold.
/// </summary>
/// <remarks>
/// A header of 128 bytes (text, version, byte order), then data elements: a tag of type and length, and the bytes, padded to a multiple
/// of 8; an element of up to 4 bytes may lie in its tag. Compressed elements hold one element as zlib data. A matrix element holds the
/// elements flags, dimensions, name, and its content. Source: "MAT-File Format", The MathWorks. Version 7.3 is HDF5 and is refused with
/// advice.
/// </remarks>
internal sealed class MatFile
{
    private const int HeaderBytes = 128;

    // Deflate cannot shrink anything below 1/1032 of its size.
    private const int MostDeflateGain = 1032;

    private const int FirstAllocation = 64 << 20;

    private readonly string name;
    private readonly Dictionary<string, MatValue> variables = new(StringComparer.Ordinal);

    private MatFile(string name) => this.name = name;

    /// <summary>Reads all variables.</summary>
    /// <param name="bytes">The whole file.</param>
    /// <param name="name">What errors call the file.</param>
    /// <exception cref="InputException">The file is of another version or damaged.</exception>
    public static MatFile Read(ReadOnlyMemory<byte> bytes, string name)
    {
        var file = new MatFile(name);
        file.CheckHeader(bytes.Span);
        var elements = new MatElements(bytes[HeaderBytes..], name);
        while (elements.Next() is { } element)
        {
            if (element.Type == MatType.Compressed)
            {
                var inside = new MatElements(file.Inflate(element.Data), name);
                while (inside.Next() is { } packed) file.Add(packed);
            }
            else
            {
                file.Add(element);
            }
        }
        return file;
    }

    /// <summary>A variable of numbers.</summary>
    /// <exception cref="InputException">There is none of this name, or it is something else.</exception>
    public MatNumbers Numbers(string variable) => Variable(variable) as MatNumbers ?? throw Wrong(variable, "numbers");

    /// <summary>A variable that is a cell array.</summary>
    /// <exception cref="InputException">There is none of this name, or it is something else.</exception>
    public MatCells Cells(string variable) => Variable(variable) as MatCells ?? throw Wrong(variable, "a cell array");

    /// <summary>A variable that is an array of structures.</summary>
    /// <exception cref="InputException">There is none of this name, or it is something else.</exception>
    public MatStructs Structs(string variable) => Variable(variable) as MatStructs ?? throw Wrong(variable, "an array of structures");

    /// <summary>Whether there is such a variable.</summary>
    public bool Has(string variable) => variables.ContainsKey(variable);

    /// <summary>The texts of a field of an array of structures, or of a cell array.</summary>
    /// <exception cref="InputException">Some value is no text.</exception>
    public string[] Texts(MatValue[] values, string what) => [.. values.Select((value, i) => value switch
    {
        MatText text => text.Text,
        // An empty text is often saved as an empty matrix of numbers.
        MatNumbers { Count: 0 } => "",
        _ => throw new InputException($"{name}: {what} {i} is {value.Describe()}, text is expected"),
    })];

    /// <summary>The values of a field of an array of structures as whole numbers.</summary>
    /// <exception cref="InputException">There is no such field, or some value is no whole number.</exception>
    public int[] Integers(MatStructs structs, string field) => [.. Field(structs, field).Select((value, i) =>
        value is MatNumbers { Count: 1 } numbers && numbers.Integer(0) is >= 0 and var number
            ? number
            : throw new InputException($"{name}: {field} {i} is {value.Describe()}, one whole number is expected"))];

    /// <summary>The values of a field of an array of structures.</summary>
    /// <exception cref="InputException">There is no such field.</exception>
    public MatValue[] Field(MatStructs structs, string field) => structs.Fields.TryGetValue(field, out MatValue[]? values)
        ? values
        : throw new InputException($"{name}: its structures have no field '{field}'; is it the right file?");

    private MatValue Variable(string variable) => variables.TryGetValue(variable, out MatValue? value)
        ? value
        : throw new InputException($"{name}: holds no variable '{variable}'; is it the right file?");

    private InputException Wrong(string variable, string expected) =>
        new($"{name}: its variable '{variable}' is {variables[variable].Describe()}, {expected} are expected; is it the right file?");

    private void Add(MatElement element)
    {
        // Elements beside matrices are no variables.
        if (element.Type != MatType.Matrix) return;
        (string variable, MatValue value) = new MatMatrixReader(name).Read(element.Data, depth: 0);
        variables[variable] = value;
    }

    private void CheckHeader(ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'H', (byte)'D', (byte)'F'])
            || (bytes.Length > HeaderBytes && bytes.StartsWith("MATLAB 7.3"u8)))
            throw new InputException(
                $"{name}: is a MATLAB file of version 7.3 (HDF5), which is not read; load it and save it with '-v7', in MATLAB or Octave");
        if (bytes.Length < HeaderBytes) throw new InputException($"{name}: shorter than the header of a MATLAB file; download it again");
        ReadOnlySpan<byte> order = bytes.Slice(126, 2);
        if (order.SequenceEqual("MI"u8))
            throw new InputException($"{name}: is a big-endian MATLAB file, which is not read; save it again on an ordinary machine");
        if (!order.SequenceEqual("IM"u8) || BinaryPrimitives.ReadUInt16LittleEndian(bytes[124..]) != 0x0100)
            throw new InputException($"{name}: is no MATLAB file of version 5; is it the right file?");
    }

    private ReadOnlyMemory<byte> Inflate(ReadOnlyMemory<byte> packed)
    {
        try
        {
            using var stream = new ZLibStream(new MemoryStream(packed.ToArray()), CompressionMode.Decompress);
            byte[] tag = new byte[8];
            stream.ReadExactly(tag);
            // The tag of the one element says how long it is.
            long length = 8L + BinaryPrimitives.ReadUInt32LittleEndian(tag.AsSpan(4));
            if (length > Math.Min(Array.MaxLength, 8 + ((long)packed.Length * MostDeflateGain)))
                throw new InputException(
                    $"{name}: promises {length} bytes in {packed.Length} compressed ones, which is impossible; download it again");
            byte[] bytes = new byte[Math.Min(length, FirstAllocation)];
            tag.CopyTo(bytes, 0);
            int done = 8;
            while (true)
            {
                stream.ReadExactly(bytes.AsSpan(done));
                done = bytes.Length;
                if (done == length) return bytes;
                Array.Resize(ref bytes, (int)Math.Min(length, 2L * bytes.Length));
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException)
        {
            throw new InputException($"{name}: a compressed variable is damaged ({OneLine.Of(e)}); download it again", e);
        }
    }
}
