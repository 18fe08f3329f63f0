using System.Globalization;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// One allocation for one role (parameters, gradients, activations, ...), cut into named views aligned to 256 bytes. The cutting is a function that runs twice:
/// once to measure, once over real memory, so that a plan can be printed before anything is allocated and can never differ from what is allocated.
/// Every view also takes a multiple of 128 elements: two arenas of the same shapes, one in single precision and one in bfloat16, agree in the index of every
/// element, so that one flat pass over both turns single-precision weights into bfloat16 ones.
/// </summary>
public sealed class Arena : IDisposable
{
    /// <summary>Least alignment of every view, in bytes.</summary>
    public const int Alignment = 256;

    /// <summary>The space of every view is a multiple of this many elements.</summary>
    public const int ElementAlignment = 128;

    private readonly MemoryBuffer? buffer;
    private readonly nint hostMemory;
    private readonly ArrayView<byte> memory;
    private readonly List<ArenaSlot> slots = [];

    private Arena(string role)
    {
        Role = role;
    }

    private unsafe Arena(Device device, string role, long capacity)
        : this(role)
    {
        try
        {
            if (device.Kind == DeviceKind.Cuda)
            {
                buffer = device.Accelerator.Allocate1D<byte>(capacity);
            }
            else
            {
                hostMemory = HostMemory.AllocateZeroed(capacity);
                buffer = CPUMemoryBuffer.Create(device.Accelerator, hostMemory, capacity, 1);
            }
        }
        catch (Exception error) when (error is OutOfMemoryException or CudaException { Error: nameof(CudaError.CUDA_ERROR_OUT_OF_MEMORY) })
        {
            string free = device.FreeBytes is { } bytes ? $" wanted, {Mebibytes(bytes)} MiB free" : "";
            throw new DeviceException(
                $"not enough memory on {device.Name} for {role}: {Mebibytes(capacity)} MiB{free}; use a smaller --batch-size", error);
        }
        catch (CudaException error)
        {
            throw device.Failure($"allocating {Mebibytes(capacity)} MiB for {role}", error);
        }
        memory = new ArrayView<byte>(buffer, 0, capacity);
        if (hostMemory == 0) memory.MemSetToZero(device.Accelerator.DefaultStream);
    }

    /// <summary>What the memory is for.</summary>
    public string Role { get; }

    /// <summary>Bytes taken so far, including alignment.</summary>
    public long Bytes { get; private set; }

    /// <summary>The named pieces in the order they were taken.</summary>
    public IReadOnlyList<ArenaSlot> Slots => slots;

    /// <summary>All of it as one flat single-precision tensor: what whole-model operations (optimiser, interpolation, gradient norm) run over. Gaps are zero.</summary>
    public Tensor Flat => FlatOf(ElementType.Float32);

    /// <summary>All of it as one flat tensor of an arena whose views all have this type. Gaps are zero.</summary>
    public Tensor FlatOf(ElementType type) => new(memory.SubView(0, Bytes), type, new Shape(checked((int)(Bytes / type.Bytes()))));

    /// <summary>Runs <paramref name="layout"/> without memory and returns the arena that describes what it takes.</summary>
    public static Arena Plan(string role, Action<Arena> layout)
    {
        Arena plan = new(role);
        layout(plan);
        return plan;
    }

    /// <summary>Measures <paramref name="layout"/>, allocates exactly that (zeroed), and runs it again over the memory.</summary>
    /// <exception cref="DeviceException">There is not enough memory.</exception>
    public static Arena Allocate(Device device, string role, Action<Arena> layout)
    {
        Arena arena = new(device, role, Math.Max(Plan(role, layout).Bytes, Alignment));
        layout(arena);
        return arena;
    }

    /// <summary>Cuts the next piece. While planning, the tensor has its shape but no memory.</summary>
    public Tensor Take(string name, ElementType type, params ReadOnlySpan<int> extents)
    {
        Shape shape = new(extents);
        long bytes = shape.Count * type.Bytes();
        slots.Add(new ArenaSlot(name, type, shape, Bytes));
        ArrayView<byte> view = buffer is null ? default : memory.SubView(Bytes, bytes);
        int step = Math.Max(Alignment, ElementAlignment * type.Bytes());
        Bytes += (bytes + step - 1) / step * step;
        return new Tensor(view, type, shape);
    }

    /// <summary>Cuts the next piece as single-precision numbers.</summary>
    public Tensor Take(string name, params ReadOnlySpan<int> extents) => Take(name, ElementType.Float32, extents);

    /// <inheritdoc/>
    public void Dispose()
    {
        Device.Release(buffer);
        HostMemory.FreeZeroed(hostMemory);
    }

    private static string Mebibytes(long bytes) => (bytes / 1048576.0).ToString("F0", CultureInfo.InvariantCulture);
}

/// <summary>A named piece of an <see cref="Arena"/>.</summary>
/// <param name="Name">What it holds.</param>
/// <param name="Type">Type of its elements.</param>
/// <param name="Shape">Its extents.</param>
/// <param name="Offset">Bytes from the start of the arena.</param>
public sealed record ArenaSlot(string Name, ElementType Type, Shape Shape, long Offset);
