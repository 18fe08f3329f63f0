using System.Runtime.InteropServices;
using System.Text;

namespace Patching.Tests.Ptx;

/// <summary>
/// The driver's functions as native code sees them, each under its exported name; what they do is in <see cref="StandInDriver"/>. A function that is not here is
/// not in the library either: whoever calls it gets an <see cref="EntryPointNotFoundException"/> with its name.
/// </summary>
internal static unsafe class StandInFunctions
{
    /// <summary>Multiprocessors of the device.</summary>
    public const int Multiprocessors = 132;

    private const int Success = (int)StandInResult.Success;

    private static readonly Dictionary<int, nint> Messages = [];

    // The device.

    [UnmanagedCallersOnly]
    private static int cuInit(uint flags) => Success;

    [UnmanagedCallersOnly]
    private static int cuDriverGetVersion(int* version)
    {
        *version = StandInDriver.Version;
        return Success;
    }

    [UnmanagedCallersOnly]
    private static int cuDeviceGetCount(int* count)
    {
        *count = StandInDriver.DeviceCount;
        return Success;
    }

    [UnmanagedCallersOnly]
    private static int cuDeviceGet(int* device, int ordinal)
    {
        *device = ordinal;
        return ordinal < StandInDriver.DeviceCount ? Success : (int)StandInResult.InvalidDevice;
    }

    [UnmanagedCallersOnly]
    private static int cuDeviceGetName(byte* name, int length, int device) => StandInDriver.Enter(driver =>
    {
        byte[] text = Encoding.ASCII.GetBytes(driver.Gpu.Name + '\0');
        text.AsSpan(0, Math.Min(length, text.Length)).CopyTo(new Span<byte>(name, length));
        return StandInResult.Success;
    });

    [UnmanagedCallersOnly]
    private static int cuDeviceTotalMem_v2(nint* bytes, int device) => StandInDriver.Enter(driver =>
    {
        *bytes = (nint)driver.Gpu.MemoryBytes;
        return StandInResult.Success;
    });

    [UnmanagedCallersOnly]
    private static int cuDeviceGetAttribute(int* value, int attribute, int device) => StandInDriver.Enter(driver =>
    {
        *value = Attribute(driver.Gpu, attribute);
        return StandInResult.Success;
    });

    // Contexts.

    [UnmanagedCallersOnly]
    private static int cuCtxCreate_v2(nint* context, uint flags, int device) => StandInDriver.Enter(driver => driver.CreateContext(out *context));

    [UnmanagedCallersOnly]
    private static int cuCtxDestroy_v2(nint context) => StandInDriver.Enter(driver => driver.DestroyContext(context));

    [UnmanagedCallersOnly]
    private static int cuCtxSetCurrent(nint context) => StandInDriver.Enter(driver => driver.BindContext(context));

    [UnmanagedCallersOnly]
    private static int cuCtxSynchronize() => StandInDriver.Call(driver => driver.SynchronizeContext());

    [UnmanagedCallersOnly]
    private static int cuCtxGetCacheConfig(int* configuration) => Zero(configuration);

    [UnmanagedCallersOnly]
    private static int cuCtxSetCacheConfig(int configuration) => Success;

    [UnmanagedCallersOnly]
    private static int cuCtxGetSharedMemConfig(int* configuration) => Zero(configuration);

    [UnmanagedCallersOnly]
    private static int cuCtxSetSharedMemConfig(int configuration) => Success;

    [UnmanagedCallersOnly]
    private static int cuDeviceCanAccessPeer(int* can, int device, int peer) => Zero(can);

    // Memory.

    [UnmanagedCallersOnly]
    private static int cuMemGetInfo_v2(nint* free, nint* total) => StandInDriver.Call(driver =>
    {
        *free = (nint)driver.FreeBytes;
        *total = (nint)driver.Gpu.MemoryBytes;
        return StandInResult.Success;
    });

    [UnmanagedCallersOnly]
    private static int cuMemAlloc_v2(nint* address, nint bytes) => StandInDriver.Call(driver => driver.Allocate(out *address, bytes));

    [UnmanagedCallersOnly]
    private static int cuMemFree_v2(nint address) => StandInDriver.Call(driver => driver.Free(address));

    [UnmanagedCallersOnly]
    private static int cuMemAllocHost_v2(nint* address, nint bytes) => StandInDriver.Call(driver => driver.AllocateHost(out *address, bytes));

    [UnmanagedCallersOnly]
    private static int cuMemFreeHost(nint address) => StandInDriver.Call(driver => driver.FreeHost(address));

    [UnmanagedCallersOnly]
    private static int cuMemHostRegister_v2(nint address, nint bytes, uint flags) => StandInDriver.Call(driver => driver.Register(address, bytes));

    [UnmanagedCallersOnly]
    private static int cuMemHostUnregister(nint address) => StandInDriver.Call(driver => driver.Unregister(address));

    [UnmanagedCallersOnly]
    private static int cuPointerGetAttribute(int* value, int attribute, nint address) =>
        StandInDriver.Call(driver => driver.PointerType(out *value, address));

