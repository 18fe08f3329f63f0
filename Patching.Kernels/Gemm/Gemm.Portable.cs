using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per output element, one pass over the sum.</content>
public static partial class Gemm
{
    private const int NoActivation = -1;

    internal static void ForwardPortable(Device device, Tensor y, Tensor x, Tensor w, in GemmEpilogue epilogue)
    {
        var launch = device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int, int, int, int>(ForwardKernel));
        launch(
            Require.Extent(y.Count), y.Floats, x.Floats, w.Floats,
            Or(epilogue.Bias, y), Or(epilogue.PreActivation, y), Or(epilogue.Residual, y),
            w.Rows, w.Columns, epilogue.Activation is { } kind ? (int)kind : NoActivation,
            Flag(epilogue.Bias), Flag(epilogue.PreActivation), Flag(epilogue.Residual));
    }

    private static void BackwardInputPortable(
        Device device, Tensor dx, Tensor dy, Tensor w, bool accumulate, Tensor preActivation, ActivationKind kind)
    {
        var launch = device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, int, int, int, int>(BackwardInputKernel));
        launch(
            Require.Extent(dx.Count), dx.Floats, dy.Floats, w.Floats, Or(preActivation, dx),
            w.Columns, w.Rows, preActivation.Exists ? (int)kind : NoActivation, accumulate ? 1 : 0);
    }

    private static void BackwardWeightPortable(Device device, Tensor dw, Tensor dbias, Tensor dy, Tensor x)
    {
        var launch = device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            int, int, int>(BackwardWeightKernel));
        launch(Require.Extent(dw.Count), dw.Floats, dy.Floats, x.Floats, dy.Rows, dw.Rows, dw.Columns);
        BackwardBiasPortable(device, dbias, dy);
    }

    private static void BackwardBiasPortable(Device device, Tensor dbias, Tensor dy)
    {
        if (!dbias.Exists) return;
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, int, int>(BackwardBiasKernel))(
            Require.Extent(dbias.Count), dbias.Floats, dy.Floats, dy.Rows, dy.Columns);
    }

    /// <summary>An absent tensor still needs a valid view; the flag beside it says that it is not looked at.</summary>
    private static ArrayView<float> Or(Tensor optional, Tensor substitute) => (optional.Exists ? optional : substitute).Floats;

    private static int Flag(Tensor optional) => optional.Exists ? 1 : 0;

    private static void ForwardKernel(
        Index1D i,
        ArrayView<float> y,
        ArrayView<float> x,
        ArrayView<float> w,
        ArrayView<float> bias,
        ArrayView<float> preActivation,
        ArrayView<float> residual,
        int outputs,
        int inputs,
        int activation,
        int hasBias,
        int hasPreActivation,
        int hasResidual)
    {
        int row = i / outputs, output = i - row * outputs;
        long xRow = (long)row * inputs, wRow = (long)output * inputs;
        float sum = 0;
        for (int k = 0; k < inputs; k++) sum += x[xRow + k] * w[wRow + k];
        if (hasBias != 0) sum += bias[output];
        if (hasPreActivation != 0) preActivation[i] = sum;
        if (activation != NoActivation) sum = Activation.Value(sum, activation);
        if (hasResidual != 0) sum += residual[i];
        y[i] = sum;
    }

    private static void BackwardInputKernel(
        Index1D i,
        ArrayView<float> dx,
        ArrayView<float> dy,
        ArrayView<float> w,
        ArrayView<float> preActivation,
        int inputs,
        int outputs,
        int activation,
        int accumulate)
    {
        int row = i / inputs, input = i - row * inputs;
        long dyRow = (long)row * outputs;
        float sum = 0;
        for (int k = 0; k < outputs; k++) sum += dy[dyRow + k] * w[(long)k * inputs + input];
        if (activation != NoActivation) sum *= Activation.Derivative(preActivation[i], activation);
        if (accumulate != 0) sum += dx[i];
        dx[i] = sum;
    }

    private static void BackwardWeightKernel(
        Index1D i, ArrayView<float> dw, ArrayView<float> dy, ArrayView<float> x, int rows, int outputs, int inputs)
    {
        int output = i / inputs, input = i - output * inputs;
        float sum = 0;
        for (int k = 0; k < rows; k++) sum += dy[(long)k * outputs + output] * x[(long)k * inputs + input];
        dw[i] += sum;
    }

    private static void BackwardBiasKernel(Index1D output, ArrayView<float> dbias, ArrayView<float> dy, int rows, int outputs)
    {
        float sum = 0;
        for (int k = 0; k < rows; k++) sum += dy[(long)k * outputs + output];
        dbias[output] += sum;
    }
}
