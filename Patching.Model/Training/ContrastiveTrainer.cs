using System.Collections.Immutable;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Training;

/// <summary>The text of an image as padded token ids.</summary>
/// <param name="label">The image's label.</param>
/// <param name="index">Its number in the data set.</param>
/// <param name="epoch">Epoch, from 0, where an image has several texts.</param>
public delegate int[] CaptionSource(int label, int index, int epoch);

/// <summary>
/// Trains both towers and the logit scale on pairs of images and texts under <see cref="ContrastiveLoss"/>: forward, symmetric cross-entropy, backward, clip, AdamW with
/// weight decay on matrices only, scale kept at 100 or below (Radford et al. 2021, section 2.5).
/// </summary>
/// <remarks>
/// The loss needs the features of the whole batch at once, but not its activations. With a micro-batch smaller than the batch, features are computed piece by piece,
/// then the loss and the gradient of every feature, then each piece once more with everything kept, and backward (Gao et al. 2021, "Scaling deep contrastive learning
/// batch size under memory limited setup"). That costs a second forward pass and gives the same gradients.
/// </remarks>
public sealed class ContrastiveTrainer : ITrainer
{
    private readonly Device device;
    private readonly VisionTransformer imageTower;
    private readonly TextTransformer textTower;
    private readonly ContrastiveSettings settings;
    private readonly CaptionSource captions;
    private readonly VisionActivations images;
    private readonly TextActivations texts;
    private readonly ContrastiveLoss loss;
    private readonly VisionParameters imageWeights;
    private readonly VisionParameters imageGradients;
    private readonly TextParameters textWeights;
    private readonly TextParameters textGradients;
    private readonly Arena arena;
    private readonly int decayed;
    private Tensor imageFeatures;
    private Tensor textFeatures;
    private Tensor roundedGradient;
    private Tensor clip;
    private Tensor normScratch;
    private bool parametersDetached;

