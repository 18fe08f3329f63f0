using Patching.Benchmarks.EndToEnd;

namespace Patching.Benchmarks.Peers;

/// <summary>The engines we are compared with, each in the environment that is fair to it (docs/benchmarks.md).</summary>
internal static class PeerList
{
    /// <summary>Those that can do a job.</summary>
    public static IEnumerable<Contender> For(WorkerJob job)
    {
        if (job.Work == WorkerJob.Inference)
        {
            yield return Contender.Own("ONNX Runtime", job with { Engine = "onnx" });
            yield return Contender.Own("ONNX Runtime, fused attention", job with { Engine = "onnx-fused" });
        }
        yield return new Contender("TorchSharp stock", job with { Engine = "torch" }, () => TorchEnvironment.Make(tuned: false));
        yield return new Contender("TorchSharp tuned", job with { Engine = "torch" }, () => TorchEnvironment.Make(tuned: true));
    }
}
