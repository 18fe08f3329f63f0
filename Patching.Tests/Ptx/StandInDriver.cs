using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>
/// A CUDA driver without a GPU: what ILGPU and this project load as <c>libcuda</c> in the tests. Device memory is native memory, modules are PTX text, and a launch
/// runs the text in the interpreter. The whole path from a public launcher to the instructions of its kernel is the real one, but for the assembler and the chip.
/// The device is visible only between <see cref="Visible"/> and <see cref="Dispose"/>, so that all other tests go on finding none.
/// </summary>
/// <remarks>
/// Stricter than a driver where a driver leaves traps: a context must be current, copies must stay inside one allocation, memory that is not page-locked must not
/// take part in a graph, and everything has to be given back.
/// </remarks>
internal sealed partial class StandInDriver : IDisposable
{
    private static readonly Lock Gate = new();
    private static StandInDriver? current;
    private static nint lastHandle = 0x1000;
    private static string? libraryPath;

    [ThreadStatic]
    private static nint boundContext;

    private readonly StandInGpu gpu;
    private readonly HashSet<nint> contexts = [];
    private readonly List<StandInCall> calls = [];
    private StandInResult sticky;

    private StandInDriver(StandInGpu gpu)
    {
        this.gpu = gpu;
        streams[0] = new StreamState(0, Blocking: true);
    }

    /// <summary>Whether the tests talk to real hardware instead: with PATCHING_TEST_GPU=1 in the environment.</summary>
    public static bool UsesHardware { get; } = Environment.GetEnvironmentVariable("PATCHING_TEST_GPU") == "1";

    /// <summary>Calls so far.</summary>
    public IReadOnlyList<StandInCall> Calls => calls;

    /// <summary>What the interpreter found wrong with the last failing launch.</summary>
    public PtxFault? LastFault { get; private set; }

    /// <summary>What has been created and not been destroyed, in words.</summary>
    public IReadOnlyList<string> Leaks
    {
        get
        {
            lock (Gate)
            {
                return
                [
                    .. contexts.Select(_ => "context"),
                    .. allocations.Select(a => string.Create(CultureInfo.InvariantCulture, $"{a.Value.Bytes} bytes of {a.Value.Kind} memory")),
                    .. streams.Keys.Where(handle => handle != 0).Select(_ => "stream"),
                    .. events.Select(_ => "event"),
                    .. modules.Select(m => $"module of {m.Value.Name}"),
                    .. graphs.Select(_ => "graph"),
                ];
            }
        }
    }

    /// <summary>
    /// Makes the device visible until the result is disposed. The test is skipped where the stand-in cannot be loaded, and where the tests run on real hardware.
    /// </summary>
    public static StandInDriver Visible(StandInGpu? gpu = null)
    {
        if (UsesHardware) Assert.Ignore("runs on real hardware, not on the stand-in driver");
        if (!IsSupported) Assert.Ignore("the stand-in driver needs Linux on x64");
        Install();
        lock (Gate)
        {
            if (current is not null) throw new InvalidOperationException("a stand-in device is visible already");
            return current = new StandInDriver(gpu ?? new StandInGpu());
        }
    }

    /// <summary>
    /// Loads the stand-in in the driver's place; called before the first test, because ILGPU looks for the driver once in the life of a process.
    /// </summary>
    public static void Install()
    {
        if (libraryPath is not null || !IsSupported || UsesHardware) return;
        CudaDriver.Library = libraryPath = WriteLibrary();
    }

    /// <summary>Forgets the calls and launches recorded so far.</summary>
    public void Clear()
    {
        lock (Gate)
        {
            calls.Clear();
            launches.Clear();
        }
    }

    /// <summary>The device disappears. Memory that was not given back stays reserved, so that a late finalizer frees nothing that is in use again.</summary>
    public void Dispose()
    {
        lock (Gate)
        {
            if (current == this) current = null;
        }
    }

    /// <summary>Deletes the file of the library at the end of the tests; .NET's loader asks for it by name more than once until then.</summary>
    public static void RemoveFile()
    {
        if (libraryPath is not null) File.Delete(libraryPath);
    }

    private static bool IsSupported => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;

    private static string WriteLibrary()
    {
        (string Name, nint Address)[] functions =
        [
            .. from method in typeof(StandInFunctions).GetMethods(BindingFlags.Static | BindingFlags.NonPublic)
               where method.IsDefined(typeof(UnmanagedCallersOnlyAttribute))
               select (method.Name, method.MethodHandle.GetFunctionPointer()),
        ];
        string path = Path.Combine(Path.GetTempPath(), $"libcuda-standin-{Environment.ProcessId}-{Guid.NewGuid():N}.so");
        File.WriteAllBytes(path, StandInLibrary.Create("libcuda-standin.so", functions));
        return path;
    }

    /// <summary>Runs the body of a driver function that needs a context: after a failed launch it fails like everything else.</summary>
    internal static int Call(Func<StandInDriver, StandInResult> body) => Enter(driver =>
    {
        if (!driver.contexts.Contains(boundContext)) return StandInResult.InvalidContext;
        return driver.sticky != StandInResult.Success ? driver.sticky : body(driver);
    });

    /// <summary>Runs the body of a driver function. No exception may leave it: the caller is native code.</summary>
    internal static int Enter(Func<StandInDriver, StandInResult> body)
    {
        lock (Gate)
        {
            if (current is not { } driver) return (int)StandInResult.Deinitialized;
            try
            {
                return (int)body(driver);
            }
            catch (Exception error)
            {
                driver.Record("error", error.ToString());
                return (int)StandInResult.Unknown;
            }
        }
    }

    /// <summary>Number of visible devices.</summary>
    internal static int DeviceCount
    {
        get
        {
            lock (Gate) return current is null ? 0 : 1;
        }
    }

    /// <summary>Version of the driver, also while its device is hidden.</summary>
    internal static int Version
    {
        get
        {
            lock (Gate) return (current?.gpu ?? new StandInGpu()).DriverVersion;
        }
    }

    internal StandInGpu Gpu => gpu;

    internal StandInResult CreateContext(out nint context)
    {
        context = NewHandle();
        contexts.Add(context);
        boundContext = context;
        Record("cuCtxCreate");
        return StandInResult.Success;
    }

    internal StandInResult DestroyContext(nint context)
    {
        if (!contexts.Remove(context)) return StandInResult.InvalidContext;
        if (boundContext == context) boundContext = 0;
        Record("cuCtxDestroy");
        return StandInResult.Success;
    }

    internal StandInResult BindContext(nint context)
    {
        if (context != 0 && !contexts.Contains(context)) return StandInResult.InvalidContext;
        boundContext = context;
        return StandInResult.Success;
    }

    private static nint NewHandle() => lastHandle += 0x10;

    private void Record(string name, string arguments = "") => calls.Add(new StandInCall(name, arguments));
}
