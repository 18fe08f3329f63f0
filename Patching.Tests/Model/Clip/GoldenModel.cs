using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Clip;

/// <summary>
/// Reference values of one model: activations, gradients and training steps of an independent implementation in double precision, in the layout of
/// <c>golden/README.md</c>. Where it lies is the caller's choice: the folder beside the checkout, or the fixtures.
/// </summary>
internal sealed class GoldenModel : IDisposable
{
    private readonly Dictionary<string, SafetensorsFile> files = [];
    private readonly string folder;

    public GoldenModel(string folder)
    {
        this.folder = folder;
        Json = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "golden.json"))).RootElement;
    }

    /// <summary>The part of the reference values that travels with the tests: the tiny model's image tower (<c>eng/fixtures.py</c>).</summary>
    public const string Fixture = "fixture";

    /// <summary>Where a model's reference values are; the test is skipped where they are not there.</summary>
    public static string Folder(string name) => name == Fixture ? Repository.Fixture("model") : Repository.Shared("golden", name);

    /// <summary>The file golden.json.</summary>
    public JsonElement Json { get; }

    /// <summary>A tensor of forward, train or inputs.</summary>
    public float[] Floats(string file, string tensor)
    {
        SafetensorsFile open = Open(file);
        float[] values = new float[open.Tensors[tensor].Elements];
        open.ReadFloat32(tensor, values);
        return values;
    }

    /// <summary>An I32 tensor.</summary>
    public int[] Ints(string file, string tensor) => [.. System.Runtime.InteropServices.MemoryMarshal.Cast<byte, int>(Open(file).Bytes(tensor))];

    public bool Has(string file, string tensor) => Open(file).Tensors.ContainsKey(tensor);

    public IEnumerable<string> Names(string file) => Open(file).Tensors.Keys;

    /// <summary>The images of a training step as pixels.</summary>
    /// <param name="step">The step.</param>
    /// <param name="batch">Images of every step.</param>
    /// <param name="size">Side of the images.</param>
    public byte[] Pixels(int step, int batch, int size)
    {
        int length = batch * 3 * size * size;
        return Has("inputs", "pixels")
            ? Open("inputs").Bytes("pixels").Slice(step * length, length).ToArray()
            : Pixels(Floats("inputs", "images").AsSpan(step * length, length).ToArray(), batch, size);
    }

    /// <summary>
    /// The uint8 images behind the normalised ones: the pixel table takes 256 distinct values per channel, so each can be found again exactly.
    /// </summary>
    public static byte[] Pixels(float[] planes, int batch, int size)
    {
        byte[] pixels = new byte[planes.Length];
        float[] table = NormalizationTable().Values.ToArray();
        Dictionary<float, byte>[] inverse = [.. Enumerable.Range(0, 3).Select(channel =>
            Enumerable.Range(0, 256).ToDictionary(value => table[channel * 256 + value], value => (byte)value))];
        for (int image = 0; image < batch; image++)
        {
            for (int channel = 0; channel < 3; channel++)
            {
                for (int pixel = 0; pixel < size * size; pixel++)
                    pixels[(image * size * size + pixel) * 3 + channel] = inverse[channel][planes[(image * 3 + channel) * size * size + pixel]];
            }
        }
        return pixels;
    }

    public static NormalizationTable NormalizationTable() => new(PreprocessConfig.ClipMean.AsSpan(), PreprocessConfig.ClipStd.AsSpan());

    /// <summary>A matrix transposed; the goldens store projections [in, out], the program [out, in].</summary>
    public static float[] Transposed(float[] matrix, int rows, int columns)
    {
        float[] result = new float[matrix.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) result[c * rows + r] = matrix[r * columns + c];
        }
        return result;
    }

    /// <summary>A parameter-shaped golden in the program's layout.</summary>
    public float[] Parameter(string file, string prefix, ParameterSpec spec)
    {
        float[] values = Floats(file, prefix + spec.Name);
        return spec.Name == "visual.proj" ? Transposed(values, spec.Shape[1], spec.Shape[0]) : values;
    }

    /// <summary>Largest difference and relative distance in the 2-norm.</summary>
    public static (double Max, double Relative) Distance(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected)
    {
        Assert.That(actual.Length, Is.EqualTo(expected.Length));
        double max = 0, difference = 0, norm = 0;
        for (int i = 0; i < actual.Length; i++)
        {
            double d = Math.Abs((double)actual[i] - expected[i]);
            if (!(d <= max)) max = d;
            difference += d * d;
            norm += (double)expected[i] * expected[i];
        }
        return (max, Math.Sqrt(difference / Math.Max(norm, 1e-300)));
    }

    public static void AssertClose(Tensor actual, float[] expected, double max, double relative, string what)
    {
        (double largest, double distance) = Distance(actual.ToArray(), expected);
        Assert.That(largest, Is.LessThanOrEqualTo(max), $"{what}: largest difference");
        Assert.That(distance, Is.LessThanOrEqualTo(relative), $"{what}: relative distance");
    }

    public void Dispose()
    {
        foreach (SafetensorsFile file in files.Values) file.Dispose();
    }

    private SafetensorsFile Open(string file)
    {
        if (!files.TryGetValue(file, out SafetensorsFile? open)) files[file] = open = SafetensorsFile.Open(Path.Combine(folder, file + ".safetensors"));
        return open;
    }
}
