using System.Linq.Expressions;
using System.Reflection;
using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Util;
using LoadedKernel = ILGPU.Runtime.Cuda.CudaKernel;

namespace Patching.Kernels;

/// <content>The CUDA device: one stream for all work, one more for uploads, kernels with their shared memory, and errors in one line.</content>
public sealed partial class Device
{
    /// <summary>Shared memory that every launch may use without asking.</summary>
    private const int SharedBytesWithoutAsking = 48 * 1024;

    private static readonly Version AmpereCapability = new(8, 0), HopperCapability = new(9, 0);

    private const string TensorCoresVariable = "PATCHING_TENSOR_CORES";

    private readonly Dictionary<CudaKernel, Delegate> cudaLaunchers = new(ReferenceEqualityComparer.Instance);
    private TensorCores tensorCores;

    /// <summary>Compute capability of the GPU; null on other devices.</summary>
    public Version? ComputeCapability => Accelerator is CudaAccelerator cuda ? new Version(cuda.Architecture.Major, cuda.Architecture.Minor) : null;

    /// <summary>Whether kernels on bfloat16 tensors run here: they need tensor cores of compute capability 8.0 (2020) or later.</summary>
    public bool SupportsBFloat16 => ComputeCapability >= AmpereCapability;

    /// <summary>
    /// Which matrix instructions multiply bfloat16 matrices. Where the device is opened, the environment variable <c>PATCHING_TENSOR_CORES</c> (best, mma.sync
    /// or wgmma) chooses; without it, the best.
    /// </summary>
    /// <exception cref="DeviceException">This GPU has no such instructions.</exception>
    public TensorCores TensorCores
    {
        get => tensorCores;
        set
        {
            if (value == TensorCores.Wgmma && ComputeCapability != HopperCapability)
                throw new DeviceException($"{Name} has compute capability {ComputeCapability}, wgmma needs 9.0; use mma.sync");
            tensorCores = value;
        }
    }

    /// <summary>The same, as far as this GPU has them.</summary>
    internal TensorCores UsableTensorCores => ComputeCapability == HopperCapability ? tensorCores : TensorCores.MmaSync;

    /// <summary>Groups of kernels that stay on their multiprocessor: one each.</summary>
    internal int ResidentGroups { get; set; }

    /// <summary>Name, and for a GPU its compute capability and the version of CUDA that the driver supports.</summary>
    public string Details => ComputeCapability is { } capability ? $"{Name}, compute capability {capability}, driver for CUDA {CudaDriver.Version()}" : Name;

    /// <summary>The stream of uploads that run beside the kernels.</summary>
    internal CudaStream CopyStream { get; private init; } = null!;

    /// <summary>Whether work is being noted for a <see cref="LaunchGraph"/> instead of being done.</summary>
    internal bool IsCapturing { get; private set; }

    /// <summary>
    /// Notes what <paramref name="step"/> launches without running it: see <see cref="LaunchGraph"/>. All its kernels must have been loaded, so run it once directly
    /// before.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// The step does something that cannot be repeated by the device alone: it waits, copies from or to the processor's memory, or loads a kernel.
    /// </exception>
    public LaunchGraph Capture(Action step)
    {
        if (Kind != DeviceKind.Cuda) return new LaunchGraph(step);
        if (IsCapturing) throw new InvalidOperationException("a step is being captured already");
        Accelerator.Bind();
        nint stream = ((CudaStream)Stream).StreamPtr;
        CudaException.ThrowIfFailed(CudaDriver.BeginCapture(stream, CudaDriver.CaptureThreadLocal));
        IsCapturing = true;
        nint graph = 0;
        try
        {
            step();
            CudaException.ThrowIfFailed(CudaDriver.EndCapture(stream, out graph));
            CudaException.ThrowIfFailed(CudaDriver.InstantiateGraph(out nint executable, graph, 0));
            return new LaunchGraph(this, executable);
        }
        catch (Exception error) when (error is CudaException or DeviceException { InnerException: CudaException })
        {
            throw new InvalidOperationException($"this step cannot be captured ({error.GetBaseException().Message}): it must neither wait nor touch .NET's memory", error);
        }
        finally
        {
            // After an error the stream is still noting; ending it gives nothing that could be used.
            if (graph == 0) _ = CudaDriver.EndCapture(stream, out graph);
            if (graph != 0) _ = CudaDriver.DestroyGraph(graph);
            IsCapturing = false;
        }
    }

