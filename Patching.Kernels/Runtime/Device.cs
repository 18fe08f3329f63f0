using System.Reflection;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// An open device: owns the ILGPU context, accelerator and stream, the host's worker threads, the compiled kernels and the workarounds ILGPU 1.5.3 needs.
/// Everything else in this project receives a device and launches on it; nothing else knows which kind it is except the launchers' choice of
/// implementation. Not thread-safe: one thread launches.
/// </summary>
public sealed partial class Device : IDisposable
{
    private readonly Context context;
    private readonly Dictionary<MethodInfo, Delegate> launchers = [];

    private Device(DeviceKind kind, Context context, Accelerator accelerator, int threads)
    {
        Kind = kind;
        this.context = context;
        Accelerator = accelerator;
        Threads = new HostThreads(kind == DeviceKind.Host ? threads : 1);
    }

    /// <summary>Which kind of device this is.</summary>
    public DeviceKind Kind { get; }

    /// <summary>Whether launchers take their SIMD implementation.</summary>
    public bool IsHost => Kind == DeviceKind.Host;

    /// <summary>The ILGPU accelerator that owns the memory of every tensor of this device.</summary>
    public Accelerator Accelerator { get; }

    /// <summary>The worker threads and their scratch memory; one thread on devices other than the host.</summary>
    public HostThreads Threads { get; }

    /// <summary>Name for people, such as <c>NVIDIA H100</c> or <c>host, 2 threads, 512-bit vectors</c>.</summary>
    public string Name => Kind switch
    {
        DeviceKind.Host => $"host, {Threads.Count} thread{(Threads.Count == 1 ? "" : "s")}, {HostVectors.WidestBits}-bit vectors",
        DeviceKind.Simulator => "simulator, 32-lane warps",
        _ => Accelerator.Name,
    };

    /// <summary>Memory a program can hope to use, in bytes.</summary>
    public long MemoryBytes => Kind == DeviceKind.Cuda ? Accelerator.MemorySize : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Memory of a GPU that nobody uses now, in bytes; null on other devices.</summary>
    public long? FreeBytes => Accelerator is CudaAccelerator cuda ? cuda.GetFreeMemory() : null;

    /// <summary>Opens CUDA where there is a GPU, otherwise the host.</summary>
    /// <param name="threads">Worker threads of the host; 0 means all cores.</param>
    public static Device OpenBest(int threads = 0) => Open(CudaIsAvailable() ? DeviceKind.Cuda : DeviceKind.Host, threads);

    /// <summary>Opens a device of the given kind.</summary>
    /// <param name="kind">The kind of device.</param>
    /// <param name="threads">Worker threads of the host; 0 means all cores.</param>
    /// <exception cref="DeviceException">There is no such device here, or it cannot be opened.</exception>
    public static Device Open(DeviceKind kind, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        CudaDriver.MapLibraryNames();
        return kind switch
        {
            DeviceKind.Cuda => OpenCuda(),
            DeviceKind.Simulator => OpenCpu(kind, new CPUDevice(numThreadsPerWarp: 32, numWarpsPerMultiprocessor: 1, numMultiprocessors: 1), threads),
            _ => OpenCpu(kind, new CPUDevice(numThreadsPerWarp: 2, numWarpsPerMultiprocessor: 1, numMultiprocessors: 1), threads),
        };
    }

    /// <summary>Whether a CUDA device can be seen through the driver.</summary>
    public static bool CudaIsAvailable() => CudaDriver.Obstacle() is null;

    /// <summary>
    /// The launcher that <paramref name="load"/> makes, compiled once per device. <paramref name="load"/> must be a static lambda around one kernel:
    /// its method is the key.
    /// </summary>
    /// <typeparam name="TLauncher">Delegate type of the launcher.</typeparam>
    public TLauncher Load<TLauncher>(Func<Accelerator, TLauncher> load)
        where TLauncher : Delegate
    {
        if (launchers.TryGetValue(load.Method, out Delegate? known)) return (TLauncher)known;
        TLauncher launcher = LoadPortable(load);
        launchers.Add(load.Method, launcher);
        return launcher;
    }

    /// <summary>Where all work of this device is launched, in order.</summary>
    internal AcceleratorStream Stream => Accelerator.DefaultStream;

    /// <summary>Waits until everything launched so far is done.</summary>
    /// <exception cref="DeviceException">Something launched before has failed.</exception>
    public void Synchronize()
    {
        if (Kind == DeviceKind.Cuda) SynchronizeCuda();
        else if (!IsHost) Accelerator.Synchronize();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Threads.Dispose();
        if (Kind == DeviceKind.Cuda) Close(Accelerator);
        else Accelerator.Dispose();
        context.Dispose();
    }

    private static Device OpenCpu(DeviceKind kind, CPUDevice simulated, int threads)
    {
        Context context = Context.Create(builder => builder.CPU(simulated).EnableAlgorithms());
        Accelerator accelerator = context.CreateCPUAccelerator(0, CPUAcceleratorMode.Parallel, ThreadPriority.Normal);
        return new Device(kind, context, accelerator, threads == 0 ? Environment.ProcessorCount : threads);
    }
}
