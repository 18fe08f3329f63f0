using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Clip;

/// <summary>
/// The ResNet tower against values of PyTorch in double precision (<c>Fixtures/generators/make_resnet.py</c>) and of the original's own code.
/// </summary>
internal sealed class ResNetTests
{
    // Single precision against double: thirty layers of sums of up to a thousand products. Some gradients are small differences of large numbers.
    private const double LargestDifference = 2e-5, RelativeDistance = 1e-5, RelativeDistanceOfAGradient = 2e-4;

    [Test]
    public void FeaturesAndGradientsWithFrozenStatistics([Values(DeviceKind.Host, DeviceKind.Simulator)] DeviceKind kind)
    {
        using Run run = new(kind, BatchNormStatistics.Frozen);
        run.Step();
        AssertClose(run.Activations.Features.ToArray(), run.Reference("frozen.features"), "features");
        run.AssertGradients("frozen");
        foreach (ParameterSpec spec in run.Statistics) Assert.That(run.Parameters[spec.Name].ToArray(), Is.EqualTo(run.Original(spec)), spec.Name);
    }

    [Test]
    public void FeaturesGradientsAndRunningStatisticsWithThoseOfTheBatch([Values(DeviceKind.Host, DeviceKind.Simulator)] DeviceKind kind)
    {
        using Run run = new(kind, BatchNormStatistics.Batch);
        run.Step();
        AssertClose(run.Activations.Features.ToArray(), run.Reference("batch.features"), "features");
        run.AssertGradients("batch");
        foreach (ParameterSpec spec in run.Statistics) AssertClose(run.Parameters[spec.Name].ToArray(), run.Reference($"batch.{spec.Name}"), spec.Name);
    }

    [Test]
    public void InferenceIsTheSameWithPackedWeightsAndForEveryImageAlone()
    {
        using Run run = new(DeviceKind.Host, BatchNormStatistics.Batch);
        using ImageActivations inference = ImageActivations.Create(run.Device, run.Config, run.Images, training: false);
        float[] expected = run.Reference("frozen.features");
        inference.Images.CopyFrom(run.Pixels);
        run.Tower.Forward(run.Weights, inference);
        AssertClose(inference.Features.ToArray(), expected, "statistics of the checkpoint whatever the training uses");
        run.Weights.Pack(run.Device);
        run.Tower.Forward(run.Weights, inference);
        AssertClose(inference.Features.ToArray(), expected, "packed");
        ImageActivations one = inference.Shrunk(1);
        for (int image = 0; image < run.Images; image++)
        {
            one.Images.CopyFrom(run.Pixels.AsSpan(image * run.Pixels.Length / run.Images, run.Pixels.Length / run.Images));
            run.Tower.Forward(run.Weights, one);
            AssertClose(one.Features.ToArray(), expected.AsSpan(image * run.Config.EmbeddingWidth, run.Config.EmbeddingWidth), $"image {image}");
        }
    }

    [Test]
    public void GradientsOfABatchAreTheSumOverItsImages()
    {
        using Run run = new(DeviceKind.Host, BatchNormStatistics.Frozen);
        int bytes = run.Pixels.Length / run.Images;
        for (int image = 0; image < run.Images; image++) run.Step(run.Activations.Shrunk(1), run.Pixels.AsSpan(image * bytes, bytes));
        run.AssertGradients("frozen");
    }

