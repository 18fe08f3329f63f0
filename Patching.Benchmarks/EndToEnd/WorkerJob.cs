using System.Globalization;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>What one worker process measures.</summary>
/// <param name="Engine">Who computes: <c>ours</c>, <c>machine</c>, <c>torch</c>, <c>onnx</c>, <c>onnx-fused</c>.</param>
/// <param name="Work">What is computed: <see cref="Inference"/>, ...</param>
/// <param name="Model">Name of the model.</param>
/// <param name="Batch">B.</param>
/// <param name="Classes">K of the head.</param>
/// <param name="Threads">Worker threads.</param>
internal sealed record WorkerJob(string Engine, string Work, string Model, int Batch, int Classes, int Threads)
{
    /// <summary>First argument of a worker process.</summary>
    public const string Verb = "worker";

    /// <summary>Pixels in managed memory to image features in managed memory.</summary>
    public const string Inference = "inference";

    /// <summary>The tower's forward pass alone, pixels and features staying where they are.</summary>
    public const string Features = "features";

    /// <summary>A whole fine-tune step.</summary>
    public const string Step = "step";

    /// <summary>Gradient norm, clip and AdamW over all parameters.</summary>
    public const string Optimizer = "optimizer";

    /// <summary>Interpolation of all parameters.</summary>
    public const string Interpolate = "interpolate";

    /// <summary>Fused multiply-adds on registers.</summary>
    public const string FusedMultiplyAdd = "fma";

    /// <summary>The arguments of the process, verb included.</summary>
    public IReadOnlyList<string> Arguments =>
    [
        Verb, Engine, Work, Model,
        Batch.ToString(CultureInfo.InvariantCulture), Classes.ToString(CultureInfo.InvariantCulture), Threads.ToString(CultureInfo.InvariantCulture),
    ];

    /// <summary>Reads <see cref="Arguments"/> without the verb.</summary>
    public static WorkerJob Parse(string[] args)
    {
        int Number(int index) => int.Parse(args[index], CultureInfo.InvariantCulture);
        return new WorkerJob(args[0], args[1], args[2], Number(3), Number(4), Number(5));
    }

    /// <summary>Sets the work up in this process.</summary>
    /// <exception cref="NotSupportedException">This program was built without the engine.</exception>
    public IWorkload Open() => Engine switch
    {
        "ours" => OurWork.Open(this),
        "machine" => MachineWork.Open(this),
#if PEERS
        "torch" => Peers.TorchWork.Open(this),
        "onnx" => new Peers.OnnxInference(this, fusedAttention: false),
        "onnx-fused" => new Peers.OnnxInference(this, fusedAttention: true),
#endif
        _ => throw new NotSupportedException($"built without {Engine}; build with -p:Peers=true"),
    };
}
