using System.Globalization;
using System.Runtime.InteropServices;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <content>The driver's functions that ILGPU has no names for, and what is asked of the driver before ILGPU is.</content>
internal static partial class CudaDriver
{
    /// <summary>Oldest version of CUDA that a driver must support, 1000 times the major plus 10 times the minor: it brought PTX 8.0.</summary>
    public const int NeededVersion = 12000;

    /// <summary>Attribute of a function: how much dynamic shared memory its launches may ask for.</summary>
    public const int MaxDynamicSharedBytes = 8;

    /// <summary>Attribute of a device: how much shared memory a group can have at most if its function asked for it.</summary>
    public const int SharedBytesOptIn = 97;

    /// <summary>A capture that forbids only its own thread what would disturb it.</summary>
    public const int CaptureThreadLocal = 1;

    /// <summary>A tensor map's numbers are bfloat16.</summary>
    public const int TensorMapBFloat16 = 9;

    /// <summary>A tensor map exchanges the 16-byte pieces of rows of 128 bytes.</summary>
    public const int TensorMapSwizzle128 = 3;

    /// <summary>Whatever a tensor map's copy misses in the L2 cache is fetched 256 bytes at a time.</summary>
    public const int TensorMapPromote256 = 3;

    /// <summary>Why no CUDA device can be used here, in words that end without a full stop; null if one can.</summary>
    public static string? Obstacle()
    {
        MapLibraryNames();
        if (!NativeLibrary.TryLoad(Library, out nint library)) return $"no NVIDIA driver is installed ({Library} was not found)";
        NativeLibrary.Free(library);
        CudaError started = Initialize(0);
        if (started == CudaError.CUDA_ERROR_NO_DEVICE) return "the NVIDIA driver sees no GPU";
        if (started != CudaError.CUDA_SUCCESS) return $"the NVIDIA driver does not start ({started})";
        if (GetVersion(out int version) != CudaError.CUDA_SUCCESS || version < NeededVersion)
            return $"the NVIDIA driver is too old: it supports CUDA {VersionText(version)}, the kernels need {VersionText(NeededVersion)} (driver 525 or newer)";
        return GetDeviceCount(out int count) != CudaError.CUDA_SUCCESS || count == 0 ? "the NVIDIA driver sees no GPU" : null;
    }

    /// <summary>Version of CUDA that the driver supports, such as <c>12.8</c>.</summary>
    public static string Version() => GetVersion(out int version) == CudaError.CUDA_SUCCESS ? VersionText(version) : "unknown";

    /// <summary>Changes an attribute of a loaded function.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuFuncSetAttribute")]
    public static partial CudaError SetFunctionAttribute(nint function, int attribute, int value);

    /// <summary>Asks for a property of a device.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuDeviceGetAttribute")]
    public static partial CudaError GetDeviceAttribute(out int value, int attribute, int device);

    /// <summary>Makes work that is given to a stream from now on wait for an event.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuStreamWaitEvent")]
    public static partial CudaError WaitForEvent(nint stream, nint awaited, uint flags);

    /// <summary>From now on a stream notes its work instead of doing it.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuStreamBeginCapture_v2")]
    public static partial CudaError BeginCapture(nint stream, int mode);

    /// <summary>Ends the noting and gives what was noted.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuStreamEndCapture")]
    public static partial CudaError EndCapture(nint stream, out nint graph);

    /// <summary>Makes a graph that can be launched.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuGraphInstantiateWithFlags")]
    public static partial CudaError InstantiateGraph(out nint executable, nint graph, ulong flags);

    /// <summary>Gives all work of a graph to a stream.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuGraphLaunch")]
    public static partial CudaError LaunchGraph(nint executable, nint stream);

    /// <summary>Frees what <see cref="EndCapture"/> gave.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuGraphDestroy")]
    public static partial CudaError DestroyGraph(nint graph);

    /// <summary>Frees what <see cref="InstantiateGraph"/> gave.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuGraphExecDestroy")]
    public static partial CudaError DestroyExecutableGraph(nint executable);

    /// <summary>Describes a matrix to the copy engine; the result is 128 bytes, aligned to 64.</summary>
    [LibraryImport(ImportName, EntryPoint = "cuTensorMapEncodeTiled")]
    public static unsafe partial CudaError EncodeTensorMap(
        byte* map, int type, uint rank, nint address, ulong* extents, ulong* pitches, uint* box, uint* steps, int interleave, int swizzle, int promotion, int fill);

    [LibraryImport(ImportName, EntryPoint = "cuInit")]
    private static partial CudaError Initialize(uint flags);

    [LibraryImport(ImportName, EntryPoint = "cuDriverGetVersion")]
    private static partial CudaError GetVersion(out int version);

    [LibraryImport(ImportName, EntryPoint = "cuDeviceGetCount")]
    private static partial CudaError GetDeviceCount(out int count);

    private static string VersionText(int version) => string.Create(CultureInfo.InvariantCulture, $"{version / 1000}.{version % 1000 / 10}");
}
