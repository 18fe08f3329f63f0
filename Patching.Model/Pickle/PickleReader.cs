using System.Buffers.Binary;
using System.Text;
using Patching.Model.Weights;

namespace Patching.Model.Pickle;

/// <summary>
/// Reads Python pickles of protocols 2 to 5 as data: dictionaries with text keys, lists, tuples, numbers, strings, bytes, and whatever a
/// <see cref="PickleVocabulary"/> makes of the names in the file.
/// </summary>
/// <remarks>
/// A pickle is a program for a stack machine, and Python's own reader lets it call anything that can be imported. This machine has no way
/// to call anything: names are handed to the vocabulary, which knows a few constructors, builds data for them, and refuses the rest; every
/// opcode outside the list is refused too. Every length is checked against the bytes that are left before it is used, the number of steps
/// is bounded, and the stack and the memo cannot outgrow the file. Results are <see cref="Dictionary{TKey,TValue}"/> of string to object
/// (entries under numbers or tuples are dropped, the same key twice is refused), <see cref="List{T}"/> (lists and sets), object arrays
/// (tuples), long, double, bool, string, <see cref="ReadOnlyMemory{T}"/> of bytes (bytes, the 8-bit strings of Python 2, and integers of
/// more than 64 bits), null, or objects of the vocabulary. They may contain themselves.
/// </remarks>
internal sealed class PickleReader
{
    private const int LongestName = 1000;
    private const int LongestText = 1 << 26;

    // The largest real files (whole-object pickles of ViT-L/14) take some ten thousand steps; an object costs about a hundred bytes.
    private const int MostSteps = 1 << 21;

    private readonly string path;
    private readonly ReadOnlyMemory<byte> bytes;
    private readonly PickleVocabulary vocabulary;
    private readonly List<object?> stack = [];
    private readonly List<int> marks = [];
    private readonly Dictionary<uint, object?> memo = [];
    private int position;
    private long encodedBytes;

    private PickleReader(string path, ReadOnlyMemory<byte> bytes, PickleVocabulary vocabulary)
    {
        this.path = path;
        this.bytes = bytes;
        this.vocabulary = vocabulary;
    }

    /// <summary>Reads the one object that a pickle holds.</summary>
    /// <param name="path">Name of the file for messages.</param>
    /// <param name="bytes">Its whole content; results keep slices of it.</param>
    /// <param name="vocabulary">What names mean.</param>
    /// <exception cref="InputException">The bytes are not a pickle, or one that asks for something that is refused.</exception>
    public static object? Read(string path, ReadOnlyMemory<byte> bytes, PickleVocabulary vocabulary) =>
        Read(path, bytes, vocabulary, out _);

