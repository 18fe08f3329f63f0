using System.Diagnostics;
using System.Globalization;

namespace Patching.Kernels;

/// <summary>What a check of the self-test works with: random inputs, poisoned outputs, a clock around its launches, and the comparison with the references.</summary>
internal sealed class Trial(Device device, Random random) : IDisposable
{
    private readonly List<Arena> arenas = [];
    private readonly Stopwatch clock = new();
    private ErrorBound worst;
    private bool compared;

    /// <summary>The device under test.</summary>
    public Device Device => device;

    /// <summary>The first comparison that failed, in words; null while all hold.</summary>
    public string? Failure { get; private set; }

    /// <summary>Numbers from a normal distribution.</summary>
    public float[] Normal(long count, double scale = 1, double offset = 0)
    {
        float[] values = new float[count];
        for (long i = 0; i < count; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = (float)(offset + scale * radius * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
        return values;
    }

    /// <summary>The same, each rounded to bfloat16, so that references see what the kernel sees.</summary>
    public float[] NormalRounded(long count, double scale = 1, double offset = 0) => Round(Normal(count, scale, offset));

    /// <summary>Numbers rounded to bfloat16.</summary>
    public static float[] Round(float[] values) => [.. values.Select(BFloat16.Round)];

    /// <summary>Numbers rounded to single precision and then to bfloat16: what a plain computation writes.</summary>
    public static double[] Round(double[] values) => [.. values.Select(value => (double)BFloat16.Round((float)value))];

    /// <summary>Random integers below <paramref name="bound"/>.</summary>
    public int[] Integers(int count, int bound) => [.. Enumerable.Range(0, count).Select(_ => random.Next(bound))];

    /// <summary>A tensor with these contents: an input, or a buffer that is accumulated into.</summary>
    public Tensor Tensor(float[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.Float32, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <inheritdoc cref="Tensor(float[], ReadOnlySpan{int})"/>
    public Tensor Tensor(int[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.Int32, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <inheritdoc cref="Tensor(float[], ReadOnlySpan{int})"/>
    public Tensor Tensor(byte[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.UInt8, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>A tensor full of NaN: an output that must be written completely.</summary>
    public Tensor Poisoned(params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.Float32, extents);
        float[] poison = new float[tensor.Count];
        Array.Fill(poison, float.NaN);
        tensor.CopyFrom(poison);
        return tensor;
    }

    /// <summary>A bfloat16 tensor with these contents, which should be bfloat16 numbers already: see <see cref="NormalRounded"/>.</summary>
    public Tensor Rounded(float[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.BFloat16, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>A bfloat16 tensor full of NaN.</summary>
    public Tensor PoisonedRounded(params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.BFloat16, extents);
        float[] poison = new float[tensor.Count];
        Array.Fill(poison, float.NaN);
        tensor.CopyFrom(poison);
        return tensor;
    }

    /// <summary>Launches and waits, on the clock.</summary>
    public void Launch(Action launch)
    {
        device.Synchronize();
        clock.Start();
        launch();
        device.Synchronize();
        clock.Stop();
    }

    /// <summary>Judges an output by the error bound of the project.</summary>
    public void Compare(string output, Tensor actual, double[] reference, double[] plainFloat) => Compare(output, actual.ToArray(), reference, plainFloat);

    /// <inheritdoc cref="Compare(string, Patching.Kernels.Tensor, double[], double[])"/>
    public void Compare(string output, float[] actual, double[] reference, double[] plainFloat) =>
        Note(output, ErrorBound.Of(actual, reference, plainFloat));

    /// <summary>An output that must be right to the bit.</summary>
    public void CompareExactly(string output, Tensor actual, float[] expected) => Note(output, ErrorBound.Exact(actual.ToArray(), expected));

    /// <summary>An output of integers.</summary>
    public void CompareExactly(string output, Tensor actual, int[] expected)
    {
        int[] values = new int[actual.Count];
        actual.CopyTo(values);
        Note(output, ErrorBound.Exact([.. values.Select(v => (float)v)], [.. expected.Select(v => (float)v)]));
    }

    /// <summary>The row of the table.</summary>
    public SelfTestResult Result(SelfTestCheck check, string? failure) => new(
        check.Kernel, check.Shape, compared ? worst.Largest : double.NaN, compared ? worst.AllowedLargest : double.NaN, clock.Elapsed,
        failure ?? (compared ? null : "nothing was compared"));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Arena arena in arenas) arena.Dispose();
    }

    private void Note(string output, ErrorBound bound)
    {
        if (!compared || bound.Used > worst.Used) worst = bound;
        compared = true;
        if (bound.Holds) return;
        Failure ??= bound.Largest <= bound.AllowedLargest
            ? string.Create(CultureInfo.InvariantCulture, $"{output}: norm of the error {bound.Norm:0.0e+0}, allowed {bound.AllowedNorm:0.0e+0}")
            : $"{output}: {(double.IsNaN(bound.Largest) ? "an element is NaN: not written, or computed wrong" : "error too large")}";
    }

    private Tensor Allocate(ElementType type, ReadOnlySpan<int> extents)
    {
        int[] shape = extents.ToArray();
        Tensor tensor = default;
        arenas.Add(Arena.Allocate(device, "self-test", arena => tensor = arena.Take("tensor", type, shape)));
        return tensor;
    }
}
