using System.Numerics;
using System.Runtime.CompilerServices;
using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// What benchmarks of memory-bound kernels share: the host with all its cores, an arena, and two measures of what memory can do with as
/// many elements as the kernel has: a triad (two streams in, one out, past the caches when large) and an update in place.
/// </summary>
[Config(typeof(StreamConfig))]
public abstract unsafe class StreamBenchmarks
{
    // Larger results bypass the caches, as they do in the kernels.
    private const long PastCaches = 2 << 20;

    private Arena arena = null!;
    private Tensor a, b, c;

    /// <summary>The host.</summary>
    protected Device Device { get; private set; } = null!;

    /// <summary>The shape of this run.</summary>
    public abstract StreamShape Shape { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        Device = Device.Open(DeviceKind.Host);
        int elements = checked((int)Shape.Elements);
        arena = Arena.Allocate(Device, "benchmark", layout =>
        {
            (a, b, c) = (layout.Take("a", elements), layout.Take("b", elements), layout.Take("c", elements));
            Take(layout);
        });
        Fill(a, 0);
        Fill(b, 0);
        Fill();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        arena.Dispose();
        Device.Dispose();
    }

    [Benchmark(Description = "stream: triad")]
    [BytesPerElement(12, IsStream = true)]
    public void Triad()
    {
        float* pa = a.HostFloats, pb = b.HostFloats, pc = c.HostFloats;
        bool pastCaches = a.Count >= PastCaches;
        Device.Threads.For(a.Count, (first, end) => Triad(pc + first, pa + first, pb + first, end - first, pastCaches), 64);
    }

    [Benchmark(Description = "stream: update in place")]
    [BytesPerElement(8, IsStream = true)]
    public void Update()
    {
        float* pa = a.HostFloats;
        Device.Threads.For(a.Count, (first, end) => Negate(pa + first, end - first), 64);
    }

    /// <summary>Takes the kernel's tensors.</summary>
    protected abstract void Take(Arena layout);

    /// <summary>Gives the kernel's inputs their values.</summary>
    protected abstract void Fill();

    /// <summary>Numbers within 0.01 of <paramref name="middle"/>.</summary>
    protected static void Fill(Tensor tensor, float middle)
    {
        Random random = new(1);
        float[] values = new float[tensor.Count];
        for (int i = 0; i < values.Length; i++) values[i] = middle + 0.02f * (random.NextSingle() - 0.5f);
        tensor.CopyFrom(values);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Triad(float* y, float* x, float* z, long count, bool pastCaches)
    {
        Vector<float> scale = Vector.Create(0.5f);
        for (long i = 0; i + Vector<float>.Count <= count; i += Vector<float>.Count)
        {
            Vector<float> value = Vector.FusedMultiplyAdd(scale, Vector.Load(x + i), Vector.Load(z + i));
            if (pastCaches)
                value.StoreAlignedNonTemporal(y + i);
            else
                value.Store(y + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Negate(float* x, long count)
    {
        for (long i = 0; i + Vector<float>.Count <= count; i += Vector<float>.Count) (-Vector.Load(x + i)).Store(x + i);
    }
}
