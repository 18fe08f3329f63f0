namespace Patching.Kernels;

/// <summary>Where kernels run.</summary>
public enum DeviceKind
{
    /// <summary>The processor: SIMD code on all cores, operating on native memory. What machines without a GPU use.</summary>
    Host,

    /// <summary>An NVIDIA GPU through the CUDA driver.</summary>
    Cuda,

    /// <summary>ILGPU's simulated GPU with 32-lane warps: runs the portable kernels slowly and faithfully, for study and tests.</summary>
    Simulator,
}
