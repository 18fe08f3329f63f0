using System.Buffers.Binary;
using System.Text;

namespace Patching.Model.Data;

/// <summary>A numpy array found in a pickle: bytes in row-major order that lie inside the file's bytes.</summary>
internal sealed class PickledArray
{
    /// <summary>Sizes of the dimensions.</summary>
    public int[] Shape { get; set; } = [];

    /// <summary>numpy's name of the element type, for example <c>u1</c>.</summary>
    public string ElementType { get; set; } = "";

    /// <summary>The elements.</summary>
    public ReadOnlyMemory<byte> Data { get; set; }
}

/// <summary>
/// Reads plain data out of Python pickles of protocols 2 to 5: dictionaries with text keys, lists, tuples, integers, strings, bytes and
/// numpy arrays.
/// </summary>
/// <remarks>
/// A pickle is a program for a stack machine, and Python's own reader lets it call anything that can be imported. This one knows by name
/// the few numpy constructors that array pickles use, builds data for them, and refuses every other name and every opcode outside the list:
/// nothing in the file is ever executed. Every length is checked against the bytes that are left before it is used; the stack and the memo
/// cannot outgrow the file. Results are <see cref="Dictionary{TKey,TValue}"/> of string to object, <see cref="List{T}"/>, object arrays
/// (tuples), long, bool, string, <see cref="ReadOnlyMemory{T}"/> of bytes (bytes, and the 8-bit strings of Python 2),
/// <see cref="PickledArray"/> or null.
/// </remarks>
internal sealed class PickleReader
{
    private const int LongestName = 1000;

    private readonly string path;
    private readonly ReadOnlyMemory<byte> bytes;
    private readonly List<object?> stack = [];
    private readonly List<int> marks = [];
    private readonly Dictionary<uint, object?> memo = [];
    private int position;
    private long encodedBytes;

    private PickleReader(string path, ReadOnlyMemory<byte> bytes)
    {
        this.path = path;
        this.bytes = bytes;
    }

    private enum Opcode : byte
    {
        Mark = (byte)'(', Stop = (byte)'.', BinInt = (byte)'J', BinInt1 = (byte)'K', BinInt2 = (byte)'M', None = (byte)'N',
        Reduce = (byte)'R', BinString = (byte)'T', ShortBinString = (byte)'U', BinUnicode = (byte)'X', Append = (byte)'a',
        Build = (byte)'b', Global = (byte)'c',
        Appends = (byte)'e', BinGet = (byte)'h', LongBinGet = (byte)'j', BinPut = (byte)'q', LongBinPut = (byte)'r', SetItem = (byte)'s',
        Tuple = (byte)'t', SetItems = (byte)'u', EmptyDict = (byte)'}', EmptyList = (byte)']', EmptyTuple = (byte)')', BinBytes = (byte)'B',
        ShortBinBytes = (byte)'C', Protocol = 0x80, Tuple1 = 0x85, Tuple2 = 0x86, Tuple3 = 0x87, True = 0x88, False = 0x89, Long1 = 0x8A,
        ShortBinUnicode = 0x8C, StackGlobal = 0x93, Memoize = 0x94, Frame = 0x95,
    }

    // What a name in the file stands for. None of them is a function: Reduce below builds our own data in their place.
    private enum Constructor { ArrayShell, ArrayType, ElementType, EncodeLatin1 }

    /// <summary>Reads the one object that a pickle holds.</summary>
    /// <param name="path">Name of the file for messages.</param>
    /// <param name="bytes">Its whole content; results keep slices of it.</param>
    /// <exception cref="InputException">The bytes are not a pickle of plain data.</exception>
    public static object? Read(string path, ReadOnlyMemory<byte> bytes) => new PickleReader(path, bytes).Run();

    /// <summary>
    /// The text of a string, or of an 8-bit string of Python 2 (read as Latin-1) of the length a name can have; null for anything else.
    /// </summary>
    public static string? Text(object? value) => value switch
    {
        string text => text,
        ReadOnlyMemory<byte> { Length: <= LongestName } raw => Encoding.Latin1.GetString(raw.Span),
        _ => null,
    };

