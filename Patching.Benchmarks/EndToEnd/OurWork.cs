using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;
using Patching.Model.Training;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>Our engine on the host: the same calls the pipeline makes.</summary>
internal static class OurWork
{
    /// <summary>Sets up a job.</summary>
    public static IWorkload Open(WorkerJob job) => job.Work switch
    {
        WorkerJob.Inference => new OurInference(job, transfers: true),
        WorkerJob.Features => new OurInference(job, transfers: false),
        WorkerJob.Step => new OurStep(job),
        WorkerJob.Optimizer => new OurOptimizer(job),
        WorkerJob.Interpolate => new OurInterpolation(job),
        _ => throw new NotSupportedException($"ours: no work {job.Work}"),
    };

    /// <summary>The model's parameters on a device.</summary>
    public static ParameterSet Weights(Device device, BenchmarkModel model)
    {
        ParameterSet weights = new(device, "parameters", ParameterTable.Vision(model.Config));
        weights.Load(model.Fill);
        return weights;
    }
}

/// <summary>Image features of a batch.</summary>
internal sealed class OurInference : IWorkload
{
    private readonly Device device;
    private readonly ParameterSet weights;
    private readonly VisionParameters parameters;
    private readonly VisionTransformer tower;
    private readonly VisionActivations activations;
    private readonly byte[] pixels;
    private readonly float[] features;
    private readonly bool transfers;

    /// <summary>Allocates everything.</summary>
    /// <param name="job">Model, batch, threads.</param>
    /// <param name="transfers">Whether a run copies pixels in and features out.</param>
    public OurInference(WorkerJob job, bool transfers)
    {
        this.transfers = transfers;
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        device = Device.Open(DeviceKind.Host, job.Threads);
        weights = OurWork.Weights(device, model);
        parameters = new VisionParameters(weights, model.Config);
        parameters.Pack(device);
        tower = new VisionTransformer(device, model.Config, ClipNormalization.Table.Values);
        activations = VisionActivations.Allocate(device, model.Config, job.Batch, training: false);
        pixels = model.Pixels(job.Batch);
        features = new float[job.Batch * model.Config.EmbeddingWidth];
        activations.Images.CopyFrom(pixels);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        Run();
        return [activations.Features.ToArray()];
    }

    /// <inheritdoc/>
    public void Run()
    {
        if (transfers) activations.Images.CopyFrom(pixels);
        tower.Forward(parameters, activations);
        if (transfers) activations.Features.CopyTo(features);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        activations.Dispose();
        tower.Dispose();
        parameters.Dispose();
        weights.Dispose();
        device.Dispose();
    }
}

/// <summary>Fine-tune steps under a frozen head.</summary>
internal sealed class OurStep : IWorkload
{
    /// <summary>Gradients that are compared between engines: the first and the last to be computed, and one in between.</summary>
    public static readonly string[] ComparedGradients =
    [
        "visual.conv1.weight", "visual.proj",
        "visual.transformer.resblocks.0.attn.in_proj_bias", "visual.transformer.resblocks.1.mlp.c_fc.weight",
    ];

    /// <summary>Learning rate of every engine: small, so that random labels do not make the weights diverge over hundreds of
    /// steps.</summary>
    public const double LearningRate = 1e-6;

    /// <summary>Decoupled weight decay of every engine.</summary>
    public const double WeightDecay = 0.1;

    /// <summary>Largest gradient norm of every engine.</summary>
    public const double ClipNorm = 1;

    private readonly Device device;
    private readonly VisionTransformer tower;
    private readonly Finetuner finetuner;
    private readonly byte[] pixels;
    private readonly int[] labels;

