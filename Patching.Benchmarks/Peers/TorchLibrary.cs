using System.Buffers.Binary;
using System.Text;
using Patching.Benchmarks.EndToEnd;

namespace Patching.Benchmarks.Peers;

/// <summary>
/// TorchSharp's native library says that it needs version GLIBCXX_3.4.32 of the C++ library. Where the system's is older the dynamic
/// linker refuses it, although
/// one harmless symbol is all that is missing. Marking the need as weak (ELF's VER_FLG_WEAK) in the copy beside this program turns the
/// refusal into a remark.
/// </summary>
internal static class TorchLibrary
{
    private const string Version = "GLIBCXX_3.4.32";
    private const ushort Weak = 2;

    private const uint SectionVersionNeeds = 0x6ffffffe;

    private static readonly string[] SystemFolders = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];

    private static string LibraryPath => Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native", "libLibTorchSharp.so");

    /// <summary>Whether the system's C++ library is too old.</summary>
    public static bool NeedsNewerSystem()
    {
        if (!OperatingSystem.IsLinux()) return false;
        string? library = SystemFolders.Select(folder => Path.Combine(folder, "libstdc++.so.6")).FirstOrDefault(File.Exists);
        return library is not null && File.ReadAllBytes(library).AsSpan().IndexOf(Encoding.ASCII.GetBytes(Version + "\0")) < 0;
    }

    /// <summary>Marks the need in the copy of the library as weak, unless that has been done.</summary>
    /// <exception cref="WorkerException">The library is not there or not a 64-bit ELF file with such a need.</exception>
    public static void MakeNeedOptional()
    {
        if (!File.Exists(LibraryPath)) throw new WorkerException($"{Path.GetFileName(LibraryPath)} is not beside the program");
        byte[] elf = File.ReadAllBytes(LibraryPath);
        int flags = FindFlags(elf);
        if (BinaryPrimitives.ReadUInt16LittleEndian(elf.AsSpan(flags)) == Weak) return;
        BinaryPrimitives.WriteUInt16LittleEndian(elf.AsSpan(flags), Weak);
        // A new file: the old one may be a link into the package cache.
        string temporary = LibraryPath + ".tmp";
        File.WriteAllBytes(temporary, elf);
        File.Move(temporary, LibraryPath, overwrite: true);
    }

    /// <summary>Offset of the flags (vna_flags) of the need for <see cref="Version"/>.</summary>
    private static int FindFlags(byte[] elf)
    {
        uint U32(long at) => BinaryPrimitives.ReadUInt32LittleEndian(elf.AsSpan((int)at));
        long U64(long at) => BinaryPrimitives.ReadInt64LittleEndian(elf.AsSpan((int)at));
        ushort U16(long at) => BinaryPrimitives.ReadUInt16LittleEndian(elf.AsSpan((int)at));
        byte[] wanted = Encoding.ASCII.GetBytes(Version + "\0");

        // Elf64_Ehdr: e_shoff at 40, e_shentsize at 58, e_shnum at 60. Elf64_Shdr: sh_type at 4, sh_offset at 24, sh_link at 40, sh_info
        // at 44.
        long sections = U64(40);
        int size = U16(58), count = U16(60);
        for (int s = 0; s < count; s++)
        {
            long section = sections + (long)s * size;
            if (U32(section + 4) != SectionVersionNeeds) continue;
            long names = U64(sections + U32(section + 40) * (long)size + 24);
            long need = U64(section + 24);
            // Elf64_Verneed: vn_cnt at 2, vn_aux at 8, vn_next at 12. Elf64_Vernaux: vna_flags at 4, vna_name at 8, vna_next at 12.
            for (uint file = 0; file < U32(section + 44); file++, need += U32(need + 12))
            {
                long aux = need + U32(need + 8);
                for (int version = 0; version < U16(need + 2); version++, aux += U32(aux + 12))
                {
                    if (elf.AsSpan((int)(names + U32(aux + 8))).StartsWith(wanted)) return (int)aux + 4;
                }
            }
        }
        throw new WorkerException($"{Path.GetFileName(LibraryPath)} does not need {Version}: another version of TorchSharp?");
    }
}
