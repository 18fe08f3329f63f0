using System.Buffers.Binary;
using System.Text;

namespace Patching.Model.Data.Matlab;

/// <summary>Reads matrix elements, which hold every kind of array.</summary>
/// <param name="name">What errors call the file.</param>
internal sealed class MatMatrixReader(string name)
{
    // Cells in cells: far beyond any data set, and far from the end of the stack.
    private const int DeepestNesting = 32;

    private const int CellClass = 1, StructClass = 2, CharClass = 4, LastNumberClass = 15;

    private static readonly string[] Classes =
    [
        "?", "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32",
            "int64",
        "uint64", "function handle", "opaque object",
    ];

    /// <summary>Reads one array and its name.</summary>
    /// <exception cref="InputException">It is damaged.</exception>
    public (string Name, MatValue Value) Read(ReadOnlyMemory<byte> bytes, int depth)
    {
        if (depth > DeepestNesting) throw Damaged("has arrays nested too deeply");
        // An empty cell may be an element without any content.
        if (bytes.IsEmpty) return ("", new MatNumbers([0, 0], "double", default, MatType.Double));
        var elements = new MatElements(bytes, name);
        ReadOnlySpan<byte> flags = elements.Need().Data.Span;
        if (flags.Length < 4) throw Damaged("has an array without a class");
        int arrayClass = flags[0];
        bool complex = (flags[1] & 0x08) != 0;
        // Objects have another order of elements, so nothing behind the class can be read.
        if (arrayClass is < CellClass or > LastNumberClass or 3 or 5)
            return (NameOfOther(elements), new MatOther([0, 0], arrayClass < Classes.Length ? Classes[arrayClass] : "unknown"));
        int[] shape = Shape(elements.Need());
        string variable = Encoding.ASCII.GetString(elements.Need().Data.Span).TrimEnd('\0');
        MatValue value = arrayClass switch
        {
            CellClass => new MatCells(shape, Many(elements, Count(shape), depth)),
            StructClass => Structs(elements, shape, depth),
            CharClass => Text(elements, shape),
            _ => complex ? new MatOther(shape, "complex " + Classes[arrayClass]) : Numbers(elements, shape, arrayClass),
        };
        return (variable, value);
    }

    private static string NameOfOther(MatElements elements)
    {
        elements.Next();
        return elements.Next() is { Type: MatType.Int8 } element ? Encoding.ASCII.GetString(element.Data.Span).TrimEnd('\0') : "?";
    }

    private int[] Shape(MatElement element)
    {
        ReadOnlySpan<byte> data = element.Data.Span;
        if (element.Type != MatType.Int32 || data.Length < 8 || data.Length % 4 != 0) throw Damaged("has an array without dimensions");
        int[] shape = new int[data.Length / 4];
        long count = 1;
        for (int d = 0; d < shape.Length; d++)
        {
            shape[d] = BinaryPrimitives.ReadInt32LittleEndian(data[(4 * d)..]);
            if (shape[d] < 0 || (count *= shape[d]) > Array.MaxLength) throw Damaged("has an array of impossible size");
        }
        return shape;
    }

    private static int Count(int[] shape) => shape.Aggregate(1, (product, size) => product * size);

    private MatValue[] Many(MatElements elements, int count, int depth)
    {
        List<MatValue> values = [];
        while (values.Count < count)
        {
            MatElement element = elements.Need();
            if (element.Type != MatType.Matrix) throw Damaged("has a cell that is no array");
            values.Add(Read(element.Data, depth + 1).Value);
        }
        return [.. values];
    }

    // Field names lie in a table of texts of one length; then come all fields of the first structure, of the second, ...
    private MatStructs Structs(MatElements elements, int[] shape, int depth)
    {
        MatElement lengthElement = elements.Need();
        int length = lengthElement.Data.Length >= 4 ? BinaryPrimitives.ReadInt32LittleEndian(lengthElement.Data.Span) : 0;
        ReadOnlySpan<byte> table = elements.Need().Data.Span;
        if (length < 1 || table.Length % length != 0) throw Damaged("has structures with damaged field names");
        string[] fields = new string[table.Length / length];
        for (int f = 0; f < fields.Length; f++)
        {
            string padded = Encoding.ASCII.GetString(table.Slice(f * length, length));
            fields[f] = padded.Split('\0')[0];
        }
        int count = Count(shape);
        if ((long)count * fields.Length > Array.MaxLength) throw Damaged("has an array of impossible size");
        MatValue[] values = Many(elements, count * fields.Length, depth);
        Dictionary<string, MatValue[]> columns = new(StringComparer.Ordinal);
        for (int f = 0; f < fields.Length; f++) columns[fields[f]] = [
            .. Enumerable.Range(0, count).Select(i => values[(i * fields.Length) + f])];
        return new MatStructs(shape, columns);
    }

    private MatText Text(MatElements elements, int[] shape)
    {
        // Without characters there may be no element.
        if (Count(shape) == 0) return new MatText(shape, "");
        MatElement element = elements.Need();
        ReadOnlySpan<byte> data = element.Data.Span;
        return new MatText(shape, element.Type switch
        {
            MatType.Utf8 or MatType.Int8 => Encoding.UTF8.GetString(data),
            MatType.UInt8 => Encoding.Latin1.GetString(data),
            MatType.Utf16 or MatType.UInt16 => Encoding.Unicode.GetString(data),
            MatType.Utf32 => Encoding.UTF32.GetString(data),
            _ => throw Damaged("has text of an unknown type"),
        });
    }

    private MatNumbers Numbers(MatElements elements, int[] shape, int arrayClass)
    {
        int count = Count(shape);
        if (count == 0) return new MatNumbers(shape, Classes[arrayClass], default, MatType.Double);
        MatElement element = elements.Need();
        if (element.Type.Bytes() == 0 || element.Data.Length < (long)count * element.Type.Bytes())
            throw Damaged($"has an array of {count} elements that holds {element.Data.Length} bytes");
        return new MatNumbers(shape, Classes[arrayClass], element.Data[..(count * element.Type.Bytes())], element.Type);
    }

    private InputException Damaged(string what) => new($"{name}: {what}; the MATLAB file is damaged, download it again");
}
