using System.Text.Json.Nodes;
using ILGPU.Runtime.Cuda;
using Patching.Benchmarks.EndToEnd;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;
using Patching.Model.Training;

namespace Patching.Benchmarks.Gpu;

/// <summary>Work of a whole model: inference, a fine-tune step, the optimizer, interpolation; and the copy that bounds the last two.</summary>
internal static class ModelWork
{
    private static readonly string[] Modes = ["eager", "compiled"];

    /// <summary>Copies a gibibyte inside the device's memory.</summary>
    public static GpuWork Copy()
    {
        const int half = 1 << 30;
        return new GpuWork("copy", "", "device to device, 1 GiB", null, 2.0 * half, Prepare, [new("torch", new JsonObject { ["work"] = "copy" })]);

        static PreparedWork Prepare(Device device)
        {
            Tensor source = default, target = default;
            Arena arena = Arena.Allocate(device, "copy", a => (source, target) = (a.Take("source", half / sizeof(float)), a.Take("target", half / sizeof(float))));
            return new PreparedWork(() => target.CopyFrom(source), 1, null, [arena]);
        }
    }

    /// <summary>Interpolates all parameters, with the rounded copy in mixed precision.</summary>
    public static GpuWork Interpolate(BenchmarkModel model, TowerPrecision precision)
    {
        int rounded = precision == TowerPrecision.BFloat16 ? sizeof(ushort) : 0;
        return new GpuWork(
            "interpolate", model.Name, "all parameters", null, model.ParameterCount * (3.0 * sizeof(float) + rounded), Prepare,
            [new("torch", new JsonObject { ["work"] = "interpolate", ["model"] = model.Name })]);

        PreparedWork Prepare(Device device)
        {
            ParameterSet zero = OurWork.Weights(device, model), one = OurWork.Weights(device, model);
            ParameterSet mixed = new(device, "interpolated", zero.Table, precision);
            return new PreparedWork(() => Interpolation.Forward(device, mixed.Flat, zero.Flat, one.Flat, 0.3, mixed.Rounded), 1, null, [zero, one, mixed]);
        }
    }

    /// <summary>AdamW over all parameters, alone and with the norm and the clipping before it.</summary>
    public static IEnumerable<GpuWork> Optimizer(BenchmarkModel model, TowerPrecision precision)
    {
        int rounded = precision == TowerPrecision.BFloat16 ? sizeof(ushort) : 0;
        foreach (bool clip in (bool[])[false, true])
        {
            // Three tensors updated in place and the gradient read once; the norm reads it once more.
            double bytes = model.ParameterCount * ((clip ? 8.0 : 7.0) * sizeof(float) + rounded);
            JsonObject job = new() { ["work"] = "optimizer", ["model"] = model.Name, ["clip"] = clip };
            yield return new GpuWork(
                "optimizer", model.Name, clip ? "norm, clip and AdamW" : "AdamW", null, bytes, device => PrepareOptimizer(device, model, precision, clip), [new("torch", job)]);
        }
    }

    /// <summary>Pixels in pinned memory to features on the device.</summary>
    public static GpuWork Inference(BenchmarkModel model, GpuOptions options)
    {
        return new GpuWork(
            "inference", model.Name, $"batch {options.Batch}", options.Batch * model.ForwardFlops, null, Prepare, Jobs("inference", model, options));

        PreparedWork Prepare(Device device)
        {
            long free = FreeMemory(device);
            TowerPrecision precision = GpuOptions.PrecisionOn(device);
            ParameterSet weights = new(device, "parameters", ParameterTable.Vision(model.Config), precision);
            weights.Load(model.Fill);
            VisionParameters parameters = new(weights, model.Config);
            parameters.Pack(device);
            VisionTransformer tower = new(device, model.Config, ClipNormalization.Table.Values);
            ImageEncoder encoder = new(device, model.Config, tower, options.Batch, precision);
            byte[] pixels = model.Pixels(options.Batch);
            for (int i = 0; i < 4; i++) _ = encoder.Encode(parameters, pixels, options.Batch);
            device.Synchronize();
            return new PreparedWork(() => encoder.Encode(parameters, pixels, options.Batch), 1, free - FreeMemory(device), [weights, parameters, tower, encoder]);
        }
    }

