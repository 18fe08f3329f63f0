using System.Collections.Immutable;
using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>One convolution of a ResNet and the batch normalisation behind it.</summary>
/// <param name="Convolution">Name of the convolution.</param>
/// <param name="Norm">Name of the normalisation.</param>
/// <param name="Size">Rows and columns of its input.</param>
/// <param name="Inputs">Channels of its input.</param>
/// <param name="Outputs">Channels of its output.</param>
/// <param name="Window">k.</param>
/// <param name="Stride">Steps between windows.</param>
internal sealed record ConvolutionLayout(string Convolution, string Norm, int Size, int Inputs, int Outputs, int Window = 1, int Stride = 1)
{
    /// <summary>Pixels of one image's output.</summary>
    public int OutputPixels { get; } = new ConvolutionShape(1, Size, Inputs, Window, Stride).OutputRows;

    /// <summary>Whether the matrix product reads the pixels as they are.</summary>
    public bool IsPointwise => Window == 1 && Stride == 1;

    /// <summary>Extents for some images.</summary>
    public ConvolutionShape Shape(int batch) => new(batch, Size, Inputs, Window, Stride);
}

/// <summary>One bottleneck block: 1x1 to few channels, 3x3, average pooling in the place of a stride, 1x1 to many channels, beside them a shortcut.</summary>
/// <param name="Stride">Window of the pooling; 1 is none.</param>
/// <param name="Reduce">The first convolution.</param>
/// <param name="Spatial">The second.</param>
/// <param name="Expand">The third.</param>
/// <param name="Shortcut">The shortcut's convolution where the shapes differ; else null, the block's input is added as it is.</param>
internal sealed record BottleneckLayout(
    int Stride, ConvolutionLayout Reduce, ConvolutionLayout Spatial, ConvolutionLayout Expand, ConvolutionLayout? Shortcut)
{
    /// <summary>The convolutions in the order of the table.</summary>
    public IEnumerable<ConvolutionLayout> Convolutions => Shortcut is null ? [Reduce, Spatial, Expand] : [Reduce, Spatial, Expand, Shortcut];
}

/// <summary>All convolutions of a tower, named and sized: what its parameters, its buffers and its passes are made from.</summary>
internal sealed class ResNetLayout
{
    private const string Prefix = "visual.";

    // A stride and a pooling.
    private const int StemReduction = 4;

    /// <summary>Lays out a tower.</summary>
    public ResNetLayout(ResNetConfig config)
    {
        int size = config.ImageSize, half = config.Width / 2;
        Stem =
        [
            new($"{Prefix}conv1", $"{Prefix}bn1", size, 3, half, Window: 3, Stride: 2),
            new($"{Prefix}conv2", $"{Prefix}bn2", size / 2, half, half, Window: 3),
            new($"{Prefix}conv3", $"{Prefix}bn3", size / 2, half, config.Width, Window: 3),
        ];
        var blocks = ImmutableArray.CreateBuilder<BottleneckLayout>();
        int channels = config.Width;
        size /= StemReduction;
        for (int stage = 0; stage < ResNetConfig.Stages; stage++)
        {
            int width = config.Width << stage;
            for (int block = 0; block < config.Blocks[stage]; block++)
            {
                int stride = stage > 0 && block == 0 ? 2 : 1;
                blocks.Add(Bottleneck($"{Prefix}layer{stage + 1}.{block}", size, channels, width, stride));
                channels = width * ResNetConfig.Expansion;
                size /= stride;
            }
        }
        Blocks = blocks.ToImmutable();
        Convolutions = [.. Stem, .. Blocks.SelectMany(block => block.Convolutions)];
    }

    /// <summary>The three convolutions that the image goes through first; average pooling follows.</summary>
    public ImmutableArray<ConvolutionLayout> Stem { get; }

    /// <summary>The blocks of all stages.</summary>
    public ImmutableArray<BottleneckLayout> Blocks { get; }

    /// <summary>Every convolution, in the order of the table.</summary>
    public ImmutableArray<ConvolutionLayout> Convolutions { get; }

    private static BottleneckLayout Bottleneck(string name, int size, int inputs, int width, int stride)
    {
        int outputs = width * ResNetConfig.Expansion;
        return new(
            stride,
            new($"{name}.conv1", $"{name}.bn1", size, inputs, width),
            new($"{name}.conv2", $"{name}.bn2", size, width, width, Window: 3),
            new($"{name}.conv3", $"{name}.bn3", size / stride, width, outputs),
            stride > 1 || inputs != outputs ? new($"{name}.downsample.0", $"{name}.downsample.1", size / stride, inputs, outputs) : null);
    }
}
