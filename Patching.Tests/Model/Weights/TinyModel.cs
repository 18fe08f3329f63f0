using System.Buffers.Binary;
using System.Text;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>A complete CLIP of some ten thousand parameters whose values are exact in F16 and BF16, for tests that need files.</summary>
internal static class TinyModel
{
    public static ClipConfig Config { get; } = new(
        EmbeddingWidth: 6, new VisionConfig(ImageSize: 8, PatchSize: 4, Width: 64, Layers: 2, Heads: 1, MlpWidth: 10),
        new TextConfig(ContextLength: 5, VocabularySize: 11, Width: 128, Layers: 1, Heads: 2, MlpWidth: 12, TextPooling.ArgMaxId,
            EndOfTextId: 10),
        ActivationKind.QuickGelu, ClipConfig.DefaultLayerNormEpsilon);

    public static PreprocessConfig Preprocess { get; } = PreprocessConfig.Default(8);

    /// <summary>Different values for every name and position: k/64 with |k| at most 127 needs 7 mantissa bits.</summary>
    public static void Fill(ParameterSpec spec, Span<float> destination)
    {
        uint state = 17;
        foreach (char letter in spec.Name) state = state * 31 + letter;
        for (int i = 0; i < destination.Length; i++)
        {
            state = state * 1664525 + 1013904223;
            destination[i] = ((int)(state >> 24) - 128) / 64f;
        }
    }

    public static float[] Values(ParameterSpec spec)
    {
        float[] values = new float[spec.Length];
        Fill(spec, values);
        return values;
    }

    public static float[] Read(ClipCheckpoint checkpoint, ParameterSpec spec)
    {
        float[] values = new float[spec.Length];
        checkpoint.Read(spec, values);
        return values;
    }

    public static void Save(string directory, CheckpointNaming naming = CheckpointNaming.HuggingFace,
        SafetensorsType type = SafetensorsType.F32) =>
        CheckpointWriter.Save(directory, Config, Preprocess, Fill, naming, type);

    /// <summary>A file with this header, its length and some data.</summary>
    public static byte[] Raw(string json, int dataLength, ulong? claimedHeader = null)
    {
        byte[] header = Encoding.UTF8.GetBytes(json);
        byte[] file = new byte[8 + header.Length + dataLength];
        BinaryPrimitives.WriteUInt64LittleEndian(file, claimedHeader ?? (ulong)header.Length);
        header.CopyTo(file, 8);
        return file;
    }
}