    [Test]
    public void ImagesWhoseWindowsAreLaidOutInSeveralPiecesGiveTheSame([Values(1, 2)] int imagesAtOnce)
    {
        using Run run = new(DeviceKind.Host, BatchNormStatistics.Frozen);
        ConvolutionLayout layout = new ResNetLayout((ResNetConfig)run.Config.Image).Stem[1];
        ConvolutionShape shape = layout.Shape(run.Images), one = layout.Shape(1);
        Assert.That(run.Images, Is.EqualTo(3), "pieces of one and two images");
        ConvolutionParameters weights = new(run.Parameters, layout);
        using ParameterSet gradientSet = new(run.Device, "gradients", run.Parameters.Table);
        ConvolutionParameters gradients = new(gradientSet, layout);
        ConvolutionActivations saved = null!;
        ResNetWorkspace work = null!;
        Tensor x = default, y = default, dy = default, dz = default, dx = default;
        using Arena arena = Arena.Allocate(run.Device, "test", a =>
        {
            saved = ConvolutionActivations.Take(a, layout, run.Images, training: true);
            work = ResNetWorkspace.Take(a, new ResNetLayout((ResNetConfig)run.Config.Image), run.Images, training: true, measures: false);
            (x, dx) = (a.Take("x", shape.InputRows, layout.Inputs), a.Take("dx", shape.InputRows, layout.Inputs));
            (y, dy, dz) = (a.Take("y", shape.OutputRows, layout.Outputs), a.Take("dy", shape.OutputRows, layout.Outputs), a.Take("dz", shape.OutputRows, layout.Outputs));
        });
        Random random = new(5);
        x.CopyFrom([.. Enumerable.Range(0, (int)x.Count).Select(_ => random.NextSingle())]);
        dy.CopyFrom([.. Enumerable.Range(0, (int)dy.Count).Select(_ => random.NextSingle() - 0.5f)]);
        (float[] Y, float[] Dx, float[] Dw) whole = Compute(work);
        int windows = imagesAtOnce * one.OutputRows * one.WindowLength;
        Assert.That(windows, Is.LessThan(work.Windows.Count));
        (float[] Y, float[] Dx, float[] Dw) pieces = Compute(work with { Windows = work.Windows.Prefix(windows) });
        AssertClose(pieces.Y, whole.Y, "y");
        AssertClose(pieces.Dx, whole.Dx, "dx");
        AssertClose(pieces.Dw, whole.Dw, "dw");

        (float[] Y, float[] Dx, float[] Dw) Compute(ResNetWorkspace buffers)
        {
            gradients.Kernel.Weight.CopyFrom(new float[gradients.Kernel.Weight.Count]);
            NormalizedConvolution.Forward(run.Device, y, x, weights, saved, buffers);
            NormalizedConvolution.Backward(run.Device, dx, dz, default, dy, y, x, weights, gradients, saved, buffers);
            run.Device.Synchronize();
            return (y.ToArray(), dx.ToArray(), gradients.Kernel.Weight.ToArray());
        }
    }

    [Test]
    public void TheOriginalsOwnValues()
    {
        string folder = Repository.Shared("golden", "rn-visual");
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        float[] images = Floats(golden, "images");
        int count = (int)golden.Tensors["images"].Shape[0], size = (int)golden.Tensors["images"].Shape[^1];
        byte[] pixels = GoldenModel.Pixels(images, count, size);
        using Run run = new(DeviceKind.Host, BatchNormStatistics.Batch, Path.Combine(folder, "openai.safetensors"), pixels, count);
        Assert.That(run.Config.Image, Is.EqualTo(new ResNetConfig(64, [1, 2, 1, 1], 4, 2)));
        Assert.That(run.Config.EmbeddingWidth, Is.EqualTo(24));
        using ImageActivations inference = ImageActivations.Create(run.Device, run.Config, count, training: false);
        inference.Images.CopyFrom(pixels);
        run.Tower.Forward(run.Weights, inference);
        AssertClose(inference.Features.ToArray(), Floats(golden, "eval_features"), "features");

        run.Step();
        AssertClose(run.Activations.Features.ToArray(), Floats(golden, "train_features"), "features in training");
        foreach (string name in golden.Tensors.Keys.Where(name => name.StartsWith("grad_half_sq_sum.", StringComparison.Ordinal)))
            AssertGradient(run.Gradient(name["grad_half_sq_sum.".Length..]), Floats(golden, name), name);
        foreach (string name in golden.Tensors.Keys.Where(name => name.StartsWith("after_train_forward.", StringComparison.Ordinal)))
            AssertClose(run.Parameters[name["after_train_forward.".Length..]].ToArray(), Floats(golden, name), name);
    }

