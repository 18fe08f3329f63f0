using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels;

internal sealed class InterpolationTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private static readonly float[] Special =
    [
        0f, -0f, 1f, -1f, float.Epsilon, -float.Epsilon, 1.1754944e-38f, 3e-39f, float.MaxValue, -float.MaxValue, float.PositiveInfinity,
        float.NegativeInfinity, 16777217f, 1e-20f, -1e20f, 0.1f,
    ];

    [Test]
    public void MatchesTheOriginalBitForBit() => MatchesBitForBit(Repository.Fixture("numeric", "interp.safetensors"));

    [Test]
    public void MatchesAllOfTheOriginalBitForBit()
    {
        if (!Device.IsHost) Assert.Ignore("too many elements for the simulator");
        MatchesBitForBit(Repository.Shared("golden", "numeric", "interp.safetensors"));
    }

    [Test]
    public void RoundsEachProductAndTheSum([Values(1, 7, 1031)] int count, [Values(0.1, 0.3, 0.5, 0.333, 1.5, -0.25)] double alpha)
    {
        float[] a = Normal(count), b = Normal(count);
        Tensor y = Poisoned(count);
        Interpolation.Forward(Device, y, Tensor(a, count), Tensor(b, count), alpha);
        Assert.That(Bits(Contents(y)), Is.EqualTo(Bits(Expected(a, b, alpha))));
        Assert.That(Bits(Blended(a, b, alpha)), Is.EqualTo(Bits(Expected(a, b, alpha))));
    }

    [Test]
    public void SpecialValuesAreThoseOfSinglePrecision([Values(0.1, 0.5, 0.9)] double alpha)
    {
        float[] a = [.. Special.SelectMany(_ => Special)], b = [.. Special.SelectMany(v => Enumerable.Repeat(v, Special.Length))];
        Tensor y = Poisoned(a.Length);
        Interpolation.Forward(Device, y, Tensor(a, a.Length), Tensor(b, b.Length), alpha);
        // NUnit's NaN equals NaN; infinity minus infinity has no defined sign bit.
        Assert.That(Contents(y), Is.EqualTo(Expected(a, b, alpha)));
    }

    [Test]
    public void EndsReturnTheInputsBits([Values(0, 1)] double alpha, [Values] bool inPlace)
    {
        float[] a = [.. Special, float.NaN, 5f], b = [.. Special.Reverse(), 7f, float.NaN], expected = alpha == 0 ? a : b;
        Tensor first = Tensor(a, a.Length), second = Tensor(b, b.Length), y = inPlace ? first : Poisoned(a.Length);
        Interpolation.Forward(Device, y, first, second, alpha);
        Assert.That(Bits(Contents(y)), Is.EqualTo(Bits(expected)));
        Assert.That(Bits(Blended(a, b, alpha)), Is.EqualTo(Bits(expected)));
    }

    [Test]
    public void WorksInPlaceOfEitherInput([Values] bool ofFirst)
    {
        float[] a = Normal(1031), b = Normal(1031);
        Tensor first = Tensor(a, 1031), second = Tensor(b, 1031), y = ofFirst ? first : second;
        Interpolation.Forward(Device, y, first, second, 0.3);
        Assert.That(Bits(Contents(y)), Is.EqualTo(Bits(Expected(a, b, 0.3))));
    }

    [Test]
    public void LargeTensorsTakeTheStreamingPathWithTheSameBits([Values] bool copy)
    {
        if (!Device.IsHost) Assert.Ignore("a path of the host");
        int count = (int)Interpolation.StreamingCount + 1031;
        float[] a = Normal(count), b = [.. a.Reverse()];
        Tensor y = Poisoned(count);
        Interpolation.Forward(Device, y, Tensor(a, count), Tensor(b, count), copy ? 1 : 0.3);
        Assert.That(Bits(Contents(y)).AsSpan().SequenceEqual(Bits(copy ? b : Expected(a, b, 0.3))), Is.True);
    }

    [Test]
    public void CoefficientsThatAreNoNumbersAreRefused([Values(double.NaN, double.PositiveInfinity)] double alpha) =>
        Assert.That(() => Interpolation.Forward(Device, Poisoned(1), Poisoned(1), Poisoned(1), alpha),
            Throws.InstanceOf<ArgumentOutOfRangeException>());

    private static float[] Blended(float[] a, float[] b, double alpha)
    {
        float[] copy = [.. a];
        Interpolation.InPlace(copy, b, alpha);
        return copy;
    }

    private void MatchesBitForBit(string path)
    {
        double[] alphas = Golden.Section("interp_alphas").Numbers();
        Dictionary<string, float[]> tensors = ReadSafetensors(path);
        float[] theta0 = tensors["theta0"], theta1 = tensors["theta1"];
        Tensor y = Poisoned(theta0.Length), first = Tensor(theta0, theta0.Length), second = Tensor(theta1, theta1.Length);
        for (int i = 0; i < alphas.Length; i++)
        {
            Interpolation.Forward(Device, y, first, second, alphas[i]);
            Assert.That(Bits(Contents(y)), Is.EqualTo(Bits(tensors["out"][(i * theta0.Length)..((i + 1) * theta0.Length)])),
                $"alpha {alphas[i]}");
        }
    }

    private static float[] Expected(float[] a, float[] b, double alpha)
    {
        float weight0 = (float)(1 - alpha), weight1 = (float)alpha;
        return [.. a.Zip(b, (x, y) => (float)((float)(weight0 * x) + (float)(weight1 * y)))];
    }

    private static Dictionary<string, float[]> ReadSafetensors(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int header = (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        using JsonDocument document = JsonDocument.Parse(file.AsMemory(8, header));
        return document.RootElement.EnumerateObject().ToDictionary(tensor => tensor.Name, tensor =>
        {
            JsonElement offsets = tensor.Value.GetProperty("data_offsets");
            int first = 8 + header + offsets[0].GetInt32(), end = 8 + header + offsets[1].GetInt32();
            return MemoryMarshal.Cast<byte, float>(file.AsSpan(first..end)).ToArray();
        });
    }
}
