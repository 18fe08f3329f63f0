using Patching.Model.Clip;
using Patching.Model.Images;

namespace Patching.Model.Evaluation;

/// <summary>A label and how probable the model finds it.</summary>
/// <param name="Label">The text.</param>
/// <param name="Probability">Softmax over the given labels, 0 to 1.</param>
public sealed record LabelScore(string Label, double Probability);

/// <summary>Classifies single images against free text: the zero-shot classifier of CLIP with the texts as they are.</summary>
public sealed class ImageLabeler : IDisposable
{
    private readonly ClipModel model;
    private readonly IReadOnlyList<string> labels;
    private readonly ImageParameters weights;
    private readonly ImageActivations activations;
    private readonly ImageClassifier classifier;
    private readonly ImagePreprocessor preprocessor;

    /// <summary>Encodes the labels.</summary>
    /// <param name="model">The model.</param>
    /// <param name="labels">Texts to choose from.</param>
    /// <param name="template">A prompt with <c>{CLASS}</c> or <c>{}</c> where the label goes; null uses the labels as they are.</param>
    public ImageLabeler(ClipModel model, IReadOnlyList<string> labels, string? template)
    {
        this.model = model;
        this.labels = labels;
        string pattern = (template ?? "{CLASS}").Replace("{}", "{CLASS}", StringComparison.Ordinal);
        if (!pattern.Contains("{CLASS}", StringComparison.Ordinal))
            throw new InputException($"--template '{template}': has no place for the label; write {{}} where it goes");
        ZeroShotHead head = model.BuildHead(labels, [pattern]);
        weights = ImageParameters.Of(model.Vision, model.Config);
        weights.Pack(model.Device);
        activations = ImageActivations.Create(model.Device, model.Config, batch: 1, training: false, model.Precision);
        classifier = new ImageClassifier(model.Device, head, batch: 1);
        preprocessor = new ImagePreprocessor(model.Config.Image.ImageSize, model.Checkpoint.Preprocess.Resize);
    }

    /// <summary>Labels of one image file, most probable first.</summary>
    /// <exception cref="InputException">The image cannot be read.</exception>
    public IReadOnlyList<LabelScore> Classify(string path)
    {
        byte[] pixels = new byte[preprocessor.OutputBytes];
        preprocessor.Apply(ImageDecoder.DecodeFile(path), pixels);
        activations.Images.CopyFrom(pixels);
        model.Tower.Forward(weights, activations);
        float[] logits = classifier.Logits(activations.Features).ToArray();
        double largest = logits.Max();
        double[] exponentials = [.. logits.Select(logit => Math.Exp(logit - largest))];
        double sum = exponentials.Sum();
        return [.. labels.Zip(exponentials, (label, e) => new LabelScore(label, e / sum)).OrderByDescending(score => score.Probability)];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        weights.Dispose();
        activations.Dispose();
        classifier.Dispose();
    }
}