    /// <summary>The launcher of a kernel of the CUDA engine, compiled once per device.</summary>
    /// <typeparam name="TLauncher"><c>Action&lt;AcceleratorStream, KernelConfig, ...&gt;</c> with the kernel's parameters.</typeparam>
    /// <exception cref="DeviceException">This GPU or its driver cannot run the kernel.</exception>
    internal TLauncher Load<TLauncher>(CudaKernel kernel)
        where TLauncher : Delegate
    {
        if (cudaLaunchers.TryGetValue(kernel, out Delegate? known)) return (TLauncher)known;
        TLauncher launcher = LoadCuda<TLauncher>(kernel);
        cudaLaunchers.Add(kernel, launcher);
        return launcher;
    }

    /// <summary>What a failed call of the driver means, in one line.</summary>
    internal DeviceException Failure(string what, Exception error) => new($"{Name}: {what} failed: {error.Message}", error);

    /// <summary>A kernel that the driver does not take, with the first line of what its compiler says. ILGPU throws that away, so it is asked once more.</summary>
    internal static DeviceException Refusal(Accelerator accelerator, string kernel, PTXCompiledKernel compiled, CudaException error)
    {
        if (CudaAPI.CurrentAPI.LoadModule(out nint module, compiled.PTXAssembly, out string? log) == CudaError.CUDA_SUCCESS)
            _ = CudaAPI.CurrentAPI.DestroyModule(module);
        string[] lines = (log ?? "").Split(['\0', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return new DeviceException(
            $"{accelerator.Name}: the driver (CUDA {CudaDriver.Version()}) refuses {kernel}: {lines.FirstOrDefault() ?? error.Message}", error);
    }

    private static Device OpenCuda()
    {
        if (CudaDriver.Obstacle() is { } obstacle) throw new DeviceException($"--device cuda: {obstacle}; use --device cpu");
        // The same PTX on every driver: what the tests run is what the GPU gets.
        TensorCores wanted = WantedTensorCores();
        Context context = PtxCompiler.CreateContext(builder => builder.Cuda(device => device.InstructionSet = PtxCompiler.InstructionSet));
        CudaAccelerator? accelerator = null;
        try
        {
            accelerator = context.CreateCudaAccelerator(0);
            CodePlacement.Remove(accelerator.Backend);
            // ILGPU's default is the NULL stream, which cannot be captured.
            SetDefaultStream(accelerator, accelerator.CreateStream());
            return new Device(DeviceKind.Cuda, context, accelerator, 1)
            {
                CopyStream = (CudaStream)accelerator.CreateStream(),
                ResidentGroups = accelerator.NumMultiprocessors,
                TensorCores = wanted,
            };
        }
        catch (Exception error)
        {
            if (accelerator is not null) Close(accelerator);
            context.Dispose();
            if (error is DeviceException) throw;
            throw new DeviceException($"--device cuda: the GPU cannot be opened ({error.Message}); update the driver or use --device cpu", error);
        }
    }

    private static TensorCores WantedTensorCores() => Environment.GetEnvironmentVariable(TensorCoresVariable) switch
    {
        null or "" or "best" => TensorCores.Best,
        "mma.sync" => TensorCores.MmaSync,
        "wgmma" => TensorCores.Wgmma,
        string other => throw new DeviceException($"{TensorCoresVariable}={other}: must be best, mma.sync or wgmma"),
    };

    /// <summary>
    /// Gives back what belongs to a device. After a kernel has failed, every call of its context fails, this one too, and the memory is gone with the context: the
    /// failure has been reported by the call that met it first.
    /// </summary>
    internal static void Release(IDisposable? owned)
    {
        try
        {
            owned?.Dispose();
        }
        catch (CudaException)
        {
        }
    }

    // Where ILGPU cannot give everything back, because a kernel has failed, it gives up half way; its finalizers would then end the process. Destroying the context
    // frees whatever is left.
    private static void Close(Accelerator accelerator)
    {
        try
        {
            accelerator.Dispose();
        }
        catch (CudaException)
        {
            MarkDisposed(accelerator);
            _ = CudaAPI.CurrentAPI.DestroyContext(accelerator.NativePtr);
        }
    }

    private void SynchronizeCuda()
    {
        RequireNoCapture("wait for the device");
        try
        {
            Accelerator.Synchronize();
        }
        catch (CudaException error)
        {
            throw Failure("a kernel launched before", error);
        }
    }

    private TLauncher LoadPortable<TLauncher>(Func<Accelerator, TLauncher> load)
        where TLauncher : Delegate
    {
        // The lambda is a method of a class inside the family's, named after the launcher it stands in: <Forward>b__0.
        string kernel = $"{load.Method.DeclaringType!.DeclaringType?.Name}.{load.Method.Name.Split('<', '>')[1]}";
        RequireNoCapture($"load {kernel}");
        return NameFailures(kernel, load(Accelerator));
    }

    private TLauncher LoadCuda<TLauncher>(CudaKernel kernel)
        where TLauncher : Delegate
    {
        RequireNoCapture($"load {kernel.Name}");
        CudaAccelerator accelerator = (CudaAccelerator)Accelerator;
        RequireRunnable(kernel, accelerator);
        PTXCompiledKernel compiled = PtxCompiler.Compile(accelerator.Backend, kernel);
        LoadedKernel loaded;
        try
        {
            loaded = (LoadedKernel)accelerator.LoadKernel(compiled);
        }
        catch (CudaException error)
        {
            throw Refusal(accelerator, kernel.Name, compiled, error);
        }
        if (kernel.DynamicSharedBytes > SharedBytesWithoutAsking)
        {
            CudaError result = CudaDriver.SetFunctionAttribute(loaded.FunctionPtr, CudaDriver.MaxDynamicSharedBytes, kernel.DynamicSharedBytes);
            if (result != CudaError.CUDA_SUCCESS) throw Failure($"giving {kernel.Name} {kernel.DynamicSharedBytes / 1024} KiB of shared memory", new CudaException(result));
        }
        return NameFailures(kernel.Name, loaded.CreateLauncherDelegate<TLauncher>());
    }

    private void RequireRunnable(CudaKernel kernel, CudaAccelerator accelerator)
    {
        if (!SupportsBFloat16 || kernel.NeedsHopper && ComputeCapability != HopperCapability)
        {
            throw new DeviceException(
                $"{Name} has compute capability {ComputeCapability}, {kernel.Name} needs {(kernel.NeedsHopper ? "9.0" : "8.0 or later")}; use --precision fp32");
        }
        CudaException.ThrowIfFailed(CudaDriver.GetDeviceAttribute(out int most, CudaDriver.SharedBytesOptIn, accelerator.DeviceId));
        if (kernel.DynamicSharedBytes > most)
        {
            throw new DeviceException(
                $"{Name} has {most / 1024} KiB of shared memory per group, {kernel.Name} needs {kernel.DynamicSharedBytes / 1024}; use --precision fp32");
        }
    }

    /// <summary>
    /// The launcher with its failures named. The expression is compiled once; a launch costs one call more. Work is asynchronous, so a kernel that fails while it
    /// runs is reported by whichever launch or wait comes next.
    /// </summary>
    private TLauncher NameFailures<TLauncher>(string kernel, TLauncher launch)
        where TLauncher : Delegate
    {
        if (Kind != DeviceKind.Cuda) return launch;
        ParameterExpression[] arguments = [.. typeof(TLauncher).GetMethod("Invoke")!.GetParameters().Select(p => Expression.Parameter(p.ParameterType))];
        ParameterExpression error = Expression.Parameter(typeof(CudaException));
        MethodInfo failure = typeof(Device).GetMethod(nameof(Failure), BindingFlags.Instance | BindingFlags.NonPublic)!;
        Expression named = Expression.Call(Expression.Constant(this), failure, Expression.Constant($"launching {kernel}, or a kernel launched before it,"), error);
        Expression body = Expression.TryCatch(
            Expression.Invoke(Expression.Constant(launch), arguments), Expression.Catch(error, Expression.Throw(named)));
        return Expression.Lambda<TLauncher>(body, arguments).Compile();
    }

    private void RequireNoCapture(string action)
    {
        if (IsCapturing) throw new InvalidOperationException($"a step that is being captured must not {action}; run it once before it is captured");
    }

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "MarkDisposed_Unsafe")]
    private static extern bool MarkDisposed(DisposeBase owner);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_DefaultStream")]
    private static extern void SetDefaultStream(Accelerator accelerator, AcceleratorStream stream);
}
