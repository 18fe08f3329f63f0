using System.Text.Json.Nodes;
using Patching.Benchmarks.EndToEnd;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;
using Patching.Model.Training;
using Patching.Model.Weights;

namespace Patching.Benchmarks.Gpu;

/// <summary>
/// How exact mixed precision is on this device: gradients of a model against PyTorch's in double precision, beside those of its own bfloat16 autocast; and ten
/// losses of a fine-tune beside those of single precision.
/// </summary>
internal static class AccuracyCheck
{
    private const int Batch = 8;
    private const int Classes = 100;
    private const int Steps = 10;

    // Large enough for the losses to move within ten steps of made-up data.
    private const double LearningRate = 1e-4;

    /// <summary>Relative error of the whole gradient, by engine and precision.</summary>
    public static IReadOnlyList<GpuMeasurement> Gradients(Device device, BenchmarkModel model, PeerProcess peer)
    {
        string folder = Directory.CreateTempSubdirectory("patching-gradients-").FullName;
        try
        {
            WriteInputs(Path.Combine(folder, "inputs.safetensors"), model);
            TowerPrecision[] precisions = device.SupportsBFloat16 ? [TowerPrecision.BFloat16, TowerPrecision.Float32] : [TowerPrecision.Float32];
            foreach (TowerPrecision precision in precisions)
            {
                using VisionTransformer tower = new(device, model.Config, ClipNormalization.Table.Values);
                using Finetuner finetuner = ModelWork.OpenFinetuner(device, tower, model, Batch, Classes, precision);
                finetuner.Step(model.Pixels(Batch), BenchmarkModel.Labels(Batch, Classes));
                device.Synchronize();
                Write(Path.Combine(folder, $"gradients-{GpuMeasurement.Ours} {precision.Name()}.safetensors"), Tensors(finetuner.Gradients));
            }
            PeerAnswer answer = peer.Ask(new JsonObject { ["work"] = "gradients", ["model"] = model.Name, ["folder"] = folder });
            GpuMeasurement row = new() { Section = "accuracy", Model = model.Name, Name = $"gradient, batch {Batch}", Engine = "" };
            if (answer.Failure is not null) return [row with { Engine = "torch bf16 autocast", Failure = answer.Failure }];
            return [.. answer.Values["errors"]!.AsObject().Select(pair => row with { Engine = pair.Key, Values = [pair.Value!.GetValue<double>()] })];
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Losses of the same ten steps in every precision the device has.</summary>
    public static IReadOnlyList<GpuMeasurement> Losses(Device device, BenchmarkModel model)
    {
        List<GpuMeasurement> rows = [];
        foreach (TowerPrecision precision in device.SupportsBFloat16 ? [TowerPrecision.Float32, TowerPrecision.BFloat16] : (TowerPrecision[])[TowerPrecision.Float32])
        {
            using VisionTransformer tower = new(device, model.Config, ClipNormalization.Table.Values);
            using Finetuner finetuner = ModelWork.OpenFinetuner(device, tower, model, Batch, Classes, precision, LearningRate);
            double[] losses = new double[Steps];
            for (int step = 0; step < Steps; step++)
            {
                finetuner.Step(model.Pixels(Batch), BenchmarkModel.Labels(Batch, Classes));
                losses[step] = finetuner.Report().Loss;
            }
            rows.Add(new GpuMeasurement
            {
                Section = "losses",
                Model = model.Name,
                Name = $"batch {Batch}",
                Engine = $"{GpuMeasurement.Ours} {precision.Name()}",
                Values = losses,
            });
        }
        return rows;
    }

    private static void WriteInputs(string path, BenchmarkModel model)
    {
        int size = model.Config.Vision.ImageSize;
        List<(string Name, long[] Shape, float[] Values)> tensors = [];
        foreach (ParameterSpec spec in ParameterTable.Vision(model.Config))
        {
            float[] values = new float[spec.Length];
            model.Fill(spec, values);
            tensors.Add((spec.Name, [.. spec.Shape.Select(extent => (long)extent)], values));
        }
        tensors.Add(("pixels", [Batch, size, size, 3], [.. model.Pixels(Batch).Select(pixel => (float)pixel)]));
        tensors.Add(("labels", [Batch], [.. BenchmarkModel.Labels(Batch, Classes).Select(label => (float)label)]));
        tensors.Add(("head", [Classes, model.Config.EmbeddingWidth], model.Head(Classes).Weights));
        Write(path, tensors);
    }

    private static IEnumerable<(string Name, long[] Shape, float[] Values)> Tensors(ParameterSet set) =>
        set.Table.Select(spec => (spec.Name, (long[])[.. spec.Shape.Select(extent => (long)extent)], set[spec.Name].ToArray()));

    private static void Write(string path, IEnumerable<(string Name, long[] Shape, float[] Values)> tensors)
    {
        (string Name, long[] Shape, float[] Values)[] all = [.. tensors];
        using SafetensorsWriter writer = new(
            path, new Dictionary<string, string>(), [.. all.Select(tensor => new SafetensorsTensor(tensor.Name, SafetensorsType.F32, tensor.Shape))]);
        foreach ((_, _, float[] values) in all) writer.Write(values);
        writer.Complete();
    }
}
