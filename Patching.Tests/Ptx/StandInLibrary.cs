using System.Buffers.Binary;
using System.Text;

namespace Patching.Tests.Ptx;

/// <summary>
/// Writes a shared library for Linux on x64 whose functions jump to given addresses: how managed methods become functions of a driver without a compiler. The
/// file is only of use to the process that wrote it.
/// <code>
/// page 0   file header | 4 program headers | .hash | .dynsym | .dynstr | code: one "mov rax, address; jmp rax" per function      read, execute
/// page n   .dynamic                                                                                                           read, write
/// </code>
/// Source: System V ABI, chapters "Object Files" and "Program Loading and Dynamic Linking"; x86-64 supplement.
/// </summary>
internal static class StandInLibrary
{
    private const int Page = 4096;
    private const int HeaderBytes = 64, ProgramHeaderBytes = 56, ProgramHeaders = 4, SymbolBytes = 24, JumpBytes = 16, DynamicEntries = 7;
    private const int Load = 1, Dynamic = 2, Stack = 0x6474E551;
    private const int Execute = 1, Write = 2, Read = 4;

    /// <summary>The bytes of the library.</summary>
    /// <param name="name">Its own name, as the loader lists it.</param>
    /// <param name="functions">Names of the functions and where they go.</param>
    public static byte[] Create(string name, IReadOnlyList<(string Name, nint Address)> functions)
    {
        byte[] names = Names(name, functions, out int[] nameOffsets);
        int symbols = functions.Count + 1;
        int hash = HeaderBytes + ProgramHeaders * ProgramHeaderBytes;
        int symbolTable = Align(hash + 4 * (2 + 1 + symbols), 8);
        int strings = symbolTable + symbols * SymbolBytes;
        int code = Align(strings + names.Length, 16);
        int dynamic = Align(code + functions.Count * JumpBytes, Page);
        byte[] file = new byte[dynamic + DynamicEntries * 16];

        WriteHeader(file);
        WriteSegment(file, 0, Load, Read | Execute, 0, code + functions.Count * JumpBytes, Page);
        WriteSegment(file, 1, Load, Read | Write, dynamic, DynamicEntries * 16, Page);
        WriteSegment(file, 2, Dynamic, Read | Write, dynamic, DynamicEntries * 16, 8);
        WriteSegment(file, 3, Stack, Read | Write, 0, 0, 16);
        WriteHash(file.AsSpan(hash), symbols);
        names.CopyTo(file, strings);
        for (int i = 0; i < functions.Count; i++)
        {
            WriteSymbol(file.AsSpan(symbolTable + (i + 1) * SymbolBytes), nameOffsets[i + 1], code + i * JumpBytes);
            WriteJump(file.AsSpan(code + i * JumpBytes), functions[i].Address);
        }
        WriteDynamic(file.AsSpan(dynamic), nameOffsets[0], hash, symbolTable, strings, names.Length);
        return file;
    }

    private static int Align(int offset, int alignment) => (offset + alignment - 1) / alignment * alignment;

    private static byte[] Names(string library, IReadOnlyList<(string Name, nint Address)> functions, out int[] offsets)
    {
        MemoryStream names = new();
        names.WriteByte(0);
        offsets = [.. functions.Select(function => function.Name).Prepend(library).Select(text =>
        {
            int offset = (int)names.Length;
            names.Write(Encoding.ASCII.GetBytes(text + '\0'));
            return offset;
        })];
        return names.ToArray();
    }

    private static void WriteHeader(Span<byte> file)
    {
        // 64 bits, little-endian, version 1.
        ReadOnlySpan<byte> magic = [0x7F, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1];
        magic.CopyTo(file);
        Half(file, 16, 3); // a shared object
        Half(file, 18, 62); // x86-64
        Word(file, 20, 1);
        Long(file, 32, HeaderBytes); // program headers follow
        Half(file, 52, HeaderBytes);
        Half(file, 54, ProgramHeaderBytes);
        Half(file, 56, ProgramHeaders);
        Half(file, 58, 64); // size of a section header, of which there are none
    }

    private static void WriteSegment(Span<byte> file, int index, int type, int flags, int offset, int bytes, int alignment)
    {
        Span<byte> header = file.Slice(HeaderBytes + index * ProgramHeaderBytes, ProgramHeaderBytes);
        Word(header, 0, type);
        Word(header, 4, flags);
        Long(header, 8, offset);
        Long(header, 16, offset); // where it is mapped, relative to the base
        Long(header, 24, offset);
        Long(header, 32, bytes);
        Long(header, 40, bytes);
        Long(header, 48, alignment);
    }

    // One bucket whose chain runs through all symbols: a linear search, which is quick enough here.
    private static void WriteHash(Span<byte> table, int symbols)
    {
        Word(table, 0, 1);
        Word(table, 4, symbols);
        Word(table, 8, symbols > 1 ? 1 : 0);
        for (int i = 1; i < symbols; i++) Word(table, 12 + 4 * i, i + 1 < symbols ? i + 1 : 0);
    }

    private static void WriteSymbol(Span<byte> symbol, int name, int address)
    {
        Word(symbol, 0, name);
        symbol[4] = 0x12; // a global function
        Half(symbol, 6, 1); // defined, in any section
        Long(symbol, 8, address);
        Long(symbol, 16, JumpBytes);
    }

    private static void WriteJump(Span<byte> code, nint address)
    {
        code[0] = 0x48;
        code[1] = 0xB8;
        Long(code, 2, address);
        code[10] = 0xFF;
        code[11] = 0xE0;
    }

    private static void WriteDynamic(Span<byte> table, int name, int hash, int symbols, int strings, int stringBytes)
    {
        // DT_SONAME, DT_HASH, DT_SYMTAB, DT_SYMENT, DT_STRTAB, DT_STRSZ, DT_NULL.
        ReadOnlySpan<(int Tag, int Value)> entries =
            [(14, name), (4, hash), (6, symbols), (11, SymbolBytes), (5, strings), (10, stringBytes), (0, 0)];
        for (int i = 0; i < entries.Length; i++)
        {
            Long(table, 16 * i, entries[i].Tag);
            Long(table, 16 * i + 8, entries[i].Value);
        }
    }

    private static void Half(Span<byte> to, int offset, int value) => BinaryPrimitives.WriteUInt16LittleEndian(to[offset..], (ushort)value);

    private static void Word(Span<byte> to, int offset, int value) => BinaryPrimitives.WriteInt32LittleEndian(to[offset..], value);

    private static void Long(Span<byte> to, int offset, long value) => BinaryPrimitives.WriteInt64LittleEndian(to[offset..], value);
}