    [UnmanagedCallersOnly]
    private static int cuMemcpyAsync(nint to, nint from, nint bytes, nint stream) => StandInDriver.Call(driver => driver.Copy(to, from, bytes, stream));

    [UnmanagedCallersOnly]
    private static int cuMemsetD8Async(nint address, byte value, nint bytes, nint stream) =>
        StandInDriver.Call(driver => driver.Set(address, value, bytes, stream));

    // Streams and events.

    [UnmanagedCallersOnly]
    private static int cuStreamCreate(nint* stream, uint flags) => StandInDriver.Call(driver => driver.CreateStream(out *stream, flags));

    [UnmanagedCallersOnly]
    private static int cuStreamDestroy_v2(nint stream) => StandInDriver.Call(driver => driver.DestroyStream(stream));

    [UnmanagedCallersOnly]
    private static int cuStreamSynchronize(nint stream) => StandInDriver.Call(driver => driver.SynchronizeStream(stream));

    [UnmanagedCallersOnly]
    private static int cuStreamWaitEvent(nint stream, nint handle, uint flags) => StandInDriver.Call(driver => driver.WaitEvent(stream, handle));

    [UnmanagedCallersOnly]
    private static int cuEventCreate(nint* handle, uint flags) => StandInDriver.Call(driver => driver.CreateEvent(out *handle));

    [UnmanagedCallersOnly]
    private static int cuEventDestroy_v2(nint handle) => StandInDriver.Call(driver => driver.DestroyEvent(handle));

    [UnmanagedCallersOnly]
    private static int cuEventRecord(nint handle, nint stream) => StandInDriver.Call(driver => driver.RecordEvent(handle, stream));

    [UnmanagedCallersOnly]
    private static int cuEventQuery(nint handle) => StandInDriver.Call(driver => driver.QueryEvent(handle));

    [UnmanagedCallersOnly]
    private static int cuEventSynchronize(nint handle) => StandInDriver.Call(driver => driver.SynchronizeEvent(handle));

    [UnmanagedCallersOnly]
    private static int cuEventElapsedTime(float* milliseconds, nint start, nint end) =>
        StandInDriver.Call(driver => driver.ElapsedTime(out *milliseconds, start, end));

    // Graphs.

    [UnmanagedCallersOnly]
    private static int cuStreamBeginCapture_v2(nint stream, int mode) => StandInDriver.Call(driver => driver.BeginCapture(stream));

    [UnmanagedCallersOnly]
    private static int cuStreamEndCapture(nint stream, nint* graph) => StandInDriver.Call(driver => driver.EndCapture(stream, out *graph));

    [UnmanagedCallersOnly]
    private static int cuStreamIsCapturing(nint stream, int* status) => StandInDriver.Call(driver => driver.IsCapturing(stream, out *status));

    [UnmanagedCallersOnly]
    private static int cuGraphInstantiateWithFlags(nint* executable, nint graph, ulong flags) =>
        StandInDriver.Call(driver => driver.Instantiate(out *executable, graph));

    [UnmanagedCallersOnly]
    private static int cuGraphLaunch(nint executable, nint stream) => StandInDriver.Call(driver => driver.LaunchGraph(executable, stream));

    [UnmanagedCallersOnly]
    private static int cuGraphDestroy(nint graph) => StandInDriver.Call(driver => driver.DestroyGraph(graph, executable: false));

    [UnmanagedCallersOnly]
    private static int cuGraphExecDestroy(nint executable) => StandInDriver.Call(driver => driver.DestroyGraph(executable, executable: true));

    // Modules and launches.

    [UnmanagedCallersOnly]
    private static int cuModuleLoadData(nint* module, byte* text) => StandInDriver.Call(driver => driver.LoadModule(out *module, Text(text), out _));

    [UnmanagedCallersOnly]
    private static int cuModuleLoadDataEx(nint* module, byte* text, uint count, int* options, nint* values) => StandInDriver.Call(driver =>
    {
        const int errorLog = 5, errorLogBytes = 6;
        StandInResult result = driver.LoadModule(out *module, Text(text), out string log);
        Span<int> names = new(options, (int)count);
        int buffer = names.IndexOf(errorLog), size = names.IndexOf(errorLogBytes);
        if (buffer < 0 || size < 0) return result;
        Span<byte> target = new((void*)values[buffer], (int)values[size]);
        byte[] bytes = Encoding.ASCII.GetBytes(log + '\0');
        bytes.AsSpan(0, Math.Min(bytes.Length, target.Length)).CopyTo(target);
        return result;
    });

    [UnmanagedCallersOnly]
    private static int cuModuleUnload(nint module) => StandInDriver.Call(driver => driver.UnloadModule(module));

    [UnmanagedCallersOnly]
    private static int cuModuleGetFunction(nint* function, nint module, byte* name) =>
        StandInDriver.Call(driver => driver.GetFunction(out *function, module, Text(name)));

