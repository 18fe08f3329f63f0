using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>How a checkpoint is to be written; what is null is decided by <see cref="CheckpointConversion.Run"/>.</summary>
/// <param name="Type">F32, F16 or BF16; if not given, the type that all tensors of the source have, or F32.</param>
/// <param name="Naming">Names of the tensors; if not given, Hugging Face's in a folder and OpenAI's in a file.</param>
/// <param name="Activation">The activation, where the source does not say it.</param>
/// <param name="Tokenizer">A folder with vocab.json and merges.txt for a folder, if they are not beside the source.</param>
/// <param name="Command">The command line, for the metadata.</param>
/// <param name="Overwrite">Whether an existing target may be replaced.</param>
public sealed record ConversionSettings(
    SafetensorsType? Type = null, CheckpointNaming? Naming = null, ActivationKind? Activation = null, string? Tokenizer = null,
    string? Command = null, bool Overwrite = false);

/// <summary>What a conversion wrote.</summary>
/// <param name="Type">Element type of the tensors.</param>
/// <param name="Naming">Their names.</param>
/// <param name="HasTokenizer">Whether a tokenizer came along.</param>
public sealed record ConversionResult(SafetensorsType Type, CheckpointNaming Naming, bool HasTokenizer);

/// <summary>
/// Turns any checkpoint that can be read into safetensors: a folder that transformers loads, or a single file for OpenAI's and open_clip's
/// code. One parameter is in memory at a time.
/// </summary>
public static class CheckpointConversion
{
    /// <summary>Metadata key: SHA-256 of what was converted.</summary>
    public const string SourceHashKey = "source_sha256";

    /// <summary>Metadata key: the kind of file that was converted.</summary>
    public const string SourceContainerKey = "source_container";

    private const string FileExtension = ".safetensors";

    /// <summary>Converts a checkpoint. The metadata of the source is kept; its hash and container and the command are added.</summary>
    /// <param name="source">What <see cref="ClipCheckpoint.Open"/> takes.</param>
    /// <param name="target">A file if it ends in <c>.safetensors</c>, else a folder.</param>
    /// <param name="settings">How to write it.</param>
    /// <exception cref="InputException">The source cannot be used, the target cannot be written, or a value does not fit the
    /// type.</exception>
    public static ConversionResult Run(string source, string target, ConversionSettings settings)
    {
        bool isFile = target.EndsWith(FileExtension, StringComparison.Ordinal);
        if (isFile && settings.Naming == CheckpointNaming.HuggingFace)
            throw new InputException($"{target}: Hugging Face's names need a folder, because config.json belongs to them; name a folder");
        if (!isFile) CheckpointWriter.RequireReplaceable(target, settings.Overwrite);
        else if (Directory.Exists(target)) throw new InputException($"{target}: is a folder; name a file to be created");
        else if (File.Exists(target) && !settings.Overwrite)
            throw new InputException($"{target}: exists already; name another file or give --overwrite");
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(source, settings.Activation);
        SafetensorsType type = settings.Type ?? CommonType(checkpoint);
        Dictionary<string, string> metadata = new(checkpoint.Metadata, StringComparer.Ordinal)
        {
            [SourceHashKey] = checkpoint.Sha256,
            [SourceContainerKey] = checkpoint.Container,
        };
        if (settings.Command is { } command) metadata["command"] = command;
        CheckpointNaming naming =
            settings.Naming ?? (isFile || checkpoint.Config.Image is ResNetConfig ? CheckpointNaming.OpenAi : CheckpointNaming.HuggingFace);
        string? tokenizer = settings.Tokenizer ?? checkpoint.TokenizerDirectory;
        if (isFile)
            CheckpointWriter.SaveFile(
                target, checkpoint.Config, checkpoint.Preprocess, checkpoint.Read, type, metadata, settings.Overwrite, checkpoint.Counters);
        else
            CheckpointWriter.Save(
                target, checkpoint.Config, checkpoint.Preprocess, checkpoint.Read, naming, type, metadata, tokenizer, settings.Overwrite,
                checkpoint.Counters);
        return new ConversionResult(type, naming, !isFile && tokenizer is not null);
    }

    /// <summary>The type that loses nothing: that of all tensors where it is one that can be written, else F32.</summary>
    private static SafetensorsType CommonType(ClipCheckpoint checkpoint)
    {
        SafetensorsType[] types = [.. checkpoint.Tensors.Values.Select(tensor => tensor.DType).Where(TensorEntry.IsFloat).Distinct()];
        return types is [SafetensorsType.F16 or SafetensorsType.BF16] ? types[0] : SafetensorsType.F32;
    }
}
