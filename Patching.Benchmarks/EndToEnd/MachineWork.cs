using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Patching.Kernels;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>What the processor and its memory can do at best: the ceilings that the report divides by, measured in the same run.</summary>
internal static class MachineWork
{
    /// <summary>Sets a ceiling's measurement up.</summary>
    public static IWorkload Open(WorkerJob job) => job.Work switch
    {
        WorkerJob.FusedMultiplyAdd => new MultiplyAddPeak(job),
        _ => new ArrayStream(job, StreamPattern.Named(job.Work)),
    };
}

/// <summary>
/// Independent chains of fused multiply-adds on registers: nothing but the arithmetic units can be the limit. Twelve chains hide the
/// latency of two units of
/// four to five cycles and leave room for two constants among sixteen registers.
/// </summary>
internal sealed class MultiplyAddPeak(WorkerJob job) : IWorkload
{
    private const int Chains = 12;
    private const int Repetitions = 10_000_000;

    private readonly HostThreads threads = new(job.Threads);
    private readonly float[] sinks = new float[64 * job.Threads];

    private interface IMultiplyAdd<TVector>
    {
        static abstract TVector Of(float value);

        static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

        static abstract float First(TVector value);
    }

    /// <summary>Floating-point operations of one run.</summary>
    public static double Flops(int threads) => 2.0 * Lanes * Chains * Repetitions * threads;

    private static int Lanes => Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : 4;

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output() => [];

    /// <inheritdoc/>
    public void Run() => threads.Run(member => sinks[64 * member] = Lanes switch
    {
        16 => Chain<Vector512<float>, Wide>(),
        8 => Chain<Vector256<float>, Half>(),
        _ => Chain<Vector128<float>, Quarter>(),
    });

    /// <inheritdoc/>
    public void Dispose() => threads.Dispose();

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Chain<TVector, TLanes>()
        where TLanes : IMultiplyAdd<TVector>
    {
        TVector b = TLanes.Of(0.999f), c = TLanes.Of(0.001f);
        TVector v0 = b, v1 = b, v2 = b, v3 = b, v4 = b, v5 = b, v6 = b, v7 = b, v8 = b, v9 = b, v10 = b, v11 = b;
        for (int i = 0; i < Repetitions; i++)
        {
            v0 = TLanes.MultiplyAdd(v0, b, c);
            v1 = TLanes.MultiplyAdd(v1, b, c);
            v2 = TLanes.MultiplyAdd(v2, b, c);
            v3 = TLanes.MultiplyAdd(v3, b, c);
            v4 = TLanes.MultiplyAdd(v4, b, c);
            v5 = TLanes.MultiplyAdd(v5, b, c);
            v6 = TLanes.MultiplyAdd(v6, b, c);
            v7 = TLanes.MultiplyAdd(v7, b, c);
            v8 = TLanes.MultiplyAdd(v8, b, c);
            v9 = TLanes.MultiplyAdd(v9, b, c);
            v10 = TLanes.MultiplyAdd(v10, b, c);
            v11 = TLanes.MultiplyAdd(v11, b, c);
        }
        return TLanes.First(v0) + TLanes.First(v1) + TLanes.First(v2) + TLanes.First(v3) + TLanes.First(v4) + TLanes.First(v5)
            + TLanes.First(v6) + TLanes.First(v7) + TLanes.First(v8) + TLanes.First(v9) + TLanes.First(v10) + TLanes.First(v11);
    }

    private readonly struct Wide : IMultiplyAdd<Vector512<float>>
    {
        public static Vector512<float> Of(float value) => Vector512.Create(value);

        public static Vector512<float> MultiplyAdd(Vector512<float> a, Vector512<float> b, Vector512<float> c) =>
            Vector512.MultiplyAddEstimate(a, b, c);

        public static float First(Vector512<float> value) => value.ToScalar();
    }

    private readonly struct Half : IMultiplyAdd<Vector256<float>>
    {
        public static Vector256<float> Of(float value) => Vector256.Create(value);

        public static Vector256<float> MultiplyAdd(Vector256<float> a, Vector256<float> b, Vector256<float> c) =>
            Vector256.MultiplyAddEstimate(a, b, c);

        public static float First(Vector256<float> value) => value.ToScalar();
    }

    private readonly struct Quarter : IMultiplyAdd<Vector128<float>>
    {
        public static Vector128<float> Of(float value) => Vector128.Create(value);

        public static Vector128<float> MultiplyAdd(Vector128<float> a, Vector128<float> b, Vector128<float> c) =>
            Vector128.MultiplyAddEstimate(a, b, c);

        public static float First(Vector128<float> value) => value.ToScalar();
    }
}

