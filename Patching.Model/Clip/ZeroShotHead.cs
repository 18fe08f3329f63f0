namespace Patching.Model.Clip;

/// <summary>
/// A frozen linear classifier over normalised image features: logits = W f / |f|. Row k is the direction of class k in the shared space, of length
/// exp(logit_scale); there is no bias.
/// </summary>
/// <param name="Weights">W [K, E], row-major.</param>
/// <param name="Classes">K.</param>
/// <param name="EmbeddingWidth">E.</param>
public sealed record ZeroShotHead(float[] Weights, int Classes, int EmbeddingWidth)
{
    /// <summary>
    /// Builds the head from text, as the original does: every class name goes into every template, the features are normalised, averaged over templates,
    /// normalised again and scaled by exp(logit_scale).
    /// </summary>
    /// <param name="classNames">K class names.</param>
    /// <param name="templates">Prompts with a place for the class name.</param>
    /// <param name="encode">Text features [n, E] of n prompts, before normalisation.</param>
    /// <param name="embeddingWidth">E.</param>
    /// <param name="scale">exp(logit_scale).</param>
    public static ZeroShotHead Build(
        IReadOnlyList<string> classNames, IReadOnlyList<Func<string, string>> templates, Func<IReadOnlyList<string>, float[]> encode, int embeddingWidth, double scale)
    {
        float[] weights = new float[classNames.Count * embeddingWidth];
        // Several classes at a time keep the text tower's batches full when there are few templates.
        int classesAtOnce = Math.Max(1, 512 / templates.Count);
        for (int first = 0; first < classNames.Count; first += classesAtOnce)
        {
            string[] names = [.. classNames.Skip(first).Take(classesAtOnce)];
            float[] features = encode([.. names.SelectMany(name => templates.Select(template => template(name)))]);
            for (int k = 0; k < names.Length; k++)
            {
                ReadOnlySpan<float> ofClass = features.AsSpan(k * templates.Count * embeddingWidth, templates.Count * embeddingWidth);
                WriteDirection(ofClass, embeddingWidth, scale, weights.AsSpan((first + k) * embeddingWidth, embeddingWidth));
            }
        }
        return new ZeroShotHead(weights, classNames.Count, embeddingWidth);
    }

    private static void WriteDirection(ReadOnlySpan<float> features, int width, double scale, Span<float> direction)
    {
        double[] mean = new double[width];
        for (int row = 0; row < features.Length; row += width)
        {
            double norm = Norm(features.Slice(row, width));
            for (int i = 0; i < width; i++) mean[i] += features[row + i] / norm;
        }
        double length = Math.Sqrt(mean.Sum(value => value * value));
        for (int i = 0; i < width; i++) direction[i] = (float)(mean[i] / length * scale);
    }

    private static double Norm(ReadOnlySpan<float> vector)
    {
        double sum = 0;
        foreach (float value in vector) sum += (double)value * value;
        return Math.Sqrt(sum);
    }
}
