using Patching.Model.Images;

namespace Patching.Model.Clip;

/// <summary>
/// The weights of a model before training (Radford et al. 2021, <c>initialize_parameters</c> of the original): normal with a deviation that keeps the residual stream's
/// size over depth. Matrices that read the stream have <c>C^-1/2</c>, the MLP's first <c>(2C)^-1/2</c>, those that write to it <c>C^-1/2 (2L)^-1/2</c>; embeddings 0.02
/// and 0.01; gains 1, biases 0; the scale starts at 1 / 0.07. Every parameter has a random stream of its own, so its values depend on the seed and its name alone.
/// </summary>
public static class ClipInitialization
{
    private const double TokenDeviation = 0.02;
    private const double PositionDeviation = 0.01;
    private const double InitialTemperature = 0.07;

    /// <summary>Fills a parameter with its initial values.</summary>
    public static void Fill(ClipConfig config, long seed, ParameterSpec spec, Span<float> values)
    {
        if (spec.Name == "logit_scale") values.Fill((float)Math.Log(1 / InitialTemperature));
        else if (spec.Name.EndsWith(".bias", StringComparison.Ordinal) || spec.Name.EndsWith("in_proj_bias", StringComparison.Ordinal)) values.Clear();
        else if (IsGain(spec.Name)) values.Fill(1);
        else FillNormal(values, Deviation(config, spec), SampleRandom.ForSample(seed, 0, StableHash(spec.Name)));
    }

    private static bool IsGain(string name) => name.EndsWith(".weight", StringComparison.Ordinal) && name.Split('.')[^2].StartsWith("ln_", StringComparison.Ordinal);

    private static double Deviation(ClipConfig config, ParameterSpec spec)
    {
        bool vision = spec.Name.StartsWith("visual.", StringComparison.Ordinal);
        int width = vision ? config.Vision.Width : config.Text!.Width, layers = vision ? config.Vision.Layers : config.Text!.Layers;
        double reading = Math.Pow(width, -0.5);
        return spec.Name switch
        {
            "token_embedding.weight" => TokenDeviation,
            "positional_embedding" => PositionDeviation,
            "visual.conv1.weight" => Math.Pow(3.0 * config.Vision.PatchSize * config.Vision.PatchSize, -0.5),
            _ when spec.Name.EndsWith("mlp.c_fc.weight", StringComparison.Ordinal) => Math.Pow(2.0 * width, -0.5),
            _ when spec.Name.EndsWith("out_proj.weight", StringComparison.Ordinal) || spec.Name.EndsWith("c_proj.weight", StringComparison.Ordinal) =>
                reading * Math.Pow(2.0 * layers, -0.5),
            _ => reading,
        };
    }

    // Box and Muller's two numbers at a time would save half the logarithms; this runs once per model.
    private static void FillNormal(Span<float> values, double deviation, SampleRandom random)
    {
        for (int i = 0; i < values.Length; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = (float)(deviation * radius * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
    }

    // FNV-1a: string.GetHashCode differs from process to process.
    private static long StableHash(string name)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in name) hash = (hash ^ c) * 1099511628211;
        return (long)(hash & long.MaxValue);
    }
}