/// <summary>A way to walk through memory. Bytes are those the program names; a store that has to read its cache line first is not counted
/// twice.</summary>
/// <param name="Name">Name of the work.</param>
/// <param name="Description">For the report.</param>
/// <param name="Streams">Reads plus writes per element.</param>
internal sealed record StreamPattern(string Name, string Description, int Streams)
{
    /// <summary>Sums an array.</summary>
    public static readonly StreamPattern Read = new("read", "read: s += x", 1);

    /// <summary>Changes an array in place.</summary>
    public static readonly StreamPattern Update = new("update", "update in place: x = a x", 2);

    /// <summary>McCalpin's triad.</summary>
    public static readonly StreamPattern Triad = new("triad", "triad: z = x + a y", 3);

    /// <summary>The triad with stores past the caches.</summary>
    public static readonly StreamPattern TriadPastCaches = new("triad-nt", "triad, non-temporal stores", 3);

    /// <summary>All of them.</summary>
    public static readonly StreamPattern[] All = [Read, Update, Triad, TriadPastCaches];

    /// <summary>Finds a pattern by its name.</summary>
    public static StreamPattern Named(string name) =>
        All.FirstOrDefault(pattern => pattern.Name == name) ?? throw new NotSupportedException($"machine: no work {name}");
}

/// <summary>Walks arrays as long as a model's parameters.</summary>
internal sealed class ArrayStream : IWorkload
{
    private readonly Device device;
    private readonly StreamPattern pattern;
    private readonly Arena arena;
    private readonly float[] sinks;
    private Tensor x;
    private Tensor y;
    private Tensor z;

    /// <summary>Allocates the arrays the pattern needs.</summary>
    public ArrayStream(WorkerJob job, StreamPattern pattern)
    {
        this.pattern = pattern;
        device = Device.Open(DeviceKind.Host, job.Threads);
        sinks = new float[64 * device.Threads.Count];
        // Whole vectors, so that the loops have no tails.
        int count = (int)(BenchmarkModel.Named(job.Model).ParameterCount / 256 * 256);
        arena = Arena.Allocate(device, "streams", a =>
        {
            x = a.Take("x", count);
            if (pattern.Streams < 3) return;
            y = a.Take("y", count);
            z = a.Take("z", count);
        });
        // Memory that was never written to is one page of zeros however long it is, and reads from the nearest cache.
        foreach (Tensor tensor in new[] { x, y, z }.Where(t => t.Exists)) Fill(tensor);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output() => [];

    /// <inheritdoc/>
    public unsafe void Run()
    {
        float* px = x.HostFloats, py = y.Exists ? y.HostFloats : null, pz = z.Exists ? z.HostFloats : null;
        long share = x.Count / 256 / device.Threads.Count * 256;
        device.Threads.Run(member =>
        {
            long first = share * member;
            if (pattern == StreamPattern.Read) sinks[64 * member] = Read(px + first, share);
            else if (pattern == StreamPattern.Update) Update(px + first, share);
            else if (pattern == StreamPattern.Triad) Triad(pz + first, px + first, py + first, share);
            else TriadPastCaches(pz + first, px + first, py + first, share);
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        arena.Dispose();
        device.Dispose();
    }

    private unsafe void Fill(Tensor tensor)
    {
        float* p = tensor.HostFloats;
        device.Threads.For(tensor.Count, (first, end) =>
        {
            for (long i = first; i < end; i++) p[i] = 1 + i % 7;
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe float Read(float* x, long count)
    {
        Vector512<float> a = default, b = default, c = default, d = default;
        for (long i = 0; i < count; i += 64)
        {
            a += Vector512.Load(x + i);
            b += Vector512.Load(x + i + 16);
            c += Vector512.Load(x + i + 32);
            d += Vector512.Load(x + i + 48);
        }
        return Vector512.Sum(a + b + c + d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Update(float* x, long count)
    {
        Vector512<float> factor = Vector512.Create(0.999f);
        for (long i = 0; i < count; i += 16) (Vector512.Load(x + i) * factor).Store(x + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Triad(float* z, float* x, float* y, long count)
    {
        Vector512<float> factor = Vector512.Create(0.3f);
        for (long i = 0; i < count; i += 16)
            Vector512.MultiplyAddEstimate(Vector512.Load(y + i), factor, Vector512.Load(x + i)).Store(z + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void TriadPastCaches(float* z, float* x, float* y, long count)
    {
        Vector512<float> factor = Vector512.Create(0.3f);
        for (long i = 0; i < count; i += 16)
            Vector512.MultiplyAddEstimate(Vector512.Load(y + i), factor, Vector512.Load(x + i)).StoreAlignedNonTemporal(z + i);
    }
}
