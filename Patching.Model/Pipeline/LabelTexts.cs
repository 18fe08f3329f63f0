using Patching.Model.Data;
using Patching.Model.Images;
using Patching.Model.Text;

namespace Patching.Model.Pipeline;

/// <summary>
/// The texts that contrastive training pairs with the images of a data set: an image's caption, or its class name in one of the data set's templates, another one in
/// every epoch.
/// </summary>
internal sealed class LabelTexts
{
    private readonly int[][][] tokens;
    private readonly long seed;

    /// <summary>Encodes all texts.</summary>
    /// <param name="texts">Every text that stands for each label, as from <see cref="Of"/>.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="contextLength">Tokens of a row.</param>
    /// <param name="seed">Decides the choice among several texts.</param>
    public LabelTexts(string[][] texts, ClipTokenizer tokenizer, int contextLength, int seed)
    {
        tokens = [.. texts.Select(ofLabel => ofLabel.Select(text => tokenizer.Tokenize(text, contextLength)).ToArray())];
        this.seed = ~(long)seed;
    }

    /// <summary>Every text that stands for each label of a data set.</summary>
    public static string[][] Of(ImageDataset dataset) => dataset is CaptionDataset
        ? [.. dataset.ClassNames.Select(caption => new[] { caption })]
        : [.. dataset.ClassNames.Select(name => ZeroShotPrompts.Fill(dataset.Templates, name))];

    /// <summary>The text of an image in an epoch.</summary>
    public int[] Choose(int label, int index, int epoch)
    {
        SampleRandom random = SampleRandom.ForSample(seed, epoch, index);
        return tokens[label][random.NextInt(tokens[label].Length)];
    }
}