    [UnmanagedCallersOnly]
    private static int cuFuncSetAttribute(nint function, int attribute, int value) =>
        StandInDriver.Call(driver => driver.SetAttribute(function, attribute, value));

    [UnmanagedCallersOnly]
    private static int cuFuncGetAttribute(int* value, int attribute, nint function) =>
        StandInDriver.Call(driver => driver.GetAttribute(out *value, attribute, function));

    [UnmanagedCallersOnly]
    private static int cuTensorMapEncodeTiled(
        TensorMap* map, int type, uint rank, nint address, ulong* extents, ulong* pitches, uint* box, uint* steps, int interleave, int swizzle, int promotion, int fill) =>
        StandInDriver.Call(driver =>
        {
            const int bfloat16 = 9, alignment = 64;
            // Of what a driver knows, what this project uses.
            if (type != bfloat16 || interleave != 0 || promotion is < 0 or > 3 || fill != 0 || rank is < 1 or > 5) return StandInResult.NotSupported;
            if ((nint)map % alignment != 0 || new ReadOnlySpan<uint>(steps, (int)rank).ContainsAnyExcept(1u)) return StandInResult.InvalidValue;
            return driver.EncodeTensorMap(
                out *map, address, sizeof(ushort), new(extents, (int)rank), new(pitches, (int)rank - 1), new(box, (int)rank), (TensorSwizzle)swizzle);
        });

    [UnmanagedCallersOnly]
    private static int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream, void** parameters, void** extra) =>
        StandInDriver.Call(driver => driver.Launch(
            function, new Dim3((int)gridX, (int)gridY, (int)gridZ), new Dim3((int)blockX, (int)blockY, (int)blockZ), (int)sharedBytes, stream, parameters, extra));

    [UnmanagedCallersOnly]
    private static int cuLaunchKernelEx(LaunchConfiguration* configuration, nint function, void** parameters, void** extra) => StandInDriver.Call(driver =>
    {
        LaunchConfiguration c = *configuration;
        return c.AttributeCount > 0
            ? StandInResult.NotSupported
            : driver.Launch(function, new Dim3(c.GridX, c.GridY, c.GridZ), new Dim3(c.BlockX, c.BlockY, c.BlockZ), c.SharedBytes, c.Stream, parameters, extra);
    });

    [UnmanagedCallersOnly]
    private static int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* groups, nint function, int blockSize, nint sharedBytes)
    {
        *groups = 2;
        return Success;
    }

    [UnmanagedCallersOnly]
    private static int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, nint function, nint sharedBytesOfBlock, nint sharedBytes, int limit) =>
        StandInDriver.Call(driver => driver.BlockSize(function, limit, out *grid, out *block));

    [UnmanagedCallersOnly]
    private static int cuGetErrorString(int error, nint* text)
    {
        lock (Messages)
        {
            if (!Messages.TryGetValue(error, out nint message))
                Messages[error] = message = Marshal.StringToCoTaskMemUTF8(Message((StandInResult)error));
            *text = message;
        }
        return Success;
    }

    private static int Zero(int* value)
    {
        *value = 0;
        return Success;
    }

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text)!;

    private static string Message(StandInResult result) => result switch
    {
        StandInResult.Success => "no error",
        StandInResult.InvalidValue => "invalid argument",
        StandInResult.OutOfMemory => "out of memory",
        StandInResult.Deinitialized => "driver shutting down",
        StandInResult.InvalidContext => "invalid device context",
        StandInResult.NoBinaryForGpu => "no kernel image is available for execution on the device",
        StandInResult.InvalidPtx => "a PTX JIT compilation failed",
        StandInResult.UnsupportedPtxVersion => "the provided PTX was compiled with an unsupported toolchain.",
        StandInResult.LaunchFailed => "unspecified launch failure",
        StandInResult.StreamCaptureUnsupported => "operation not permitted when stream is capturing",
        StandInResult.StreamCaptureInvalidated => "operation failed due to a previous error during capture",
        _ => result.ToString(),
    };

    // The numbers are the driver's CUdevice_attribute; what nobody asks for is 1.
    private static int Attribute(StandInGpu gpu, int attribute) => attribute switch
    {
        1 => 1024, // threads of a group
        2 or 3 => 1024,
        4 => 64,
        5 => int.MaxValue, // groups of a grid
        6 or 7 => 65535,
        8 => 48 * 1024, // shared memory of a group
        9 => 64 * 1024, // constant memory
        10 => 32, // warp
        12 or 82 => 65536, // registers
        13 => 1980000, // kHz
        16 => Multiprocessors,
        39 => 2048, // threads of a multiprocessor
        75 => gpu.Capability.Major,
        76 => gpu.Capability.Minor,
        81 => gpu.SharedBytesOptIn + 1024,
        97 => gpu.SharedBytesOptIn,
        _ => 1,
    };

    [StructLayout(LayoutKind.Sequential)]
    private struct LaunchConfiguration
    {
        public int GridX, GridY, GridZ, BlockX, BlockY, BlockZ, SharedBytes;
        public nint Stream, Attributes;
        public int AttributeCount;
    }
}
