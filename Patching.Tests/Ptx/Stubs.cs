using System.Text.RegularExpressions;
namespace Patching.Tests.Ptx;
internal sealed record PtxParameter(string Name, int Bytes, int Alignment, int Offset);
internal sealed class PtxFault(string message) : Exception(message);
internal readonly record struct Dim3(int X, int Y = 1, int Z = 1) { public long Count => (long)X * Y * Z; public override string ToString() => $"({X},{Y},{Z})"; }
internal sealed class PtxEntry
{
    public required string Name { get; init; }
    public required IReadOnlyList<PtxParameter> Parameters { get; init; }
    public required int ParameterBytes { get; init; }
    public required Dim3? MaxThreads { get; init; }
    public required int StaticSharedBytes { get; init; }
}
internal sealed class PtxModule
{
    private readonly Dictionary<string, PtxEntry> entries = [];
    public IReadOnlyDictionary<string, PtxEntry> Entries => entries;
    public static PtxModule Parse(string text)
    {
        PtxModule m = new();
        foreach (Match e in Regex.Matches(text, @"\.entry\s+(\w+)\s*\(([^)]*)\)"))
        {
            List<PtxParameter> ps = []; int offset = 0;
            foreach (Match p in Regex.Matches(e.Groups[2].Value, @"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w)(\d+)\s+(\w+)(?:\[(\d+)\])?"))
            {
                int element = int.Parse(p.Groups[3].Value) / 8, bytes = element * (p.Groups[5].Success ? int.Parse(p.Groups[5].Value) : 1), align = p.Groups[1].Success ? int.Parse(p.Groups[1].Value) : element;
                offset = (offset + align - 1) / align * align;
                ps.Add(new(p.Groups[4].Value, bytes, align, offset)); offset += bytes;
            }
            m.entries.Add(e.Groups[1].Value, new() { Name = e.Groups[1].Value, Parameters = ps, ParameterBytes = offset, MaxThreads = null, StaticSharedBytes = 0 });
        }
        return m;
    }
}
internal sealed class PtxStatistics;
internal sealed class DeviceMemory { public void Add(nint a, long b) { } public void Remove(nint a) { } public void MarkInitialized(nint a, long b) { } }
internal static class PtxMachine { public static PtxStatistics Launch(PtxEntry e, Dim3 g, Dim3 b, int s, ReadOnlySpan<byte> p, DeviceMemory m) => new(); }
