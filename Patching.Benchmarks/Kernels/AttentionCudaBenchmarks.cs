using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// Attention in bfloat16 on the tensor cores of a GPU, at the shapes of real models and batch 128; nothing where there is no GPU.
/// Operations are the useful ones, 4 D per visible (query, key) pair forward and 10 D backward; what padding and recomputation add is in
/// the time. docs/attention.md has the floors of each row.
/// </summary>
[Config(typeof(Columns))]
public class AttentionCudaBenchmarks
{
    /// <summary>Launches between two waits for the GPU, so that what is measured is not the wait.</summary>
    private const int Launches = 20;

    private Device device = null!;
    private Arena arena = null!;
    private Tensor qkv, y, logSumExp, dqkv, dy, delta;

    /// <summary>The shapes by name.</summary>
    public static IEnumerable<Case> Cases => !Device.CudaIsAvailable() ? [] :
    [
        new("ViT-B/32 forward", new AttentionShape(128, 50, 12, 64), false),
        new("ViT-B/32 backward", new AttentionShape(128, 50, 12, 64), true),
        new("ViT-B/16 forward", new AttentionShape(128, 197, 12, 64), false),
        new("ViT-B/16 backward", new AttentionShape(128, 197, 12, 64), true),
        new("ViT-L/14 forward", new AttentionShape(128, 257, 16, 64), false),
        new("ViT-L/14 backward", new AttentionShape(128, 257, 16, 64), true),
        new("ViT-L/14@336 forward", new AttentionShape(32, 577, 16, 64), false),
        new("ViT-L/14@336 backward", new AttentionShape(32, 577, 16, 64), true),
        new("ViT-H/14 forward", new AttentionShape(64, 257, 16, 80), false),
        new("ViT-H/14 backward", new AttentionShape(64, 257, 16, 80), true),
    ];

    [ParamsSource(nameof(Cases))]
    public Case Shape { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        device = Device.Open(DeviceKind.Cuda);
        AttentionShape s = Shape.Extents;
        arena = Arena.Allocate(device, "benchmark", a =>
        {
            qkv = a.Take("qkv", ElementType.BFloat16, s.Rows, 3 * s.Width);
            dqkv = a.Take("dqkv", ElementType.BFloat16, s.Rows, 3 * s.Width);
            y = a.Take("y", ElementType.BFloat16, s.Rows, s.Width);
            dy = a.Take("dy", ElementType.BFloat16, s.Rows, s.Width);
            logSumExp = a.Take("logSumExp", s.Batch, s.Heads, s.Tokens);
            delta = a.Take("delta", s.Batch, s.Heads, s.Tokens);
        });
        Random random = new(1);
        qkv.CopyFrom(Uniform(random, 2, (int)qkv.Count));
        dy.CopyFrom(Uniform(random, 1, (int)dy.Count));
        Attention.Forward(device, y, logSumExp, qkv, s, causal: false);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        arena.Dispose();
        device.Dispose();
    }

    [Benchmark(OperationsPerInvoke = Launches)]
    public void Run()
    {
        for (int i = 0; i < Launches; i++)
        {
            if (Shape.IsBackward) Attention.Backward(device, dqkv, dy, y, qkv, logSumExp, delta, Shape.Extents, causal: false);
            else Attention.Forward(device, y, logSumExp, qkv, Shape.Extents, causal: false);
        }
        device.Synchronize();
    }

    private static float[] Uniform(Random random, float size, int count)
    {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = size * (2 * random.NextSingle() - 1);
        return values;
    }

    /// <summary>A shape and which pass.</summary>
    public sealed record Case(string Name, AttentionShape Extents, bool IsBackward) : IArithmeticShape
    {
        /// <inheritdoc/>
        public double Operations => (IsBackward ? 10.0 : 4.0) * Extents.Tokens * Extents.Tokens * Extents.HeadSize * Extents.Pairs;

        /// <inheritdoc/>
        public override string ToString() => Name;
    }

    private sealed class Columns : ManualConfig
    {
        public Columns()
        {
            AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance));
            AddColumn(new ArithmeticColumn(false));
        }
    }
}
