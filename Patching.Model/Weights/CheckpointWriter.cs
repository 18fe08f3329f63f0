using System.Collections.Immutable;
using System.Text;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>Supplies the values of a parameter in the canonical layout. <see cref="ClipCheckpoint.Read"/> is one.</summary>
/// <param name="spec">The parameter.</param>
/// <param name="destination">To be filled with its <see cref="ParameterSpec.Length"/> values.</param>
public delegate void ParameterSource(ParameterSpec spec, Span<float> destination);

/// <summary>Hands out the values of a parameter in the canonical layout, valid until it is called again.</summary>
/// <param name="spec">The parameter.</param>
internal delegate ReadOnlySpan<float> ParameterSupply(ParameterSpec spec);

/// <summary>
/// Writes CLIP checkpoints, complete or not at all. In memory there is never more than the largest parameter. The same
/// arguments give the same bytes.
/// </summary>
public static class CheckpointWriter
{
    /// <summary>Files of a tokenizer that travel with a model.</summary>
    private static readonly ImmutableArray<string> TokenizerFiles =
    [
        ClipCheckpoint.VocabularyFile, ClipCheckpoint.MergesFile, "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json",
        "added_tokens.json",
    ];

    /// <summary>
    /// Writes a model directory that transformers and this program read: model.safetensors, config.json, preprocessor_config.json and,
    /// where a source is given, the tokenizer. It is built under a temporary name beside the target and renamed when complete.
    /// </summary>
    /// <param name="directory">The directory to be created; its parents are created too.</param>
    /// <param name="config">The architecture.</param>
    /// <param name="preprocess">What the image tower expects of its images.</param>
    /// <param name="source">Supplies the parameters, called once each, in the table's order.</param>
    /// <param name="naming">How the tensors are named; if not given, as Hugging Face does, and a ResNet as open_clip does.</param>
    /// <param name="type">F32, F16 or BF16; values are rounded to nearest even.</param>
    /// <param name="metadata">Further texts for the header, for example the command and the base model's hash.</param>
    /// <param name="tokenizerDirectory">A folder with vocab.json and merges.txt to be copied.</param>
    /// <param name="overwrite">Whether an existing checkpoint may be replaced. A folder that holds other files is never replaced.</param>
    /// <param name="counters">A ResNet's integer buffers, <see cref="ClipCheckpoint.Counters"/> of the base model; those that are not given are 0.</param>
    /// <exception cref="InputException">The directory exists or cannot be written, or a value is too large for the type.</exception>
    public static void Save(
        string directory, ClipConfig config, PreprocessConfig preprocess, ParameterSource source,
        CheckpointNaming? naming = null, SafetensorsType type = SafetensorsType.F32,
        IReadOnlyDictionary<string, string>? metadata = null, string? tokenizerDirectory = null, bool overwrite = false,
        IReadOnlyDictionary<string, long>? counters = null) =>
        SaveSupplied(directory, config, preprocess, Buffered(config, source), naming, type, metadata, tokenizerDirectory, overwrite, counters);

