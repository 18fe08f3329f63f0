using System.Collections.Immutable;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Training;

/// <summary>What a training step did.</summary>
/// <param name="Step">Steps done, this one included.</param>
/// <param name="Loss">Mean loss of the batch.</param>
/// <param name="GradientNorm">Norm of the whole gradient before clipping.</param>
/// <param name="LearningRate">Learning rate of the step.</param>
public sealed record StepReport(long Step, double Loss, double GradientNorm, double LearningRate);

/// <summary>
/// Fine-tunes the image tower under a frozen head: forward, cross-entropy, backward, clip to norm 1, AdamW (Loshchilov and Hutter 2019) with the original's
/// settings. Holds weights, gradients and moments; one allocation each, made before the first step. Whatever differs between steps (images, labels, AdamW's
/// coefficients) is uploaded beside the arithmetic of the step before, so that a step is the same launches every time and nothing in it waits for the device.
/// </summary>
public sealed class Finetuner : ITrainer
{
    private const float Beta1 = 0.9f;
    private const float Beta2 = 0.999f;
    private const float Epsilon = 1e-8f;

    private readonly Device device;
    private readonly ImageTower tower;
    private readonly FinetuneSettings settings;
    private readonly CosineSchedule schedule;
    private readonly ImageActivations activations;
    private readonly TaskHeads heads;
    private readonly ImageParameters weights;
    private readonly ImageParameters gradientTensors;
    private readonly Arena optimizer;
    private readonly PinnedUpload images;
    private readonly PinnedUpload coefficientValues;
    private readonly RepeatedSteps<string> steps;
    private Tensor clip;
    private Tensor normScratch;
    private Tensor coefficients;
    private bool parametersDetached;

    /// <summary>Allocates everything and loads the weights to start from.</summary>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public Finetuner(Device device, ClipConfig config, ImageTower tower, ParameterSource initial, ZeroShotHead head, FinetuneSettings settings)
        : this(device, config, tower, initial, [head], settings)
    {
    }

    /// <summary>The same for several tasks at once, each with its own head; labels are numbered one task after the other.</summary>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public Finetuner(Device device, ClipConfig config, ImageTower tower, ParameterSource initial, IReadOnlyList<ZeroShotHead> heads, FinetuneSettings settings)
    {
        this.device = device;
        this.tower = tower;
        this.settings = settings;
        schedule = settings.Schedule;
        ImmutableArray<ParameterSpec> table = ParameterTable.Vision(config);
        Parameters = new ParameterSet(device, "parameters", table, settings.Precision);
        Gradients = new ParameterSet(device, "gradients", table);
        FirstMoment = new ParameterSet(device, "first moment", table);
        SecondMoment = new ParameterSet(device, "second moment", table);
        activations = ImageActivations.Create(
            device, config, settings.BatchSize, training: true, settings.Precision, settings.BatchNorm ?? BatchNormStatistics.Frozen);
        this.heads = new TaskHeads(device, heads, settings.BatchSize, settings.Precision);
        weights = ImageParameters.Of(Parameters, config);
        gradientTensors = ImageParameters.Of(Gradients, config);
        optimizer = Arena.Allocate(device, "gradient norm", arena =>
        {
            clip = arena.Take("norm_and_coefficient", 2);
            normScratch = arena.Take("partial_sums", GradientNorm.ScratchLength);
            coefficients = arena.Take("coefficients", AdamW.CoefficientCount);
        });
        images = new PinnedUpload(device, activations.Images);
        coefficientValues = new PinnedUpload(device, coefficients);
        steps = new RepeatedSteps<string>(device);
        Parameters.Load(initial);
    }

    /// <summary>The weights being trained.</summary>
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

    /// <summary>Continues after <paramref name="steps"/> steps; parameters and moments must have been loaded.</summary>
    public void ContinueFrom(long steps) => StepsDone = steps;

    /// <summary>One training step; returns as soon as the device has been given all of it.</summary>
    /// <param name="pixels">Images [n, S, S, 3], n at most the batch size; free for the caller as soon as this returns.</param>
    /// <param name="labels">n class indices.</param>
    public void Step(ReadOnlySpan<byte> pixels, ReadOnlySpan<int> labels)
    {
        AdamWSettings adamW = new((float)schedule.At(StepsDone), Beta1, Beta2, Epsilon, (float)settings.WeightDecay);
        StepsDone++;
        images.Upload(heads.Upload(pixels, labels));
        Span<float> values = stackalloc float[AdamW.CoefficientCount];
        AdamW.WriteCoefficients(values, adamW, checked((int)StepsDone));
        coefficientValues.Upload<float>(values);
        ImageActivations batch = activations.Shrunk(labels.Length);
        steps.Run(heads.Composition, () => Launch(batch));
    }

    /// <inheritdoc/>
    void ITrainer.Step(in TrainingBatch batch) => Step(batch.Pixels, batch.Labels);

    /// <summary>Reads the loss and gradient norm of the last step; waits for the device.</summary>
    /// <exception cref="DivergedException">A number is not finite: training cannot go on.</exception>
    public StepReport Report()
    {
        device.Synchronize();
        double loss = heads.Losses().Average(value => (double)value);
        double gradientNorm = clip.ToArray()[0];
        if (!double.IsFinite(loss) || !double.IsFinite(gradientNorm))
            throw new DivergedException($"training diverged at step {StepsDone} (loss {loss}, gradient norm {gradientNorm}); lower --lr or lengthen --warmup_length");
        return new StepReport(StepsDone, loss, gradientNorm, schedule.At(StepsDone - 1));
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
        steps.Dispose();
        images.Dispose();
        coefficientValues.Dispose();
        Gradients.Dispose();
        FirstMoment.Dispose();
        SecondMoment.Dispose();
        activations.Dispose();
        heads.Dispose();
        optimizer.Dispose();
    }

    // All but a ResNet's running statistics, which weight decay must not shrink.
    private static Tensor Trained(ParameterSet set) => set.FlatOf(0, ParameterTable.TrainedCount(set.Table));

    private void Launch(ImageActivations batch)
    {
        Gradients.Clear();
        tower.Forward(weights, batch);
        Tensor dFeatures = heads.Loss(batch.Features, (float)settings.LabelSmoothing);
        tower.Backward(weights, gradientTensors, batch, dFeatures);
        GradientNorm.Forward(device, clip, Gradients.Flat, normScratch, (float)settings.ClipNorm);
        AdamW.Step(device, Trained(Parameters), Trained(FirstMoment), Trained(SecondMoment), Trained(Gradients), clip, coefficients, Parameters.Rounded);
    }
}

/// <summary>The loss or the gradient is no longer a finite number. The message is one line for the user; the program ends with code 1.</summary>
public sealed class DivergedException(string message) : Exception(message);
