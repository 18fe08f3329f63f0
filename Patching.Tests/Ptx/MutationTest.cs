using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Kernels.Cuda;

namespace Patching.Tests.Ptx;

/// <summary>
/// Base of the tests that damage kernels of the engine. Each kernel is launched once, undamaged, with tensors of its own; then its text runs again and again, every
/// time with another damage.
/// </summary>
internal abstract class MutationTest : CudaKernelTest
{
    /// <summary>What the interpreter says where somebody did not wait for somebody.</summary>
    protected const string Race = "data race|nothing was written|not waited for";

    private readonly List<Arena> kept = [];
    private readonly Dictionary<string, Undamaged> kernels = [];

    private sealed record Undamaged(StandInLaunch Launch, Tensor Output, float[] Expected);

    [OneTimeSetUp]
    public void LaunchKernels()
    {
        if (Driver is null) Assert.Ignore("needs the interpreter");
        Prepare();
    }

    [OneTimeTearDown]
    public void FreeKept()
    {
        foreach (Arena arena in kept) arena.Dispose();
    }

    /// <summary>Launches the kernels and hands them to <see cref="Remember"/>.</summary>
    protected abstract void Prepare();

    /// <summary>Keeps the last launch of a kernel and what it wrote.</summary>
    protected void Remember(string name, Tensor output)
    {
        Assert.That(Driver!.LastFault, Is.Null);
        float[] expected = Contents(output);
        Assert.That(expected, Has.None.NaN, name);
        kernels.Add(name, new Undamaged(Driver.Launches.Last(launch => launch.Entry.Name == $"Kernel_{name}"), output, expected));
    }

    /// <summary>A tensor that lives as long as the tests.</summary>
    protected Tensor Keep(ElementType type, float[] values, params int[] extents)
    {
        Tensor tensor = default;
        kept.Add(Arena.Allocate(Device, "mutations", arena => tensor = arena.Take("tensor", type, extents)));
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>The same, not to be read before it is written.</summary>
    protected Tensor Keep(ElementType type, params int[] extents) =>
        Keep(type, [.. Enumerable.Repeat(float.NaN, extents.Aggregate(1, (product, extent) => product * extent))], extents);

    /// <summary>The interpreter finds what is wrong with the damaged kernel.</summary>
    protected void AssertFault(string kernel, Func<string, string> damage, string reason)
    {
        StandInLaunch launch = kernels[kernel].Launch;
        Assert.That(() => Driver!.Repeat(launch, damage(launch.Text)), Throws.TypeOf<PtxFault>().With.Message.Matches(reason));
    }

    /// <summary>The damaged kernel computes something else, or faults.</summary>
    protected void AssertWrong(string kernel, Func<string, string> damage) => AssertWrong(kernel, kernels[kernel].Launch, damage);

    /// <summary>The same with parameters damaged.</summary>
    protected void AssertWrongParameters(string kernel, Action<byte[]> damage)
    {
        StandInLaunch launch = kernels[kernel].Launch;
        byte[] parameters = [.. launch.Parameters];
        damage(parameters);
        Assert.That(parameters, Is.Not.EqualTo(launch.Parameters));
        AssertWrong(kernel, launch with { Parameters = parameters }, text => text);
    }

    private void AssertWrong(string kernel, StandInLaunch launch, Func<string, string> damage)
    {
        (_, Tensor output, float[] expected) = kernels[kernel];
        string text = damage(launch.Text);
        try
        {
            Driver!.Repeat(launch, text);
        }
        catch (PtxFault)
        {
            // What is read at wrong places may also never have been written.
            return;
        }
        Assert.That(expected.Zip(Contents(output), (a, b) => Math.Abs(a - b)).Max(), Is.GreaterThan(0.05 * expected.Max(Math.Abs)).Or.NaN);
    }
}
