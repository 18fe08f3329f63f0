namespace Patching.Kernels;

/// <content>The CUDA kernels.</content>
public static partial class RowSelection
{
    private static void ScatterCuda(Device device, Tensor dx, Tensor dy, Tensor rows, Tensor rounded) => throw new NotSupportedException("on its way");
}
