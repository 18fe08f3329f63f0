using Patching.Benchmarks.EndToEnd;
using Patching.Model.Clip;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace Patching.Benchmarks.Peers;

/// <summary>libtorch through TorchSharp.</summary>
internal static class TorchWork
{
    /// <summary>Sets a job up.</summary>
    public static IWorkload Open(WorkerJob job)
    {
        set_num_threads(job.Threads);
        return job.Work switch
        {
            WorkerJob.Inference => new TorchInference(job),
            WorkerJob.Step => new TorchStep(job),
            WorkerJob.Optimizer => new TorchOptimizer(job),
            WorkerJob.Interpolate => new TorchInterpolation(job),
            _ => throw new NotSupportedException($"torch: no work {job.Work}"),
        };
    }

    /// <summary>The elements in row-major order.</summary>
    public static float[] Values(Tensor tensor)
    {
        using Tensor dense = tensor.detach().contiguous();
        return dense.data<float>().ToArray();
    }
}

/// <summary>Features of normalised planes that are already floats: less work than ours, which starts from bytes.</summary>
internal sealed class TorchInference : IWorkload
{
    private readonly TorchTower tower;
    private readonly Tensor planes;

    /// <summary>Makes model and input.</summary>
    public TorchInference(WorkerJob job)
    {
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        tower = new TorchTower(model, requiresGradient: false);
        planes = TorchTower.Planes(model, job.Batch);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        using var scope = NewDisposeScope();
        using var mode = inference_mode();
        return [TorchWork.Values(tower.Forward(planes))];
    }

    /// <inheritdoc/>
    public void Run()
    {
        using var scope = NewDisposeScope();
        using var mode = inference_mode();
        _ = tower.Forward(planes);
    }

    /// <inheritdoc/>
    public void Dispose() => planes.Dispose();
}

/// <summary>Fine-tune steps with autograd, <c>clip_grad_norm_</c> and <c>torch.optim.AdamW</c>.</summary>
internal sealed class TorchStep : IWorkload
{
    private readonly TorchTower tower;
    private readonly Tensor planes;
    private readonly Tensor labels;
    private readonly Tensor head;
    private readonly optim.Optimizer optimizer;

    /// <summary>Makes model, input, head and optimizer.</summary>
    public TorchStep(WorkerJob job)
    {
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        tower = new TorchTower(model, requiresGradient: true);
        planes = TorchTower.Planes(model, job.Batch);
        labels = tensor(BenchmarkModel.Labels(job.Batch, job.Classes).Select(label => (long)label).ToArray());
        ZeroShotHead zeroShot = model.Head(job.Classes);
        head = tensor(zeroShot.Weights, [zeroShot.Classes, zeroShot.EmbeddingWidth]);
        optimizer = TorchOptimizer.AdamW(tower);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        (float loss1, float norm1, float[][] gradients) = Step(collect: true);
        (float loss2, float norm2, _) = Step(collect: false);
        return [[loss1, loss2], [norm1, norm2], .. gradients];
    }

    /// <inheritdoc/>
    public void Run() => _ = Step(collect: false);

    /// <inheritdoc/>
    public void Dispose()
    {
        optimizer.Dispose();
        head.Dispose();
        labels.Dispose();
        planes.Dispose();
    }

    private (float Loss, float Norm, float[][] Gradients) Step(bool collect)
    {
        using var scope = NewDisposeScope();
        optimizer.zero_grad();
        Tensor features = tower.Forward(planes);
        features = features / features.norm(-1, keepdim: true);
        Tensor loss = F.cross_entropy(F.linear(features, head), labels);
        loss.backward();
        float[][] gradients = collect ? [.. OurStep.ComparedGradients.Select(name => TorchWork.Values(tower[name].grad!))] : [];
        double norm = nn.utils.clip_grad_norm_(tower.Parameters, OurStep.ClipNorm);
        _ = optimizer.step();
        return (loss.item<float>(), (float)norm, gradients);
    }
}

/// <summary>Clip and AdamW over given gradients.</summary>
internal sealed class TorchOptimizer : IWorkload
{
    private readonly TorchTower tower;
    private readonly optim.Optimizer optimizer;

    /// <summary>Makes parameters, and gradients equal to them.</summary>
    public TorchOptimizer(WorkerJob job)
    {
        tower = new TorchTower(BenchmarkModel.Named(job.Model), requiresGradient: true);
        optimizer = AdamW(tower);
        foreach (var parameter in tower.Parameters) parameter.grad = parameter.detach().clone();
    }

    /// <summary>The optimizer with the settings of every engine.</summary>
    public static optim.Optimizer AdamW(TorchTower tower) =>
        optim.AdamW(tower.Parameters, OurStep.LearningRate, 0.9, 0.999, 1e-8, OurStep.WeightDecay);

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output() => [[(float)Step()], .. OurStep.ComparedGradients.Select(name => TorchWork.Values(tower[name]))];

    /// <inheritdoc/>
    public void Run() => _ = Step();

    /// <inheritdoc/>
    public void Dispose() => optimizer.Dispose();

    private double Step()
    {
        using var scope = NewDisposeScope();
        double norm = nn.utils.clip_grad_norm_(tower.Parameters, OurStep.ClipNorm);
        _ = optimizer.step();
        return norm;
    }
}

/// <summary>Interpolation as the original writes it, tensor by tensor.</summary>
internal sealed class TorchInterpolation : IWorkload
{
    private readonly TorchTower theta0;
    private readonly TorchTower theta1;

    /// <summary>Makes two sets of parameters.</summary>
    public TorchInterpolation(WorkerJob job)
    {
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        theta0 = new TorchTower(model, requiresGradient: false);
        theta1 = new TorchTower(model, requiresGradient: false);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        using var mode = inference_mode();
        using Tensor mixed = Mix(theta0["visual.proj"], theta1["visual.proj"]);
        return [TorchWork.Values(mixed)];
    }

    /// <inheritdoc/>
    public void Run()
    {
        using var mode = inference_mode();
        using var scope = NewDisposeScope();
        foreach ((Tensor a, Tensor b) in theta0.Parameters.Zip(theta1.Parameters)) _ = Mix(a, b);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static Tensor Mix(Tensor a, Tensor b) => (float)(1 - OurInterpolation.Alpha) * a + (float)OurInterpolation.Alpha * b;
}
