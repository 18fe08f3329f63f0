using System.Globalization;
using System.Text.RegularExpressions;

namespace Patching.Tests.Ptx;

/// <content>Modules, functions and launches.</content>
internal sealed unsafe partial class StandInDriver
{
    private const int SharedBytesWithoutAsking = 48 * 1024;
    private const int MaxThreads = 1024;

    private readonly Dictionary<nint, Module> modules = [];
    private readonly Dictionary<nint, Function> functions = [];
    private readonly List<StandInLaunch> launches = [];
    private int launchCount;

    /// <summary>The kernels that ran, in order.</summary>
    public IReadOnlyList<StandInLaunch> Launches => launches;

    internal StandInResult LoadModule(out nint module, string text, out string log)
    {
        module = 0;
        StandInResult result = Check(text, out log);
        if (result != StandInResult.Success) return result;
        PtxModule parsed;
        try
        {
            parsed = PtxModule.Parse(text);
        }
        catch (PtxFault fault)
        {
            log = $"ptxas application ptx input; {fault.Message}\n";
            LastFault = fault;
            return StandInResult.InvalidPtx;
        }
        module = NewHandle();
        modules.Add(module, new Module(string.Join(", ", parsed.Entries.Keys), parsed, text));
        Record("cuModuleLoadData", modules[module].Name);
        return StandInResult.Success;
    }

    internal StandInResult UnloadModule(nint module)
    {
        if (!modules.Remove(module, out Module? removed)) return StandInResult.InvalidHandle;
        foreach (nint function in functions.Where(f => f.Value.Module == module).Select(f => f.Key).ToArray()) functions.Remove(function);
        Record("cuModuleUnload", removed.Name);
        return StandInResult.Success;
    }

    internal StandInResult GetFunction(out nint function, nint module, string name)
    {
        function = 0;
        if (!modules.TryGetValue(module, out Module? loaded)) return StandInResult.InvalidHandle;
        if (!loaded.Text.Entries.TryGetValue(name, out PtxEntry? entry)) return StandInResult.NotFound;
        function = NewHandle();
        functions.Add(function, new Function(module, entry));
        return StandInResult.Success;
    }

    internal StandInResult SetAttribute(nint function, int attribute, int value)
    {
        const int maxDynamicSharedBytes = 8;
        if (!functions.TryGetValue(function, out Function? state)) return StandInResult.InvalidHandle;
        if (attribute == maxDynamicSharedBytes)
        {
            if (value < 0 || value + state.Entry.StaticSharedBytes > gpu.SharedBytesOptIn) return StandInResult.InvalidValue;
            state.DynamicSharedLimit = value;
        }
        Record("cuFuncSetAttribute", $"{state.Entry.Name}, attribute {attribute}, {value}");
        return StandInResult.Success;
    }

    /// <summary>Static shared memory (1); of registers and spills there is no saying without the driver's compiler.</summary>
    internal StandInResult GetAttribute(out int value, int attribute, nint function)
    {
        value = 0;
        if (!functions.TryGetValue(function, out Function? state)) return StandInResult.InvalidHandle;
        if (attribute == 1) value = state.Entry.StaticSharedBytes;
        return StandInResult.Success;
    }

    internal StandInResult EncodeTensorMap(
        out TensorMap map, nint address, int elementBytes, ReadOnlySpan<ulong> extents, ReadOnlySpan<ulong> pitches, ReadOnlySpan<uint> box, TensorSwizzle swizzle)
    {
        map = default;
        try
        {
            map = TensorMap.Encode(address, elementBytes, extents, pitches, box, swizzle);
        }
        catch (ArgumentException)
        {
            return StandInResult.InvalidValue;
        }
        Record("cuTensorMapEncodeTiled", $"{string.Join(" x ", extents.ToArray())}, box {string.Join(" x ", box.ToArray())}");
        return StandInResult.Success;
    }

    internal StandInResult Launch(nint function, Dim3 grid, Dim3 block, int sharedBytes, nint stream, void** parameters, void** extra)
    {
        if (!functions.TryGetValue(function, out Function? state)) return StandInResult.InvalidHandle;
        PtxEntry entry = state.Entry;
        if (!IsValid(grid, block) || block.Count > (entry.MaxThreads?.Count ?? MaxThreads) || sharedBytes < 0 || sharedBytes > state.DynamicSharedLimit) return StandInResult.InvalidValue;
        if (Gather(entry, parameters, extra) is not { } values) return StandInResult.InvalidValue;
        return Submit(stream, "cuLaunchKernel", $"{entry.Name} grid {grid} block {block} shared {sharedBytes} stream {NameOf(stream)}", () =>
        {
            if (++launchCount == gpu.FailingLaunch) return StandInResult.LaunchFailed;
            try
            {
                string text = modules[state.Module].Source;
                launches.Add(new StandInLaunch(entry, grid, block, sharedBytes, PtxMachine.Launch(entry, grid, block, sharedBytes, values, memory), text, values));
                return StandInResult.Success;
            }
            catch (PtxFault fault)
            {
                LastFault = fault;
                return StandInResult.LaunchFailed;
            }
        });
    }