    /// <summary>Parameters of OpenAI's image towers as their publishers count them, and running statistics.</summary>
    [TestCase(224, new[] { 3, 4, 6, 3 }, 64, 1024, 38_316_896, 53_248, TestName = "RN50")]
    [TestCase(224, new[] { 3, 4, 23, 3 }, 64, 512, 56_259_936, 105_472, TestName = "RN101")]
    [TestCase(288, new[] { 4, 6, 10, 6 }, 80, 640, 87_137_080, 109_760, TestName = "RN50x4")]
    [TestCase(384, new[] { 6, 8, 18, 8 }, 96, 768, 167_328_912, 193_920, TestName = "RN50x16")]
    [TestCase(448, new[] { 3, 15, 36, 10 }, 128, 1024, 420_380_352, 410_624, TestName = "RN50x64")]
    public void PublishedSizes(int size, int[] blocks, int width, int embedding, int weights, int statistics)
    {
        ClipConfig config = new(embedding, new ResNetConfig(size, [.. blocks], width, width / 2), null, ActivationKind.QuickGelu, ClipConfig.DefaultLayerNormEpsilon);
        config.Check("a published model");
        ILookup<bool, ParameterSpec> table = ParameterTable.Vision(config).ToLookup(spec => spec.Kind == ParameterKind.Statistic);
        Assert.That(table[false].Sum(spec => spec.Length), Is.EqualTo(weights));
        Assert.That(table[true].Sum(spec => spec.Length), Is.EqualTo(statistics));
        Assert.That(ImageActivations.BytesOf(config, batch: 1, training: true), Is.GreaterThan(ImageActivations.BytesOf(config, batch: 1, training: false)));
    }

    private static void AssertClose(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, string what)
    {
        (double largest, double distance) = GoldenModel.Distance(actual, expected);
        Assert.That(largest, Is.LessThanOrEqualTo(LargestDifference * Math.Max(1, Largest(expected))), $"{what}: largest difference");
        Assert.That(distance, Is.LessThanOrEqualTo(RelativeDistance), $"{what}: relative distance");
    }

    private static void AssertGradient(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, string what) =>
        Assert.That(GoldenModel.Distance(actual, expected).Relative, Is.LessThanOrEqualTo(RelativeDistanceOfAGradient), $"{what}: relative distance");

    private static float Largest(ReadOnlySpan<float> values)
    {
        float largest = 0;
        foreach (float value in values) largest = Math.Max(largest, Math.Abs(value));
        return largest;
    }

    private static float[] Floats(SafetensorsFile file, string name)
    {
        float[] values = new float[file.Tensors[name].Elements];
        file.ReadFloat32(name, values);
        return values;
    }

    /// <summary>A tower with weights, gradients and buffers, and the reference values beside it.</summary>
    private sealed class Run : IDisposable
    {
        private readonly ClipCheckpoint checkpoint;
        private readonly SafetensorsFile? reference;
        private readonly ParameterSet gradients;
        private readonly ImageParameters gradientTensors;

        public Run(DeviceKind kind, BatchNormStatistics statistics)
            : this(kind, statistics, Repository.Fixture("resnet", "model.safetensors"), null, 3)
        {
        }

        public Run(DeviceKind kind, BatchNormStatistics statistics, string model, byte[]? pixels, int images)
        {
            Images = images;
            Device = Device.Open(kind, 2);
            checkpoint = ClipCheckpoint.Open(model);
            if (pixels is null) reference = SafetensorsFile.Open(Repository.Fixture("resnet", "reference.safetensors"));
            Pixels = pixels ?? reference!.Bytes("pixels").ToArray();
            Tower = ImageTower.Create(Device, Config, GoldenModel.NormalizationTable().Values);
            Parameters = new ParameterSet(Device, "parameters", ParameterTable.Vision(Config));
            Parameters.Load(checkpoint.Read);
            gradients = new ParameterSet(Device, "gradients", Parameters.Table);
            Weights = ImageParameters.Of(Parameters, Config);
            gradientTensors = ImageParameters.Of(gradients, Config);
            Activations = ImageActivations.Create(Device, Config, images, training: true, statistics: statistics);
        }

