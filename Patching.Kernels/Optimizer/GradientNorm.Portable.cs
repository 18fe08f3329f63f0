using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernels: lanes with interleaved elements, then groups of lanes, then one thread for the rest.</content>
public static partial class GradientNorm
{
    private static void LaneKernel(Index1D lane, ArrayView<double> lanes, ArrayView<float> gradient)
    {
        double sum = 0;
        for (long i = lane; i < gradient.Length; i += Lanes)
        {
            double g = gradient[i];
            sum += g * g;
        }
        lanes[lane] = sum;
    }

    private static void GroupKernel(Index1D group, ArrayView<double> groups, ArrayView<double> lanes)
    {
        double sum = 0;
        for (int i = 0; i < Lanes / Groups; i++) sum += lanes[group * (Lanes / Groups) + i];
        groups[group] = sum;
    }

    private static void ResultKernel(Index1D index, ArrayView<float> result, ArrayView<double> groups, float maxNorm)
    {
        double sum = 0;
        for (int i = 0; i < Groups; i++) sum += groups[i];
        WriteResult(result.SubView(index, 2), XMath.Sqrt(sum), maxNorm);
    }

    private static void WriteResult(ArrayView<float> result, double norm, float maxNorm)
    {
        double coefficient = maxNorm / (norm + NormFloor);
        if (coefficient > 1) coefficient = 1;
        result[Norm] = (float)norm;
        // The comparison is written so that NaN takes the second branch.
        if ((float)norm <= float.MaxValue)
            result[Coefficient] = (float)coefficient;
        else
            result[Coefficient] = float.NaN;
    }
}
