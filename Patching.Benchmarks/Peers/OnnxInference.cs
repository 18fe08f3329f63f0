using Microsoft.ML.OnnxRuntime;
using Patching.Benchmarks.EndToEnd;

namespace Patching.Benchmarks.Peers;

/// <summary>Features of normalised planes through ONNX Runtime, all graph optimisations on.</summary>
internal sealed class OnnxInference : IWorkload
{
    private readonly InferenceSession session;
    private readonly RunOptions runOptions = new();
    private readonly OrtValue input;
    private readonly OrtValue output;
    private readonly float[] features;
    private readonly string outputName;

    /// <summary>Writes the model, loads it and removes the files.</summary>
    public OnnxInference(WorkerJob job, bool fusedAttention)
    {
        if (job.Work != WorkerJob.Inference) throw new NotSupportedException($"onnx: no work {job.Work}");
        BenchmarkModel model = BenchmarkModel.Named(job.Model);
        DirectoryInfo folder = Directory.CreateTempSubdirectory("patching-benchmarks-");
        try
        {
            string path = Path.Combine(folder.FullName, "tower.onnx");
            outputName = OnnxTower.Write(path, model, job.Batch, fusedAttention);
            using SessionOptions options = new()
            {
                IntraOpNumThreads = job.Threads, InterOpNumThreads = 1, GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
                ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            };
            session = new InferenceSession(path, options);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
        int size = model.Config.Vision.ImageSize;
        features = new float[job.Batch * model.Config.EmbeddingWidth];
        input = OrtValue.CreateTensorValueFromMemory(model.Planes(job.Batch), [job.Batch, 3, size, size]);
        output = OrtValue.CreateTensorValueFromMemory(features, [job.Batch, model.Config.EmbeddingWidth]);
    }

    /// <inheritdoc/>
    public IReadOnlyList<float[]> Output()
    {
        Run();
        return [features];
    }

    /// <inheritdoc/>
    public void Run() => session.Run(runOptions, [OnnxTower.InputName], [input], [outputName], [output]);

    /// <inheritdoc/>
    public void Dispose()
    {
        output.Dispose();
        input.Dispose();
        runOptions.Dispose();
        session.Dispose();
    }
}