    /// <summary>Runs a kernel again as it ran, but with another text: how a test damages one. What it writes stays written.</summary>
    /// <exception cref="PtxFault">What the interpreter finds wrong with it.</exception>
    public LaunchStatistics Repeat(StandInLaunch launch, string text)
    {
        PtxEntry entry = PtxModule.Parse(text).Entries[launch.Entry.Name];
        lock (Gate) return PtxMachine.Launch(entry, launch.Grid, launch.Block, launch.DynamicSharedBytes, launch.Parameters, memory);
    }

    internal StandInResult BlockSize(nint function, int limit, out int grid, out int block)
    {
        grid = block = 0;
        if (!functions.ContainsKey(function)) return StandInResult.InvalidHandle;
        const int usual = 256, groupsPerMultiprocessor = 8;
        block = limit > 0 ? Math.Min(limit, usual) : usual;
        grid = StandInFunctions.Multiprocessors * groupsPerMultiprocessor;
        return StandInResult.Success;
    }

    // What the assembler of the driver says before it looks at instructions.
    private StandInResult Check(string text, out string log)
    {
        log = "";
        Match version = VersionLine().Match(text), target = TargetLine().Match(text);
        if (!version.Success || !target.Success) log = "ptxas application ptx input, line 1; fatal   : Missing .version directive at start of file\n";
        else if (gpu.CompilerError is { } error) log = error;
        if (log.Length > 0) return StandInResult.InvalidPtx;
        // CUDA 12.0 brought PTX 8.0, every minor release since the next minor version.
        int needed = (Number(version, 1) + 4) * 1000 + Number(version, 2) * 10;
        if (Number(version, 1) >= 8 && needed > gpu.DriverVersion)
        {
            log = $"ptxas application ptx input, line 1; fatal   : Unsupported .version {version.Groups[1]}.{version.Groups[2]}\n";
            return StandInResult.UnsupportedPtxVersion;
        }
        int capability = gpu.Capability.Major * 10 + gpu.Capability.Minor, architecture = Number(target, 1);
        bool fits = target.Groups[2].Length > 0 ? architecture == capability : architecture <= capability;
        if (!fits) log = $"ptxas application ptx input, line 2; fatal   : .target sm_{architecture}{target.Groups[2]} is not this device\n";
        return fits ? StandInResult.Success : StandInResult.NoBinaryForGpu;
    }

    // Either an array of pointers to the values, or one buffer laid out as the kernel's parameters are.
    private static byte[]? Gather(PtxEntry entry, void** parameters, void** extra)
    {
        int bytes = entry.ParameterBytes;
        byte[] values = new byte[bytes];
        if (extra != null)
        {
            const nint bufferPointer = 1, bufferSize = 2;
            void* buffer = null;
            nint size = 0;
            for (; *extra != null; extra += 2)
            {
                if ((nint)extra[0] == bufferPointer) buffer = extra[1];
                if ((nint)extra[0] == bufferSize) size = *(nint*)extra[1];
            }
            if (size < bytes || buffer == null && bytes > 0) return null;
            new ReadOnlySpan<byte>(buffer, bytes).CopyTo(values);
            return values;
        }
        if (parameters == null && bytes > 0) return null;
        for (int i = 0; i < entry.Parameters.Count; i++)
            new ReadOnlySpan<byte>(parameters[i], entry.Parameters[i].Bytes).CopyTo(values.AsSpan(entry.Parameters[i].Offset));
        return values;
    }

    private static bool IsValid(Dim3 grid, Dim3 block)
    {
        const int maxGrid = 65535, maxBlockDepth = 64;
        return grid is { X: > 0, Y: > 0 and <= maxGrid, Z: > 0 and <= maxGrid }
            && block is { X: > 0, Y: > 0, Z: > 0 and <= maxBlockDepth } && block.Count <= MaxThreads;
    }

    private static int Number(Match match, int group) => int.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"\.version\s+(\d+)\.(\d+)")]
    private static partial Regex VersionLine();

    [GeneratedRegex(@"\.target\s+sm_(\d+)(a?)")]
    private static partial Regex TargetLine();

    private sealed record Module(string Name, PtxModule Text, string Source);

    private sealed record Function(nint Module, PtxEntry Entry)
    {
        public int DynamicSharedLimit { get; set; } = SharedBytesWithoutAsking - Entry.StaticSharedBytes;
    }
}

/// <summary>A kernel that ran.</summary>
/// <param name="Entry">Its text.</param>
/// <param name="Grid">Groups.</param>
/// <param name="Block">Threads of a group.</param>
/// <param name="DynamicSharedBytes">Shared memory it asked for at the launch.</param>
/// <param name="Statistics">What the interpreter counted.</param>
/// <param name="Text">The module it came from.</param>
/// <param name="Parameters">What it was given.</param>
internal sealed record StandInLaunch(
    PtxEntry Entry, Dim3 Grid, Dim3 Block, int DynamicSharedBytes, LaunchStatistics Statistics, string Text, byte[] Parameters);