    /// <summary>Allocates everything and loads the weights to start from.</summary>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public ContrastiveTrainer(
        Device device, ClipConfig config, VisionTransformer imageTower, TextTransformer textTower, ParameterSource initial, CaptionSource captions,
        ContrastiveSettings settings)
    {
        this.device = device;
        this.imageTower = imageTower;
        this.textTower = textTower;
        this.captions = captions;
        this.settings = settings;
        ImmutableArray<ParameterSpec> table = Table(config, out decayed);
        Parameters = new ParameterSet(device, "parameters", table, settings.Precision);
        Gradients = new ParameterSet(device, "gradients", table);
        FirstMoment = new ParameterSet(device, "first moment", table);
        SecondMoment = new ParameterSet(device, "second moment", table);
        images = VisionActivations.Allocate(device, config, settings.MicroBatch, training: true, settings.Precision);
        texts = TextActivations.Allocate(device, config, settings.MicroBatch, config.Text!.ContextLength, training: true, settings.Precision);
        loss = new ContrastiveLoss(device, settings.BatchSize, config.EmbeddingWidth);
        imageWeights = new VisionParameters(Parameters, config);
        imageGradients = new VisionParameters(Gradients, config);
        textWeights = new TextParameters(Parameters, config);
        textGradients = new TextParameters(Gradients, config);
        arena = Arena.Allocate(device, "features of the batch", a =>
        {
            imageFeatures = a.Take("image_features", settings.BatchSize, config.EmbeddingWidth);
            textFeatures = a.Take("text_features", settings.BatchSize, config.EmbeddingWidth);
            if (settings.Precision == TowerPrecision.BFloat16)
                roundedGradient = a.Take("rounded_gradient", ElementType.BFloat16, settings.MicroBatch, config.EmbeddingWidth);
            clip = a.Take("norm_and_coefficient", 2);
            normScratch = a.Take("partial_sums", GradientNorm.ScratchLength);
        });
        Parameters.Load(initial);
    }

    /// <summary>The weights being trained, both towers and the logit scale; matrices first.</summary>
    public ParameterSet Parameters { get; }

    /// <summary>Gradients of the last step, before clipping.</summary>
    public ParameterSet Gradients { get; }

    /// <summary>AdamW's running mean of gradients.</summary>
    public ParameterSet FirstMoment { get; }

    /// <summary>AdamW's running mean of squared gradients.</summary>
    public ParameterSet SecondMoment { get; }

    /// <summary>Steps done.</summary>
    public long StepsDone { get; private set; }

    /// <summary>What has to be kept to continue.</summary>
    public TrainingState State => new(Parameters, FirstMoment, SecondMoment, StepsDone);

    /// <summary>The parameters in the order of training: those that weight decay shrinks (matrices and embeddings), then gains, biases, the class token and the scale.</summary>
    public static ImmutableArray<ParameterSpec> Table(ClipConfig config, out int decayed)
    {
        ImmutableArray<ParameterSpec> all = ParameterTable.All(config);
        decayed = all.Count(Decays);
        return [.. all.Where(Decays), .. all.Where(spec => !Decays(spec))];
    }

    /// <summary>Continues after <paramref name="steps"/> steps; parameters and moments must have been loaded.</summary>
    public void ContinueFrom(long steps) => StepsDone = steps;

    /// <summary>One step; a batch that unreadable images have made smaller is passed over.</summary>
    public void Step(in TrainingBatch batch)
    {
        if (batch.Labels.Length < settings.BatchSize) return;
        int[][] tokens = new int[settings.BatchSize][];
        for (int i = 0; i < tokens.Length; i++) tokens[i] = captions(batch.Labels[i], batch.Indices[i], batch.Epoch);
        Step(batch.Pixels, tokens);
    }

    /// <summary>One training step.</summary>
    /// <param name="pixels">Images [B, S, S, 3], B exactly the batch size.</param>
    /// <param name="tokens">B padded rows of token ids, row i the text of image i.</param>
    public void Step(ReadOnlySpan<byte> pixels, IReadOnlyList<int[]> tokens)
    {
        if (tokens.Count != settings.BatchSize) throw new ArgumentException($"{tokens.Count} texts for a batch of {settings.BatchSize}");
        int[] positions = [.. tokens.Select(row => textTower.PoolingPosition(row))];
        int length = positions.Max() + 1, imageBytes = pixels.Length / settings.BatchSize;
        Gradients.Clear();
        for (int first = 0; first < settings.BatchSize; first += settings.MicroBatch)
        {
            Piece piece = Forward(pixels, imageBytes, tokens, positions, length, first);
            imageFeatures.SliceRows(first, piece.Count).CopyFrom(piece.Images.Features);
            textFeatures.SliceRows(first, piece.Count).CopyFrom(piece.Texts.Features);
        }
        // From here on the features' memory holds their gradients.
        loss.Compute(imageFeatures, textFeatures, textGradients.LogScale, imageFeatures, textFeatures, textWeights.LogScale);
        for (int first = 0; first < settings.BatchSize; first += settings.MicroBatch)
        {
            bool kept = settings.MicroBatch >= settings.BatchSize;
            Piece piece = kept ? Cut(length, first) : Forward(pixels, imageBytes, tokens, positions, length, first);
            imageTower.Backward(imageWeights, imageGradients, piece.Images, Gradient(imageFeatures, first, piece.Count));
            textTower.Backward(textWeights, textGradients, piece.Texts, Gradient(textFeatures, first, piece.Count));
        }
        Update();
    }

    /// <summary>Reads the loss and gradient norm of the last step; waits for the device.</summary>
    /// <exception cref="DivergedException">A number is not finite: training cannot go on.</exception>
    public StepReport Report()
    {
        device.Synchronize();
        double mean = loss.Losses.ToArray().Average(value => (double)value), norm = clip.ToArray()[0];
        if (!double.IsFinite(mean) || !double.IsFinite(norm))
            throw new DivergedException($"training diverged at step {StepsDone} (loss {mean}, gradient norm {norm}); lower --lr or lengthen --warmup_length");
        return new StepReport(StepsDone, mean, norm, settings.Schedule.At(StepsDone - 1));
    }

    /// <summary>Hands the weights over to the caller, who disposes them; nothing but <see cref="Dispose"/> may be called afterwards.</summary>
    public ParameterSet DetachParameters()
    {
        parametersDetached = true;
        return Parameters;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!parametersDetached) Parameters.Dispose();
        Gradients.Dispose();
        FirstMoment.Dispose();
        SecondMoment.Dispose();
        images.Dispose();
        texts.Dispose();
        loss.Dispose();
        arena.Dispose();
        imageWeights.Dispose();
        imageGradients.Dispose();
    }

    private static bool Decays(ParameterSpec spec) => spec.Shape.Length >= 2;

    private Piece Forward(ReadOnlySpan<byte> pixels, int imageBytes, IReadOnlyList<int[]> tokens, int[] positions, int length, int first)
    {
        Piece piece = Cut(length, first);
        piece.Images.Images.CopyFrom(pixels.Slice(first * imageBytes, piece.Count * imageBytes));
        imageTower.Forward(imageWeights, piece.Images);
        piece.Texts.Fill([.. tokens.Skip(first).Take(piece.Count)], positions.AsSpan(first, piece.Count).ToArray());
        textTower.Forward(textWeights, piece.Texts);
        return piece;
    }

    private Piece Cut(int length, int first)
    {
        int count = Math.Min(settings.MicroBatch, settings.BatchSize - first);
        return new Piece(count, images.Shrink(count), texts.Shrink(count, length));
    }

    // Towers of mixed precision take the gradient of their features rounded. One buffer does for both: each has read it before the other's is written.
    private Tensor Gradient(Tensor ofBatch, int first, int count)
    {
        Tensor piece = ofBatch.SliceRows(first, count);
        if (!roundedGradient.Exists) return piece;
        Tensor rounded = roundedGradient.Prefix(count, piece.Columns);
        Rounding.Forward(device, rounded, piece);
        return rounded;
    }

    private void Update()
    {
        GradientNorm.Forward(device, clip, Gradients.Flat, normScratch, (float)settings.ClipNorm);
        StepsDone++;
        Update(0, decayed, (float)settings.WeightDecay);
        Update(decayed, Parameters.Table.Length - decayed, weightDecay: 0);
        LogitScale.Clamp(device, textWeights.LogScale);
        Parameters.Round();
    }

    private void Update(int first, int count, float weightDecay)
    {
        AdamWSettings adamW = new(
            (float)settings.Schedule.At(StepsDone - 1), (float)settings.Beta1, (float)settings.Beta2, (float)settings.Epsilon, weightDecay);
        AdamW.Step(
            device, Parameters.FlatOf(first, count), FirstMoment.FlatOf(first, count), SecondMoment.FlatOf(first, count), Gradients.FlatOf(first, count), clip, adamW,
            checked((int)StepsDone));
    }

    /// <summary>Buffers cut to one micro-batch.</summary>
    private readonly record struct Piece(int Count, VisionActivations Images, TextActivations Texts);
}