    /// <summary>A whole fine-tune step from pixels in memory; the loss stays on the device.</summary>
    public static GpuWork Step(BenchmarkModel model, GpuOptions options)
    {
        return new GpuWork("step", model.Name, $"batch {options.Batch}", options.Batch * model.StepFlops, null, Prepare, Jobs("step", model, options));

        PreparedWork Prepare(Device device)
        {
            long free = FreeMemory(device);
            VisionTransformer tower = new(device, model.Config, ClipNormalization.Table.Values);
            Finetuner finetuner = OpenFinetuner(device, tower, model, options.Batch, options.Classes, GpuOptions.PrecisionOn(device));
            byte[] pixels = model.Pixels(options.Batch);
            int[] labels = BenchmarkModel.Labels(options.Batch, options.Classes);
            for (int i = 0; i < 4; i++) finetuner.Step(pixels, labels);
            device.Synchronize();
            return new PreparedWork(() => finetuner.Step(pixels, labels), 1, free - FreeMemory(device), [tower, finetuner]);
        }
    }

    /// <summary>A fine-tune of the benchmark's model with the settings that every engine has.</summary>
    public static Finetuner OpenFinetuner(
        Device device, VisionTransformer tower, BenchmarkModel model, int batch, int classes, TowerPrecision precision, double learningRate = OurStep.LearningRate)
    {
        FinetuneSettings settings = new()
        {
            TrainDataset = "benchmark",
            TrainImages = 1_000_000_000,
            BaseModelSha256 = "",
            HeadKey = "",
            Epochs = 1,
            WarmupLength = 0,
            BatchSize = batch,
            LearningRate = learningRate,
            WeightDecay = OurStep.WeightDecay,
            ClipNorm = OurStep.ClipNorm,
            Precision = precision,
        };
        return new Finetuner(device, model.Config, tower, model.Fill, model.Head(classes), settings);
    }

    private static PreparedWork PrepareOptimizer(Device device, BenchmarkModel model, TowerPrecision precision, bool clip)
    {
        ParameterSet weights = new(device, "parameters", ParameterTable.Vision(model.Config), precision);
        weights.Load(model.Fill);
        ParameterSet gradients = OurWork.Weights(device, model);
        ParameterSet first = new(device, "first moment", weights.Table), second = new(device, "second moment", weights.Table);
        Tensor norm = default, scratch = default, coefficients = default;
        Arena arena = Arena.Allocate(device, "optimizer", a =>
            (norm, scratch, coefficients) = (a.Take("norm", 2), a.Take("partial_sums", GradientNorm.ScratchLength), a.Take("coefficients", AdamW.CoefficientCount)));
        AdamW.WriteCoefficients(coefficients, new AdamWSettings(OurStep.LearningRate, WeightDecay: OurStep.WeightDecay), step: 1000);
        return new PreparedWork(Run, 1, null, [weights, gradients, first, second, arena]);

        void Run()
        {
            if (clip) GradientNorm.Forward(device, norm, gradients.Flat, scratch, (float)OurStep.ClipNorm);
            AdamW.Step(device, weights.Flat, first.Flat, second.Flat, gradients.Flat, clip ? norm : default, coefficients, weights.Rounded);
        }
    }

    private static PeerJob[] Jobs(string work, BenchmarkModel model, GpuOptions options) =>
    [
        .. Modes.Select(mode => new PeerJob($"torch {mode}", new JsonObject
        {
            ["work"] = work, ["model"] = model.Name, ["batch"] = options.Batch, ["classes"] = options.Classes, ["mode"] = mode,
        })),
    ];

    private static long FreeMemory(Device device) => device.Accelerator is CudaAccelerator cuda ? cuda.GetFreeMemory() : 0;
}
