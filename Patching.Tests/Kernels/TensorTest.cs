using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>What tests of kernels share on whatever device: tensors from an arena per test, random inputs, and judgement against a double-precision reference.</summary>
internal abstract class TensorTest
{
    private readonly List<Arena> arenas = [];
    private Random random = new(1);

    protected Device Device { get; set; } = null!;

    [SetUp]
    public void Seed() => random = new Random(12345);

    [TearDown]
    public void FreeTensors()
    {
        foreach (Arena arena in arenas) arena.Dispose();
        arenas.Clear();
    }

    /// <summary>Numbers from a normal distribution, some rows of tests add a large offset to provoke cancellation.</summary>
    protected float[] Normal(long count, double scale = 1, double offset = 0)
    {
        float[] values = new float[count];
        for (long i = 0; i < count; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = (float)(offset + scale * radius * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
        return values;
    }

    /// <summary>Random integers below <paramref name="bound"/>.</summary>
    protected int[] Integers(int count, int bound) => [.. Enumerable.Range(0, count).Select(_ => random.Next(bound))];

    /// <summary>A tensor with these contents: an input, or a buffer that is accumulated into.</summary>
    protected Tensor Tensor(float[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.Float32, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <inheritdoc cref="Tensor(float[], ReadOnlySpan{int})"/>
    protected Tensor Tensor(int[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.Int32, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <inheritdoc cref="Tensor(float[], ReadOnlySpan{int})"/>
    protected Tensor Tensor(byte[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.UInt8, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>A bfloat16 tensor with these contents, rounded; <see cref="Rounded"/> gives the numbers that the kernel sees.</summary>
    protected Tensor BFloats(float[] values, params ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(ElementType.BFloat16, extents);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>The numbers rounded to bfloat16: what references of bfloat16 kernels start from.</summary>
    protected static float[] Rounded(float[] values) => [.. values.Select(BFloat16.Round)];

    /// <summary>A tensor full of NaN: an output that must be written completely.</summary>
    protected Tensor Poisoned(params ReadOnlySpan<int> extents) => Poisoned(ElementType.Float32, extents);

    /// <inheritdoc cref="Poisoned(ReadOnlySpan{int})"/>
    protected Tensor PoisonedBFloats(params ReadOnlySpan<int> extents) => Poisoned(ElementType.BFloat16, extents);

    private Tensor Poisoned(ElementType type, ReadOnlySpan<int> extents)
    {
        Tensor tensor = Allocate(type, extents);
        float[] poison = new float[tensor.Count];
        Array.Fill(poison, float.NaN);
        tensor.CopyFrom(poison);
        return tensor;
    }

    /// <summary>
    /// The error bound of the project: at most twice the error that the same formula makes in plain single precision, plus a floor of a few rounding errors of
    /// the largest value. Checked on the largest difference and on the norm; written so that NaN fails. Where the output is bfloat16, the plain results are rounded to
    /// it too: give them as they are summed, in single precision and from rounded inputs.
    /// </summary>
    protected void AssertClose(Tensor actual, double[] reference, double[] plainFloat, string what) => AssertClose(
        Contents(actual), reference, actual.Type == ElementType.BFloat16 ? [.. plainFloat.Select(v => (double)BFloat16.Round((float)v))] : plainFloat, what);

    /// <inheritdoc cref="AssertClose(Patching.Kernels.Tensor, double[], double[], string)"/>
    internal static void AssertClose(float[] actual, double[] reference, double[] plainFloat, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(reference.Length), what);
        Assert.That(reference, Has.None.NaN, $"{what}: reference");
        ErrorBound bound = ErrorBound.Of(actual, reference, plainFloat);
        Assert.That(bound.Holds, Is.True, $"{what}: {bound}");
    }

    protected float[] Contents(Tensor tensor)
    {
        Device.Synchronize();
        return tensor.ToArray();
    }

    private Tensor Allocate(ElementType type, ReadOnlySpan<int> extents)
    {
        int[] shape = extents.ToArray();
        Tensor tensor = default;
        arenas.Add(Arena.Allocate(Device, "test", arena => tensor = arena.Take("tensor", type, shape)));
        return tensor;
    }
}
