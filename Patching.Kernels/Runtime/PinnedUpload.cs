using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// Brings what changes with every step (images, labels, the optimiser's coefficients) into a tensor without making anybody wait. The values are copied into
/// page-locked memory, from where the GPU fetches them by itself. There are two buffers: the second upload can be prepared while the first is on its way, and only
/// who is two uploads ahead of the GPU waits.
/// <code>
/// values -> page-locked buffer 0 or 1 -> landing buffer 0 or 1 -> tensor        large tensors: first arrow here, second on the stream of uploads beside the
/// values -> page-locked buffer 0 or 1 ----------------------------> tensor                     kernels, third between two steps; small tensors: between two steps
/// </code>
/// On the host it is a plain copy.
/// </summary>
public sealed class PinnedUpload : IDisposable
{
    /// <summary>From this size on, crossing the bus beside the kernels is worth a second copy on the device.</summary>
    internal const int LandingBytes = 64 * 1024;

    private readonly Device device;
    private readonly Tensor destination;
    private readonly Arena? landings;
    private readonly Slot[] slots;
    private int next;

    /// <summary>Prepares uploads into <paramref name="destination"/>; all memory is allocated here.</summary>
    /// <exception cref="DeviceException">There is not enough memory.</exception>
    public PinnedUpload(Device device, Tensor destination)
    {
        this.device = device;
        this.destination = destination;
        if (device.Kind != DeviceKind.Cuda)
        {
            slots = [];
            return;
        }
        Tensor first = default, second = default;
        if (Bytes >= LandingBytes)
        {
            landings = Arena.Allocate(device, "uploads", arena =>
            {
                first = arena.Take("first upload", ElementType.UInt8, checked((int)Bytes));
                second = arena.Take("second upload", ElementType.UInt8, checked((int)Bytes));
            });
            // The arena is cleared on the stream of the kernels, and the stream of uploads does not wait for it.
            device.Synchronize();
        }
        slots = [new Slot(device, Bytes, first), new Slot(device, Bytes, second)];
    }

    /// <summary>Bytes of the whole tensor.</summary>
    private long Bytes => destination.Count * destination.Type.Bytes();

    /// <summary>
    /// Makes <paramref name="values"/> the first elements of the tensor for everything that is launched from now on; <paramref name="values"/> may be reused at
    /// once.
    /// </summary>
    /// <typeparam name="T">A type as wide as the tensor's elements.</typeparam>
    /// <exception cref="ArgumentException">The elements are not as wide as the tensor's, or there are more.</exception>
    /// <exception cref="DeviceException">Something launched before has failed.</exception>
    public unsafe void Upload<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (Unsafe.SizeOf<T>() != destination.Type.Bytes() || values.Length > destination.Count)
            throw new ArgumentException($"{values.Length} values of {Unsafe.SizeOf<T>()} bytes for {destination}");
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(values);
        if (bytes.IsEmpty) return;
        if (slots.Length == 0)
        {
            bytes.CopyTo(new Span<byte>((void*)Address(destination), bytes.Length));
            return;
        }
        if (device.IsCapturing) throw new InvalidOperationException("an upload cannot be part of a captured step; upload before the step is launched");
        device.Accelerator.Bind();
        try
        {
            Send(slots[next], bytes);
        }
        catch (CudaException error)
        {
            throw device.Failure("an upload, or a kernel launched before it,", error);
        }
        next = 1 - next;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (slots.Length > 0) device.Accelerator.Bind();
        foreach (Slot slot in slots) slot.Free();
        landings?.Dispose();
    }

    private static nint Address(Tensor tensor) => tensor.Pieces<byte>().LoadEffectiveAddressAsPtr();

    private unsafe void Send(Slot slot, ReadOnlySpan<byte> bytes)
    {
        CudaAPI driver = CudaAPI.CurrentAPI;
        CudaStream kernels = (CudaStream)device.Stream;
        CudaException.ThrowIfFailed(driver.SynchronizeEvent(slot.Sent));
        bytes.CopyTo(new Span<byte>((void*)slot.PageLocked, bytes.Length));
        if (!slot.Landing.Exists)
        {
            CudaException.ThrowIfFailed(driver.MemcpyAsync(Address(destination), slot.PageLocked, bytes.Length, kernels));
            CudaException.ThrowIfFailed(driver.RecordEvent(slot.Sent, kernels.StreamPtr));
            return;
        }
        CudaStream uploads = device.CopyStream;
        CudaException.ThrowIfFailed(CudaDriver.WaitForEvent(uploads.StreamPtr, slot.Delivered, 0));
        CudaException.ThrowIfFailed(driver.MemcpyAsync(Address(slot.Landing), slot.PageLocked, bytes.Length, uploads));
        CudaException.ThrowIfFailed(driver.RecordEvent(slot.Sent, uploads.StreamPtr));
        CudaException.ThrowIfFailed(CudaDriver.WaitForEvent(kernels.StreamPtr, slot.Sent, 0));
        CudaException.ThrowIfFailed(driver.MemcpyAsync(Address(destination), Address(slot.Landing), bytes.Length, kernels));
        CudaException.ThrowIfFailed(driver.RecordEvent(slot.Delivered, kernels.StreamPtr));
    }

    /// <summary>One of the two buffers.</summary>
    private sealed class Slot
    {
        public Slot(Device device, long bytes, Tensor landing)
        {
            Landing = landing;
            device.Accelerator.Bind();
            CudaError result = CudaAPI.CurrentAPI.AllocateHostMemory(out nint pageLocked, (nint)bytes);
            if (result != CudaError.CUDA_SUCCESS) throw device.Failure($"page-locking {bytes / 1048576} MiB for uploads", new CudaException(result));
            PageLocked = pageLocked;
            Sent = CreateEvent();
            Delivered = CreateEvent();
        }

        /// <summary>The processor's side.</summary>
        public nint PageLocked { get; }

        /// <summary>The device's side; none for small tensors.</summary>
        public Tensor Landing { get; }

        /// <summary>Reached when the page-locked memory may be written again.</summary>
        public nint Sent { get; }

        /// <summary>Reached when the landing buffer may be written again.</summary>
        public nint Delivered { get; }

        /// <summary>Waits, and gives everything back; after a failed kernel that fails too, and the failure has been reported.</summary>
        public void Free()
        {
            CudaAPI driver = CudaAPI.CurrentAPI;
            _ = driver.SynchronizeEvent(Sent);
            _ = driver.SynchronizeEvent(Delivered);
            _ = driver.DestroyEvent(Sent);
            _ = driver.DestroyEvent(Delivered);
            _ = driver.FreeHostMemory(PageLocked);
        }

        private static nint CreateEvent()
        {
            CudaException.ThrowIfFailed(CudaAPI.CurrentAPI.CreateEvent(out nint created, CudaEventFlags.CU_EVENT_DISABLE_TIMING));
            return created;
        }
    }
}
