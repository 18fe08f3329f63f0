using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernel: one thread per element.</content>
public static partial class Rounding
{
    private static void ForwardKernel(Index1D i, ArrayView<ushort> rounded, ArrayView<float> x)
    {
        uint bits = Interop.FloatAsInt(x[i]);
        // Half of the last place that stays, less one where that place is even; a carry into the exponent is right, too.
        uint nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
        bool isNaN = (bits & 0x7FFFFFFF) > 0x7F800000;
        rounded[i] = isNaN ? (ushort)0x7FFF : (ushort)nearest;
    }
}
