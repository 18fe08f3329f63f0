using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// A step that was noted once and is launched many times: on CUDA a graph of kernels, copies and fills, given to the GPU by one call of the driver instead of
/// hundreds, which is what keeps a fast GPU busy with small models; elsewhere the action itself. Made by <see cref="Device.Capture"/>.
/// <para>
/// A graph repeats addresses and arguments by value: whatever differs from step to step (images, labels, learning rate, bias corrections) must lie in device
/// memory and be uploaded before the launch, see <see cref="PinnedUpload"/>. The tensors it works on must live as long as it is launched.
/// </para>
/// </summary>
public sealed class LaunchGraph : IDisposable
{
    private readonly Device? device;
    private readonly Action? step;
    private nint executable;

    internal LaunchGraph(Action step)
    {
        this.step = step;
    }

    internal LaunchGraph(Device device, nint executable)
    {
        this.device = device;
        this.executable = executable;
    }

    /// <summary>Runs the step once; does not wait for it.</summary>
    /// <exception cref="DeviceException">The driver refuses, or something launched before has failed.</exception>
    public void Launch()
    {
        if (device is null)
        {
            step!();
            return;
        }
        ObjectDisposedException.ThrowIf(executable == 0, this);
        device.Accelerator.Bind();
        CudaError result = CudaDriver.LaunchGraph(executable, ((CudaStream)device.Stream).StreamPtr);
        if (result != CudaError.CUDA_SUCCESS) throw device.Failure("launching the captured step", new CudaException(result));
    }

    /// <summary>Frees the graph; work that was launched goes on. Must come before the device is disposed.</summary>
    public void Dispose()
    {
        if (executable == 0) return;
        device!.Accelerator.Bind();
        _ = CudaDriver.DestroyExecutableGraph(executable);
        executable = 0;
    }
}