        public int Images { get; }

        public Device Device { get; }

        public ClipConfig Config => checkpoint.Config;

        public byte[] Pixels { get; }

        public ImageTower Tower { get; }

        public ParameterSet Parameters { get; }

        public ImageParameters Weights { get; }

        public ImageActivations Activations { get; }

        public IEnumerable<ParameterSpec> Statistics => Parameters.Table.Where(spec => spec.Kind == ParameterKind.Statistic);

        public void Step() => Step(Activations, Pixels);

        /// <summary>Forward, and backward from half the sum of the squared features, whose gradient are the features.</summary>
        public void Step(ImageActivations activations, ReadOnlySpan<byte> pixels)
        {
            activations.Images.CopyFrom(pixels);
            Tower.Forward(Weights, activations);
            Tower.Backward(Weights, gradientTensors, activations, activations.Features);
            Device.Synchronize();
        }

        public float[] Reference(string name) => Floats(reference!, name);

        public float[] Original(ParameterSpec spec)
        {
            float[] values = new float[spec.Length];
            checkpoint.Read(spec, values);
            return values;
        }

        /// <summary>The gradient of a tensor under its name and in its layout in files.</summary>
        public float[] Gradient(string stored)
        {
            ParameterSpec spec = Parameters.Table.Single(spec => OpenAiNames.Stored(spec).Any(part => part.Name == stored));
            StoredTensor part = OpenAiNames.Stored(spec).Single(part => part.Name == stored);
            float[] values = gradients[spec.Name].ToArray().AsSpan(part.First, part.Length).ToArray();
            if (spec.Kind != ParameterKind.Kernel) return values;
            int window = spec.Shape[1], inputs = spec.Shape[3], area = window * window;
            return [.. Enumerable.Range(0, values.Length).Select(i => values[(i / (inputs * area) * area + i % area) * inputs + i / area % inputs])];
        }

        /// <summary>Every gradient against the reference; those of statistics must be zero.</summary>
        public void AssertGradients(string mode)
        {
            string prefix = $"{mode}.grad.";
            string[] names = [.. reference!.Tensors.Keys.Where(name => name.StartsWith(prefix, StringComparison.Ordinal))];
            Assert.That(names, Has.Length.EqualTo(Parameters.Table.Where(spec => spec.Kind != ParameterKind.Statistic).Sum(spec => OpenAiNames.Stored(spec).Length)));
            // A gradient that is truly zero is left out: softmax does not see a bias of the keys. Only rounding is left of it.
            names = [.. names.Where(name => !name.EndsWith("k_proj.bias", StringComparison.Ordinal))];
            float[] all = [.. names.SelectMany(name => Gradient(name[prefix.Length..]))], expected = [.. names.SelectMany(Reference)];
            Assert.That(GoldenModel.Distance(all, expected).Relative, Is.LessThanOrEqualTo(RelativeDistance), "all gradients");
            foreach (string name in names) AssertGradient(Gradient(name[prefix.Length..]), Reference(name), name);
            foreach (ParameterSpec spec in Statistics) Assert.That(gradients[spec.Name].ToArray(), Is.All.Zero, spec.Name);
        }

        public void Dispose()
        {
            Activations.Dispose();
            Weights.Dispose();
            gradientTensors.Dispose();
            gradients.Dispose();
            Parameters.Dispose();
            Tower.Dispose();
            reference?.Dispose();
            checkpoint.Dispose();
            Device.Dispose();
        }
    }
}
