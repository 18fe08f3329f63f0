namespace Patching.Kernels;

/// <content>The CUDA kernels.</content>
public static partial class HeadLoss
{
    private const int WidestFusedRow = 1280;

    private static void ForwardCuda(Device device, Tensor losses, Tensor dFeatures, Tensor features, Tensor head, Tensor labels, float smoothing, Tensor scratch) => throw new NotSupportedException("on its way");
}