    /// <summary>Allocates everything.</summary>
    public OurStep(WorkerJob job)
    {
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        device = Device.Open(DeviceKind.Host, job.Threads);
        tower = new VisionTransformer(device, model.Config, ClipNormalization.Table.Values);
        FinetuneSettings settings = new()
        {
            TrainDataset = "benchmark",
            TrainImages = job.Batch * 1_000_000,
            BaseModelSha256 = "",
            HeadKey = "",
            Epochs = 1,
            WarmupLength = 0,
            BatchSize = job.Batch,
            LearningRate = LearningRate,
            WeightDecay = WeightDecay,
            ClipNorm = ClipNorm,
        };
        finetuner = new Finetuner(device, model.Config, tower, model.Fill, model.Head(job.Classes), settings);
        pixels = model.Pixels(job.Batch);
        labels = BenchmarkModel.Labels(job.Batch, job.Classes);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        finetuner.Step(pixels, labels);
        StepReport first = finetuner.Report();
        float[][] gradients = [.. ComparedGradients.Select(name => finetuner.Gradients[name].ToArray())];
        finetuner.Step(pixels, labels);
        StepReport second = finetuner.Report();
        return [[(float)first.Loss, (float)second.Loss], [(float)first.GradientNorm, (float)second.GradientNorm], .. gradients];
    }

    /// <inheritdoc/>
    public void Run()
    {
        finetuner.Step(pixels, labels);
        _ = finetuner.Report();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        finetuner.Dispose();
        tower.Dispose();
        device.Dispose();
    }
}

/// <summary>Gradient norm, clip and AdamW over a model's parameters: 5 reads and 3 writes per parameter.</summary>
internal sealed class OurOptimizer : IWorkload
{
    private readonly Device device;
    private readonly ParameterSet weights;
    private readonly ParameterSet gradients;
    private readonly ParameterSet firstMoment;
    private readonly ParameterSet secondMoment;
    private readonly Arena norm;
    private Tensor clip;
    private Tensor scratch;
    private int step;

    /// <summary>Allocates everything; the gradient is that of a quadratic with its minimum at zero.</summary>
    public OurOptimizer(WorkerJob job)
    {
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        device = Device.Open(DeviceKind.Host, job.Threads);
        weights = OurWork.Weights(device, model);
        gradients = OurWork.Weights(device, model);
        firstMoment = new ParameterSet(device, "first moment", weights.Table);
        secondMoment = new ParameterSet(device, "second moment", weights.Table);
        norm = Arena.Allocate(device, "gradient norm", arena =>
        {
            clip = arena.Take("norm_and_coefficient", 2);
            scratch = arena.Take("partial_sums", GradientNorm.ScratchLength);
        });
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        Run();
        return [[clip.ToArray()[GradientNorm.Norm]], .. OurStep.ComparedGradients.Select(name => weights[name].ToArray())];
    }

    /// <inheritdoc/>
    public void Run()
    {
        GradientNorm.Forward(device, clip, gradients.Flat, scratch, (float)OurStep.ClipNorm);
        AdamWSettings settings = new(OurStep.LearningRate, WeightDecay: OurStep.WeightDecay);
        AdamW.Step(device, weights.Flat, firstMoment.Flat, secondMoment.Flat, gradients.Flat, clip, settings, ++step);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        norm.Dispose();
        secondMoment.Dispose();
        firstMoment.Dispose();
        gradients.Dispose();
        weights.Dispose();
        device.Dispose();
    }
}

/// <summary>Interpolation between two sets of weights: 2 reads and 1 write per parameter.</summary>
internal sealed class OurInterpolation : IWorkload
{
    /// <summary>The mixing coefficient.</summary>
    public const double Alpha = 0.3;

    private readonly Device device;
    private readonly ParameterSet theta0;
    private readonly ParameterSet theta1;
    private readonly ParameterSet mixed;

    /// <summary>Allocates everything.</summary>
    public OurInterpolation(WorkerJob job)
    {
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        device = Device.Open(DeviceKind.Host, job.Threads);
        theta0 = OurWork.Weights(device, model);
        theta1 = OurWork.Weights(device, model);
        mixed = new ParameterSet(device, "interpolated", theta0.Table);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        Run();
        return [mixed["visual.proj"].ToArray()];
    }

    /// <inheritdoc/>
    public void Run() => Interpolation.Forward(device, mixed.Flat, theta0.Flat, theta1.Flat, Alpha);

    /// <inheritdoc/>
    public void Dispose()
    {
        mixed.Dispose();
        theta1.Dispose();
        theta0.Dispose();
        device.Dispose();
    }
}