    /// <summary><see cref="Save"/> for parameters that lie in memory already, and with texts that become known only while these are written.</summary>
    /// <param name="directory">As above; so are the others.</param>
    /// <param name="config">The architecture.</param>
    /// <param name="preprocess">What the image tower expects of its images.</param>
    /// <param name="supply">Hands out the parameters.</param>
    /// <param name="naming">How the tensors are named.</param>
    /// <param name="type">F32, F16 or BF16.</param>
    /// <param name="metadata">Further texts for the header.</param>
    /// <param name="tokenizerDirectory">A folder with vocab.json and merges.txt to be copied.</param>
    /// <param name="overwrite">Whether an existing checkpoint may be replaced.</param>
    /// <param name="counters">A ResNet's integer buffers.</param>
    /// <param name="lateMetadata">Asked for when all parameters are written: what takes the place of <paramref name="metadata"/>, in as many bytes.</param>
    internal static void SaveSupplied(
        string directory, ClipConfig config, PreprocessConfig preprocess, ParameterSupply supply, CheckpointNaming? naming, SafetensorsType type,
        IReadOnlyDictionary<string, string>? metadata, string? tokenizerDirectory, bool overwrite, IReadOnlyDictionary<string, long>? counters,
        Func<IReadOnlyDictionary<string, string>>? lateMetadata = null)
    {
        bool resNet = config.Image is ResNetConfig;
        if (resNet && naming == CheckpointNaming.HuggingFace)
            throw new InputException($"{directory}: transformers has no CLIP ResNets; they are written as open_clip writes them (--naming openai)");
        string target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        RequireReplaceable(directory, overwrite);
        string temporary = $"{target}.{Guid.NewGuid():N}.tmp";
        string[] created = [.. MissingParents(target)];
        try
        {
            Directory.CreateDirectory(temporary);
            string weights = Path.Combine(temporary, resNet ? ClipCheckpoint.OpenClipWeightsFile : ClipCheckpoint.WeightsFile);
            CheckpointNaming names = naming ?? (resNet ? CheckpointNaming.OpenAi : CheckpointNaming.HuggingFace);
            // open_clip's reader refuses tensors that it does not expect, such as OpenAI's three scalars.
            List<(string, long)> integers = resNet ? CountersOf(config, counters) : Scalars(config, names);
            WriteTensors(weights, config, preprocess, supply, names, type, integers, metadata, overwrite: false, lateMetadata);
            if (resNet)
            {
                WriteFile(Path.Combine(temporary, OpenClipConfig.FileName), OpenClipConfig.Write(config, preprocess));
            }
            else
            {
                WriteFile(Path.Combine(temporary, ClipCheckpoint.ConfigFile), HuggingFaceConfig.WriteConfig(config, TorchName(type)));
                WriteFile(Path.Combine(temporary, ClipCheckpoint.PreprocessFile), HuggingFaceConfig.WritePreprocess(preprocess));
            }
            if (tokenizerDirectory is not null) CopyTokenizer(tokenizerDirectory, temporary);
            Replace(temporary, target);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{directory}: cannot be written ({error.Message})", error);
        }
        finally
        {
            if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true);
            foreach (string parent in created)
                if (Directory.Exists(parent) && !Directory.EnumerateFileSystemEntries(parent).Any()) Directory.Delete(parent);
        }
    }

    /// <summary>
    /// Writes a single OpenAI-named safetensors file whose metadata describes architecture, activation and preprocessing.
    /// </summary>
    /// <param name="path">The file to be created; its folder is created too.</param>
    /// <param name="config">The architecture.</param>
    /// <param name="preprocess">What the image tower expects of its images.</param>
    /// <param name="source">Supplies the parameters, called once each, in the table's order.</param>
    /// <param name="type">F32, F16 or BF16; values are rounded to nearest even.</param>
    /// <param name="metadata">Further texts for the header.</param>
    /// <param name="overwrite">Whether an existing file may be replaced.</param>
    /// <param name="counters">A ResNet's integer buffers, as for <see cref="Save"/>.</param>
    /// <exception cref="InputException">The file exists or cannot be written, or a value is too large for the type.</exception>
    public static void SaveFile(
        string path, ClipConfig config, PreprocessConfig preprocess, ParameterSource source, SafetensorsType type = SafetensorsType.F32,
        IReadOnlyDictionary<string, string>? metadata = null, bool overwrite = false, IReadOnlyDictionary<string, long>? counters = null)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            List<(string, long)> integers = [.. Scalars(config, CheckpointNaming.OpenAi), .. CountersOf(config, counters)];
            WriteTensors(path, config, preprocess, Buffered(config, source), CheckpointNaming.OpenAi, type, integers, metadata, overwrite, lateMetadata: null);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be written ({error.Message})", error);
        }
    }

    private static ParameterSupply Buffered(ClipConfig config, ParameterSource source)
    {
        float[] buffer = new float[ParameterTable.All(config).Max(spec => spec.Length)];
        return spec =>
        {
            source(spec, buffer.AsSpan(0, spec.Length));
            return buffer.AsSpan(0, spec.Length);
        };
    }

    private static void WriteTensors(
        string path, ClipConfig config, PreprocessConfig preprocess, ParameterSupply supply, CheckpointNaming naming, SafetensorsType type,
        List<(string Name, long Value)> scalars, IReadOnlyDictionary<string, string>? metadata, bool overwrite, Func<IReadOnlyDictionary<string, string>>? lateMetadata)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.All(config);
        // The 8-byte scalars come first so that every tensor stays aligned to its element size.
        List<SafetensorsTensor> tensors = [.. scalars.Select(scalar => new SafetensorsTensor(scalar.Name, SafetensorsType.I64, []))];
        foreach (StoredTensor stored in table.SelectMany(spec => NameMap.Stored(naming, spec)))
            tensors.Add(new SafetensorsTensor(stored.Name, type, [.. stored.Shape.Select(size => (long)size)]));
        using var writer = new SafetensorsWriter(path, Describe(config, preprocess, type, metadata), tensors, overwrite);
        foreach ((_, long value) in scalars) writer.WriteInt64(value);
        foreach (ParameterSpec spec in table)
        {
            ReadOnlySpan<float> values = supply(spec);
            foreach (StoredTensor stored in NameMap.Stored(naming, spec))
                WriteTensor(writer, stored, values.Slice(stored.First, stored.Length));
        }
        if (lateMetadata is not null) writer.ReplaceMetadata(Describe(config, preprocess, type, lateMetadata()));
        writer.Complete();
    }

    private static void WriteTensor(SafetensorsWriter writer, StoredTensor stored, ReadOnlySpan<float> values)
    {
        if (!stored.Transposed)
        {
            writer.Write(values);
            return;
        }
        (int matrices, int rows, int columns) = stored.Matrices;
        float[] row = new float[columns];
        for (int matrix = 0; matrix < matrices; matrix++, values = values[(rows * columns)..])
        {
            for (int r = 0; r < rows; r++)
            {
                for (int c = 0; c < columns; c++) row[c] = values[c * rows + r];
                writer.Write(row);
            }
        }
    }

    /// <summary>
    /// The I64 buffers of OpenAI's exports. Readers, ours included, take their presence as a sign of OpenAI's architecture, so they are
    /// written only for models that have it.
    /// </summary>
    private static List<(string Name, long Value)> Scalars(ClipConfig config, CheckpointNaming naming) =>
        naming == CheckpointNaming.OpenAi && config is { Activation: ActivationKind.QuickGelu, Text: { } text }
            ?
            [
                (OpenAiNames.InputResolution, config.Image.ImageSize), (OpenAiNames.ContextLength, text.ContextLength),
                (OpenAiNames.VocabularySize, text.VocabularySize),
            ]
            : [];

    /// <summary>The I64 buffers that PyTorch's batch normalisations expect.</summary>
    private static List<(string Name, long Value)> CountersOf(ClipConfig config, IReadOnlyDictionary<string, long>? counters) =>
        [.. OpenAiNames.Counters(ParameterTable.Vision(config)).Select(name => (name, counters?.GetValueOrDefault(name) ?? 0))];

    private static Dictionary<string, string> Describe(
        ClipConfig config, PreprocessConfig preprocess, SafetensorsType type, IReadOnlyDictionary<string, string>? metadata)
    {
        Dictionary<string, string> texts = new(metadata ?? new Dictionary<string, string>(), StringComparer.Ordinal)
        {
            // transformers refuses files that do not name a framework.
            ["format"] = "pt",
            [ClipCheckpoint.ActivationKey] = HuggingFaceConfig.Name(config.Activation),
        };
        if (config.Image is ResNetConfig)
        {
            texts[ClipCheckpoint.OpenClipKey] = Encoding.UTF8.GetString(OpenClipConfig.Write(config, preprocess, indented: false));
            return texts;
        }
        texts[ClipCheckpoint.ConfigKey] = Encoding.UTF8.GetString(HuggingFaceConfig.WriteConfig(config, TorchName(type), indented: false));
        texts[ClipCheckpoint.PreprocessKey] = Encoding.UTF8.GetString(HuggingFaceConfig.WritePreprocess(preprocess, indented: false));
        return texts;
    }

    private static string TorchName(SafetensorsType type) => type switch
    {
        SafetensorsType.F32 => "float32",
        SafetensorsType.F16 => "float16",
        SafetensorsType.BF16 => "bfloat16",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "can be written: F32, F16, BF16"),
    };

    /// <summary>Refuses a directory that <see cref="Save"/> would refuse, so that a long computation can ask before it begins.</summary>
    /// <exception cref="InputException">It is a file, or holds something that may not be replaced.</exception>
    internal static void RequireReplaceable(string directory, bool overwrite)
    {
        string target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        if (File.Exists(target)) throw new InputException($"{directory}: is a file; name a directory to be created");
        if (!Directory.Exists(target) || !Directory.EnumerateFileSystemEntries(target).Any()) return;
        if (!overwrite) throw new InputException($"{directory}: exists already; name another directory or ask for it to be overwritten");
        string[] ours =
        [
            ClipCheckpoint.WeightsFile, ClipCheckpoint.ConfigFile, ClipCheckpoint.PreprocessFile, ClipCheckpoint.OpenClipWeightsFile, OpenClipConfig.FileName,
            .. TokenizerFiles,
        ];
        IEnumerable<string> present = Directory.EnumerateFileSystemEntries(target).Select(entry => Path.GetFileName(entry));
        string? other = present.FirstOrDefault(name => !ours.Contains(name));
        if (other is not null)
            throw new InputException($"{directory}: holds '{HostileText.Show(other)}', which is no checkpoint file; name another one");
    }

    /// <summary>Folders above a path that do not exist yet, innermost first.</summary>
    private static IEnumerable<string> MissingParents(string path)
    {
        for (string? parent = Path.GetDirectoryName(path); parent is not null && !Directory.Exists(parent); parent = Path.GetDirectoryName(parent)) yield return parent;
    }

    private static void Replace(string temporary, string target)
    {
        if (!Directory.Exists(target))
        {
            Directory.Move(temporary, target);
            return;
        }
        // Directories cannot be exchanged in one step; the old one steps aside first, so that a complete checkpoint exists at every moment.
        string old = $"{temporary}.old";
        Directory.Move(target, old);
        try
        {
            Directory.Move(temporary, target);
        }
        catch
        {
            Directory.Move(old, target);
            throw;
        }
        Directory.Delete(old, recursive: true);
    }

    /// <summary>Bytes of the tokenizer's files that <see cref="Save"/> copies.</summary>
    internal static long TokenizerBytes(string directory) =>
        TokenizerFiles.Select(name => new FileInfo(Path.Combine(directory, name))).Where(file => file.Exists).Sum(file => file.Length);

    private static void CopyTokenizer(string from, string to)
    {
        foreach (string name in new[] { ClipCheckpoint.VocabularyFile, ClipCheckpoint.MergesFile })
            if (!File.Exists(Path.Combine(from, name)))
                throw new InputException($"{from}: holds no {name}; a tokenizer needs vocab.json and merges.txt");
        foreach (string name in TokenizerFiles)
            if (File.Exists(Path.Combine(from, name))) CopyFile(Path.Combine(from, name), Path.Combine(to, name));
    }

    private static void CopyFile(string from, string to)
    {
        // Not File.Copy: that would also copy permissions, and a read-only source is common.
        using var source = new FileStream(from, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        using var stream = new FileStream(to, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        source.CopyTo(stream);
        stream.Flush(flushToDisk: true);
    }

    private static void WriteFile(string path, byte[] bytes)
    {
        using var stream = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        stream.Write(bytes);
        stream.Flush(flushToDisk: true);
    }
}
