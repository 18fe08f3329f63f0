using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// The products of the linear layers of real models in bfloat16 on a GPU's tensor cores, batch 128; nothing where there is no GPU. Every row of a shape counts
/// <c>2 N I O</c> operations; epilogues are not counted, they are meant to be free.
/// </summary>
[Config(typeof(GpuArithmeticConfig))]
public class GemmCudaBenchmarks
{
    /// <summary>Launches between two waits for the GPU, so that what is measured is not the wait.</summary>
    private const int Launches = 20;

    private const int Batch = 128;

    private Device device = null!;
    private Arena arena = null!;
    private Tensor x, w, y, dx, dw, bias, dbias, preActivation, residual, sum, workspace;

    /// <summary>The shapes by name.</summary>
    public static IEnumerable<LinearShape> Shapes => !Device.CudaIsAvailable()
        ? []
        : [.. ModelShape.B32.LinearLayers(Batch), .. ModelShape.B16.LinearLayers(Batch), .. ModelShape.L14.LinearLayers(Batch)];

    [ParamsSource(nameof(Shapes))]
    public LinearShape Shape { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        (int rows, int inputs, int outputs) = (Shape.Rows, Shape.Inputs, Shape.Outputs);
        device = Device.Open(DeviceKind.Cuda);
        arena = Arena.Allocate(device, "benchmark", layout =>
        {
            x = layout.Take("x", ElementType.BFloat16, rows, inputs);
            w = layout.Take("w", ElementType.BFloat16, outputs, inputs);
            y = layout.Take("y", ElementType.BFloat16, rows, outputs);
            dx = layout.Take("dx", ElementType.BFloat16, rows, inputs);
            dw = layout.Take("dw", outputs, inputs);
            bias = layout.Take("bias", outputs);
            dbias = layout.Take("dbias", outputs);
            preActivation = layout.Take("preActivation", ElementType.BFloat16, rows, Math.Max(inputs, outputs));
            residual = layout.Take("residual", rows, outputs);
            sum = layout.Take("sum", rows, outputs);
            workspace = layout.Take("workspace", Math.Max(checked((int)Gemm.WorkspaceLength(rows, outputs, inputs)), 1));
        });
        Random random = new(1);
        foreach (Tensor tensor in new[] { x, w, y, residual, preActivation })
        {
            // Random numbers: tensor cores draw less power, and run faster, on zeros.
            float[] values = new float[tensor.Count];
            for (int i = 0; i < values.Length; i++) values[i] = random.NextSingle() - 0.5f;
            tensor.CopyFrom(values);
        }
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        arena.Dispose();
        device.Dispose();
    }

    [Benchmark(OperationsPerInvoke = Launches)]
    public void Forward() => Repeat(() => Gemm.Forward(device, y, x, w));

    [Benchmark(OperationsPerInvoke = Launches, Description = "Forward, bias, QuickGELU, saving")]
    public void ForwardActivation() => Repeat(() => Gemm.Forward(
        device, y, x, w,
        new GemmEpilogue
        {
            Bias = bias,
            Activation = ActivationKind.QuickGelu,
            PreActivation = preActivation.Prefix(Shape.Rows, Shape.Outputs),
        }));

    [Benchmark(OperationsPerInvoke = Launches, Description = "Forward, bias, residual, single-precision output")]
    public void ForwardResidual() => Repeat(() => Gemm.Forward(device, sum, x, w, new GemmEpilogue { Bias = bias, Residual = residual }));

    [Benchmark(OperationsPerInvoke = Launches)]
    public void BackwardInput() => Repeat(() => Gemm.BackwardInput(device, dx, y, w));

    [Benchmark(OperationsPerInvoke = Launches, Description = "BackwardInput, QuickGELU")]
    public void BackwardInputActivation() => Repeat(() =>
        Gemm.BackwardInput(device, dx, y, w, preActivation: preActivation.Prefix(Shape.Rows, Shape.Inputs), kind: ActivationKind.QuickGelu));

    [Benchmark(OperationsPerInvoke = Launches)]
    public void BackwardWeight() => Repeat(() => Gemm.BackwardWeight(device, dw, dbias, y, x, workspace));

    [Benchmark(OperationsPerInvoke = Launches, Description = "BackwardWeight, sum not divided")]
    public void BackwardWeightUndivided() => Repeat(() => Gemm.BackwardWeight(device, dw, dbias, y, x));

    private void Repeat(Action launch)
    {
        for (int i = 0; i < Launches; i++) launch();
        device.Synchronize();
    }
}

/// <summary>How arithmetic on a GPU is measured: in this process, with billions of operations per second beside the times.</summary>
public sealed class GpuArithmeticConfig : ManualConfig
{
    /// <summary>Creates the configuration.</summary>
    public GpuArithmeticConfig()
    {
        AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(2).WithIterationCount(9));
        SummaryStyle = SummaryStyle.Default.WithMaxParameterColumnWidth(60);
        AddColumn(new ArithmeticColumn(false));
    }
}