    private object? Run()
    {
        if (bytes.Length < 2 || bytes.Span[0] != (byte)Opcode.Protocol || bytes.Span[1] is < 2 or > 5)
            throw Refuse("not a Python pickle of protocol 2 to 5");
        position = 2;
        while (true)
        {
            var opcode = (Opcode)Byte();
            if (opcode == Opcode.Stop) return Pop();
            if (!RunScalar(opcode) && !RunContainer(opcode) && !RunReference(opcode))
                throw Refuse($"opcode 0x{(byte)opcode:X2} is not one that plain data needs, so it is refused");
        }
    }

    private bool RunScalar(Opcode opcode)
    {
        switch (opcode)
        {
            case Opcode.None: stack.Add(null); return true;
            case Opcode.True: stack.Add(true); return true;
            case Opcode.False: stack.Add(false); return true;
            case Opcode.BinInt: stack.Add((long)(int)UInt32()); return true;
            case Opcode.BinInt1: stack.Add((long)Byte()); return true;
            case Opcode.BinInt2: stack.Add((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2).Span)); return true;
            case Opcode.Long1: stack.Add(Long(Take(Byte()).Span)); return true;
            case Opcode.BinString or Opcode.BinBytes: stack.Add(Take(UInt32())); return true;
            case Opcode.ShortBinString or Opcode.ShortBinBytes: stack.Add(Take(Byte())); return true;
            case Opcode.BinUnicode: stack.Add(Encoding.UTF8.GetString(Take(UInt32()).Span)); return true;
            case Opcode.ShortBinUnicode: stack.Add(Encoding.UTF8.GetString(Take(Byte()).Span)); return true;
            default: return false;
        }
    }

    private bool RunContainer(Opcode opcode)
    {
        switch (opcode)
        {
            case Opcode.EmptyDict: stack.Add(new Dictionary<string, object?>(StringComparer.Ordinal)); return true;
            case Opcode.EmptyList: stack.Add(new List<object?>()); return true;
            case Opcode.EmptyTuple: stack.Add(Array.Empty<object?>()); return true;
            case Opcode.Tuple1: stack.Add(PopLast(1)); return true;
            case Opcode.Tuple2: stack.Add(PopLast(2)); return true;
            case Opcode.Tuple3: stack.Add(PopLast(3)); return true;
            case Opcode.Mark: marks.Add(stack.Count); return true;
            case Opcode.Tuple: stack.Add(PopToMark()); return true;
            case Opcode.Append: Append(PopLast(1)); return true;
            case Opcode.Appends: Append(PopToMark()); return true;
            case Opcode.SetItem: SetItems(PopLast(2)); return true;
            case Opcode.SetItems: SetItems(PopToMark()); return true;
            default: return false;
        }
    }

    private bool RunReference(Opcode opcode)
    {
        switch (opcode)
        {
            case Opcode.BinPut: memo[Byte()] = Peek(); return true;
            case Opcode.LongBinPut: memo[UInt32()] = Peek(); return true;
            case Opcode.Memoize: memo[(uint)memo.Count] = Peek(); return true;
            case Opcode.BinGet: stack.Add(Recall(Byte())); return true;
            case Opcode.LongBinGet: stack.Add(Recall(UInt32())); return true;
            case Opcode.Global: stack.Add(Named(Line(), Line())); return true;
            case Opcode.StackGlobal:
                object?[] names = PopLast(2);
                stack.Add(Named(Text(names[0]) ?? "?", Text(names[1]) ?? "?"));
                return true;
            case Opcode.Reduce:
                object?[] call = PopLast(2);
                stack.Add(Reduce(call[0], call[1]));
                return true;
            case Opcode.Build:
                object? state = Pop();
                Build(Peek(), state);
                return true;
            case Opcode.Frame:
                // Frames only help Python to read ahead; the length is repeated by what is inside.
                Take(8);
                return true;
            default: return false;
        }
    }

    private object Named(string module, string name) => (module, name) switch
    {
        ("numpy.core.multiarray" or "numpy._core.multiarray", "_reconstruct") => Constructor.ArrayShell,
        ("numpy", "ndarray") => Constructor.ArrayType,
        ("numpy", "dtype") => Constructor.ElementType,
        ("_codecs", "encode") => Constructor.EncodeLatin1,
        _ => throw Refuse(
            $"it asks for '{Printable(module)} {Printable(name)}', which plain data does not need, so it is refused and nothing was run"),
    };

    private object Reduce(object? callee, object? arguments) => (callee, arguments) switch
    {
        (Constructor.ArrayShell, object?[] and [Constructor.ArrayType, _, _]) => new PickledArray(),
        (Constructor.ElementType, object?[] and [var type, ..]) when Text(type) is { } text => new PickledElementType(text),
        (Constructor.EncodeLatin1, object?[] and [string text, string and "latin1"]) => EncodeLatin1(text),
        _ => throw Refuse("a constructor is called in a way that plain data does not need"),
    };

    // The one place that makes new data: text recalled from the memo again and again must not fill the memory.
    private object EncodeLatin1(string text)
    {
        encodedBytes += text.Length;
        if (encodedBytes > bytes.Length) throw Refuse("the same text is turned into bytes over and over");
        return new ReadOnlyMemory<byte>(Encoding.Latin1.GetBytes(text));
    }

    private void Build(object? target, object? state)
    {
        switch (target, state)
        {
            case (PickledElementType, object?[] and [_, var order, ..]) when Text(order) is "|" or "<":
                return;
            case (PickledArray array, object?[] and [long, object?[] shape, PickledElementType type, false, ReadOnlyMemory<byte> data]):
                array.Shape = [.. shape.Select(Size)];
                array.ElementType = type.Name;
                array.Data = data;
                return;
            default:
                throw Refuse("an array is stored in a way that is not supported (row-major, little-endian numpy arrays are)");
        }
    }

    private int Size(object? value) =>
        value is long and >= 0 and <= int.MaxValue ? (int)(long)value : throw Refuse("an array's shape is damaged");

    private void Append(object?[] items)
    {
        if (Peek() is not List<object?> list) throw Refuse("items are added to something that is not a list");
        list.AddRange(items);
    }

    private void SetItems(object?[] items)
    {
        if (Peek() is not Dictionary<string, object?> dictionary) throw Refuse("entries are added to something that is not a dictionary");
        if (items.Length % 2 != 0) throw Refuse("a dictionary entry lacks its value");
        for (int i = 0; i < items.Length; i += 2)
            dictionary[Text(items[i]) ?? throw Refuse("a dictionary key is not text")] = items[i + 1];
    }

    private object? Recall(uint slot) =>
        memo.TryGetValue(slot, out object? value) ? value : throw Refuse($"memo {slot} is used before it is set");

    private object? Peek() => stack.Count > Floor ? stack[^1] : throw Refuse("its stack runs empty");

    private object? Pop()
    {
        object? top = Peek();
        stack.RemoveAt(stack.Count - 1);
        return top;
    }

    private object?[] PopLast(int count)
    {
        if (stack.Count - Floor < count) throw Refuse("its stack runs empty");
        object?[] items = [.. stack[^count..]];
        stack.RemoveRange(stack.Count - count, count);
        return items;
    }

    private object?[] PopToMark()
    {
        if (marks.Count == 0) throw Refuse("a mark is missing");
        int count = stack.Count - marks[^1];
        object?[] items = PopLast(count);
        marks.RemoveAt(marks.Count - 1);
        return items;
    }

    // Nothing below the newest mark may be taken before the mark itself is.
    private int Floor => marks.Count == 0 ? 0 : marks[^1];

    private byte Byte() => Take(1).Span[0];

    private uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4).Span);

    private ReadOnlyMemory<byte> Take(uint length)
    {
        if (length > bytes.Length - position)
            throw Refuse($"ends in the middle: {length} bytes are announced and {bytes.Length - position} are left");
        ReadOnlyMemory<byte> slice = bytes.Slice(position, (int)length);
        position += (int)length;
        return slice;
    }

    private string Line()
    {
        int length = bytes.Span[position..].IndexOf((byte)'\n');
        if (length < 0) throw Refuse("ends in the middle of a name");
        string line = Encoding.Latin1.GetString(Take((uint)length).Span);
        position++;
        return line;
    }

    private long Long(ReadOnlySpan<byte> littleEndian)
    {
        if (littleEndian.Length > sizeof(long)) throw Refuse("an integer is larger than 64 bits");
        if (littleEndian.IsEmpty) return 0;
        long value = (sbyte)littleEndian[^1];
        for (int i = littleEndian.Length - 2; i >= 0; i--) value = (value << 8) | littleEndian[i];
        return value;
    }

    private static string Printable(string name)
    {
        string shown = string.Concat(name.Select(c => c is > ' ' and < (char)127 ? c : '?'));
        return shown.Length <= 60 ? shown : shown[..60] + "...";
    }

    private InputException Refuse(string what) => new($"{path}: pickle, byte {position}: {what}");

    private sealed record PickledElementType(string Name);
}