    /// <summary>Reads the object of a pickle that other bytes follow.</summary>
    /// <param name="path">Name of the file for messages.</param>
    /// <param name="bytes">From the first byte of the pickle to at least its last; results keep slices of it.</param>
    /// <param name="vocabulary">What names mean.</param>
    /// <param name="length">Bytes of the pickle.</param>
    public static object? Read(string path, ReadOnlyMemory<byte> bytes, PickleVocabulary vocabulary, out int length)
    {
        PickleReader reader = new(path, bytes, vocabulary);
        object? result = reader.Run();
        length = reader.position;
        return result;
    }

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
        if (bytes.Length < 2 || bytes.Span[0] != (byte)PickleOpcode.Protocol || bytes.Span[1] is < 2 or > 5)
            throw Refuse("not a Python pickle of protocol 2 to 5");
        position = 2;
        for (int step = 0; step < MostSteps; step++)
        {
            var opcode = (PickleOpcode)Byte();
            if (opcode == PickleOpcode.Stop) return Pop();
            if (!RunScalar(opcode) && !RunContainer(opcode) && !RunReference(opcode)) throw RefuseOpcode(opcode);
        }
        throw Refuse($"it has more than {MostSteps} instructions, which no data that is read here needs");
    }

    private bool RunScalar(PickleOpcode opcode)
    {
        switch (opcode)
        {
            case PickleOpcode.None: stack.Add(null); return true;
            case PickleOpcode.True: stack.Add(true); return true;
            case PickleOpcode.False: stack.Add(false); return true;
            case PickleOpcode.BinInt: stack.Add((long)(int)UInt32()); return true;
            case PickleOpcode.BinInt1: stack.Add((long)Byte()); return true;
            case PickleOpcode.BinInt2: stack.Add((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2).Span)); return true;
            case PickleOpcode.BinFloat: stack.Add(BinaryPrimitives.ReadDoubleBigEndian(Take(8).Span)); return true;
            case PickleOpcode.Long1: stack.Add(Long(Take(Byte()))); return true;
            case PickleOpcode.Long4: stack.Add(Long(Take(UInt32()))); return true;
            case PickleOpcode.BinString or PickleOpcode.BinBytes: stack.Add(Take(UInt32())); return true;
            case PickleOpcode.ShortBinString or PickleOpcode.ShortBinBytes: stack.Add(Take(Byte())); return true;
            case PickleOpcode.BinBytes8 or PickleOpcode.ByteArray8: stack.Add(Take(UInt64())); return true;
            case PickleOpcode.BinUnicode: stack.Add(Unicode(UInt32())); return true;
            case PickleOpcode.BinUnicode8: stack.Add(Unicode(UInt64())); return true;
            case PickleOpcode.ShortBinUnicode: stack.Add(Unicode(Byte())); return true;
            default: return false;
        }
    }

    private bool RunContainer(PickleOpcode opcode)
    {
        switch (opcode)
        {
            case PickleOpcode.EmptyDict: stack.Add(new Dictionary<string, object?>(StringComparer.Ordinal)); return true;
            case PickleOpcode.EmptyList or PickleOpcode.EmptySet: stack.Add(new List<object?>()); return true;
            case PickleOpcode.FrozenSet: stack.Add(new List<object?>(PopToMark())); return true;
            case PickleOpcode.EmptyTuple: stack.Add(Array.Empty<object?>()); return true;
            case PickleOpcode.Tuple1: stack.Add(PopLast(1)); return true;
            case PickleOpcode.Tuple2: stack.Add(PopLast(2)); return true;
            case PickleOpcode.Tuple3: stack.Add(PopLast(3)); return true;
            case PickleOpcode.Mark: marks.Add(stack.Count); return true;
            case PickleOpcode.Tuple: stack.Add(PopToMark()); return true;
            case PickleOpcode.Append: Append(PopLast(1)); return true;
            case PickleOpcode.Appends or PickleOpcode.AddItems: Append(PopToMark()); return true;
            case PickleOpcode.SetItem: SetItems(PopLast(2)); return true;
            case PickleOpcode.SetItems: SetItems(PopToMark()); return true;
            case PickleOpcode.Pop: Pop(); return true;
            case PickleOpcode.PopMark: PopToMark(); return true;
            case PickleOpcode.Dup: stack.Add(Peek()); return true;
            default: return false;
        }
    }

    private bool RunReference(PickleOpcode opcode)
    {
        switch (opcode)
        {
            case PickleOpcode.BinPut: memo[Byte()] = Peek(); return true;
            case PickleOpcode.LongBinPut: memo[UInt32()] = Peek(); return true;
            case PickleOpcode.Memoize: memo[(uint)memo.Count] = Peek(); return true;
            case PickleOpcode.BinGet: stack.Add(Recall(Byte())); return true;
            case PickleOpcode.LongBinGet: stack.Add(Recall(UInt32())); return true;
            case PickleOpcode.Global: stack.Add(vocabulary.Named(this, Line(), Line())); return true;
            case PickleOpcode.StackGlobal:
                object?[] names = PopLast(2);
                stack.Add(vocabulary.Named(this, Text(names[0]) ?? "?", Text(names[1]) ?? "?"));
                return true;
            case PickleOpcode.Reduce:
                object?[] call = PopLast(2);
                stack.Add(vocabulary.Call(this, call[0], Arguments(call[1])));
                return true;
            case PickleOpcode.NewObject:
                object?[] created = PopLast(2);
                stack.Add(vocabulary.Create(this, created[0], Arguments(created[1])));
                return true;
            case PickleOpcode.NewObjectWithKeywords:
                object?[] keywords = PopLast(3);
                stack.Add(vocabulary.Create(this, keywords[0], Arguments(keywords[1])));
                return true;
            case PickleOpcode.Build:
                object? state = Pop();
                vocabulary.Build(this, Peek(), state);
                return true;
            case PickleOpcode.BinPersistentId: stack.Add(vocabulary.Persistent(this, Pop())); return true;
            case PickleOpcode.Frame:
                // Frames only help Python to read ahead; the length is repeated by what is inside.
                Take(8);
                return true;
            default: return false;
        }
    }

    private object?[] Arguments(object? value) =>
        value as object?[] ?? throw Refuse("a constructor is called without a tuple of arguments");

    /// <summary>The bytes that Python 3 writes into protocol 2 as a text: <c>_codecs.encode(text, 'latin1')</c>.</summary>
    public object EncodeLatin1(string text)
    {
        CountCopy(text);
        return new ReadOnlyMemory<byte>(Encoding.Latin1.GetBytes(text));
    }

    // Where new data is made of old: a text recalled from the memo again and again must not fill the memory.
    private void CountCopy(string text)
    {
        encodedBytes += text.Length;
        if (encodedBytes > bytes.Length) throw Refuse("the same text is turned into bytes over and over");
    }

    /// <summary>Adds (key, value, key, value ...) to a dictionary.</summary>
    public void Fill(Dictionary<string, object?> dictionary, ReadOnlySpan<object?> items)
    {
        if (items.Length % 2 != 0) throw Refuse("a dictionary entry lacks its value");
        for (int i = 0; i < items.Length; i += 2)
        {
            if (Text(items[i]) is { } key)
            {
                if (items[i] is not string) CountCopy(key);
                if (!dictionary.TryAdd(key, items[i + 1])) throw Refuse($"the key '{HostileText.Show(key)}' is set twice");
            }
            else if (items[i] is not (long or double or bool or null or object?[]))
            {
                throw Refuse("a dictionary key is not text");
            }
        }
    }

    /// <summary>The error that a file is refused with.</summary>
    public InputException Refuse(string what) => new($"{path}: pickle, byte {position}: {what}");

    /// <summary>The error for an instruction that is not understood.</summary>
    public InputException RefuseOpcode(PickleOpcode opcode) =>
        Refuse($"opcode 0x{(byte)opcode:X2} is not one that plain data needs, so it is refused");

    /// <summary>A module and a name in it as they are shown in messages.</summary>
    public static string Printable(string module, string name) => $"'{Printable(module)} {Printable(name)}'";

    private void Append(object?[] items)
    {
        if (Peek() is not List<object?> list) throw Refuse("items are added to something that is not a list");
        list.AddRange(items);
    }

    private void SetItems(object?[] items)
    {
        if (Peek() is not Dictionary<string, object?> dictionary) throw Refuse("entries are added to something that is not a dictionary");
        Fill(dictionary, items);
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

    private ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8).Span);

    private ReadOnlyMemory<byte> Take(ulong length)
    {
        if (length > (ulong)(bytes.Length - position))
            throw Refuse($"ends in the middle: {length} bytes are announced and {bytes.Length - position} are left");
        ReadOnlyMemory<byte> slice = bytes.Slice(position, (int)length);
        position += (int)length;
        return slice;
    }

    private string Unicode(ulong length) =>
        length <= LongestText
            ? Encoding.UTF8.GetString(Take(length).Span)
            : throw Refuse($"a text of {length} bytes is longer than any that is needed");

    private string Line()
    {
        ReadOnlySpan<byte> rest = bytes.Span[position..];
        int length = rest[..Math.Min(rest.Length, LongestName)].IndexOf((byte)'\n');
        if (length < 0) throw Refuse("ends in the middle of a name");
        string line = Encoding.Latin1.GetString(Take((ulong)length).Span);
        position++;
        return line;
    }

    // A number that no size or count can have stays what it is in the file.
    private static object Long(ReadOnlyMemory<byte> littleEndian)
    {
        ReadOnlySpan<byte> digits = littleEndian.Span;
        if (digits.Length > sizeof(long)) return littleEndian;
        if (digits.IsEmpty) return 0L;
        long value = (sbyte)digits[^1];
        for (int i = digits.Length - 2; i >= 0; i--) value = (value << 8) | digits[i];
        return value;
    }

    private static string Printable(string name)
    {
        string shown = string.Concat(name.Select(c => c is > ' ' and < (char)127 ? c : '?'));
        return shown.Length <= 60 ? shown : shown[..60] + "...";
    }
}
