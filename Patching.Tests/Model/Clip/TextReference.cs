using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Tests.Model.Clip;

/// <summary>
/// CLIP's text tower in double precision, one text at a time and straight from the definition: what the engine's gradients are compared with, by central differences.
/// </summary>
internal sealed class TextReference(ClipConfig config, IReadOnlyDictionary<string, double[]> parameters)
{
    private readonly TextConfig text = config.Text!;

    /// <summary>The feature [E] of one text, read at the token <paramref name="pooled"/>.</summary>
    public double[] Encode(int[] ids, int pooled)
    {
        int width = text.Width;
        double[][] stream = [.. ids.Take(pooled + 1).Select((id, t) => Sum(Row("token_embedding.weight", id, width), Row("positional_embedding", t, width)))];
        for (int layer = 0; layer < text.Layers; layer++) stream = Block(stream, $"transformer.resblocks.{layer}");
        return Linear(LayerNorm(stream[pooled], "ln_final"), "text_projection", null);
    }

    private double[][] Block(double[][] x, string block)
    {
        double[][] qkv = [.. x.Select(row => Linear(LayerNorm(row, $"{block}.ln_1"), $"{block}.attn.in_proj_weight", $"{block}.attn.in_proj_bias"))];
        double[][] middle = [.. x.Select((row, t) => Sum(row, Linear(Attend(qkv, t), $"{block}.attn.out_proj.weight", $"{block}.attn.out_proj.bias")))];
        return
        [
            .. middle.Select(row =>
            {
                double[] hidden = Linear(LayerNorm(row, $"{block}.ln_2"), $"{block}.mlp.c_fc.weight", $"{block}.mlp.c_fc.bias");
                double[] active = [.. hidden.Select(value => ActivationReference.Value(value, config.Activation))];
                return Sum(row, Linear(active, $"{block}.mlp.c_proj.weight", $"{block}.mlp.c_proj.bias"));
            }),
        ];
    }

    private double[] Attend(double[][] qkv, int t)
    {
        int width = text.Width, size = text.HeadSize;
        double[] result = new double[width];
        for (int head = 0; head < text.Heads; head++)
        {
            int at = head * size;
            double[] weights = new double[t + 1];
            for (int j = 0; j <= t; j++)
                for (int d = 0; d < size; d++) weights[j] += qkv[t][at + d] * qkv[j][width + at + d] / Math.Sqrt(size);
            double most = weights.Max(), total = weights.Sum(w => Math.Exp(w - most));
            for (int j = 0; j <= t; j++)
                for (int d = 0; d < size; d++) result[at + d] += Math.Exp(weights[j] - most) / total * qkv[j][2 * width + at + d];
        }
        return result;
    }

    private double[] LayerNorm(double[] x, string name)
    {
        double[] gamma = parameters[$"{name}.weight"], beta = parameters[$"{name}.bias"];
        double mean = x.Average(), variance = x.Average(value => (value - mean) * (value - mean));
        return [.. x.Select((value, c) => (value - mean) / Math.Sqrt(variance + config.LayerNormEpsilon) * gamma[c] + beta[c])];
    }

    private double[] Linear(double[] x, string weight, string? bias)
    {
        double[] w = parameters[weight];
        double[] y = new double[w.Length / x.Length];
        for (int o = 0; o < y.Length; o++)
        {
            if (bias is not null) y[o] = parameters[bias][o];
            for (int i = 0; i < x.Length; i++) y[o] += w[o * x.Length + i] * x[i];
        }
        return y;
    }

    private double[] Row(string name, int row, int width) => parameters[name].AsSpan(row * width, width).ToArray();

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];
}
