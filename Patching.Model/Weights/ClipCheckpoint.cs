using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// A CLIP checkpoint on disk: a Hugging Face model directory, or a single safetensors file. Opening checks everything but the values; the
/// values are read parameter by parameter, in the canonical layout of <see cref="ParameterTable"/>, and must be finite.
/// </summary>
/// <remarks>
/// <para>Where the architecture comes from: <c>config.json</c> of the directory (also beside a single file with Hugging Face names); else
/// the file's own metadata (<see cref="ConfigKey"/>, written by <see cref="CheckpointWriter"/>); else, for OpenAI names, the shapes of the
/// tensors.</para>
/// <para>Where the activation comes from: the caller; else config.json or the metadata; else QuickGELU where OpenAI's three scalar buffers
/// show that it is OpenAI's own export. Otherwise the file cannot be used without being told.</para>
/// </remarks>
public sealed class ClipCheckpoint : IDisposable
{
    /// <summary>Metadata key: the architecture, as a compact config.json.</summary>
    public const string ConfigKey = "clip_config";

    /// <summary>Metadata key: the preprocessing, as a compact preprocessor_config.json.</summary>
    public const string PreprocessKey = "clip_preprocess";

    /// <summary>Metadata key: <c>quick_gelu</c> or <c>gelu</c>.</summary>
    public const string ActivationKey = "activation";

    internal const string WeightsFile = "model.safetensors";
    internal const string ConfigFile = "config.json";
    internal const string PreprocessFile = "preprocessor_config.json";
    internal const string VocabularyFile = "vocab.json";
    internal const string MergesFile = "merges.txt";

    private readonly SafetensorsFile _file;
    private readonly Lazy<string> _sha256;

    private ClipCheckpoint(string path, SafetensorsFile file, ActivationKind? activation)
    {
        Path = path;
        _file = file;
        Naming = NameMap.Detect(file.Path, file.Tensors.Keys);
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(file.Path))!;
        // The files around a lone OpenAI-named file may belong to anything.
        bool useSidecars = Directory.Exists(path) || Naming == CheckpointNaming.HuggingFace;
        Config = ReadConfig(file, useSidecars ? System.IO.Path.Combine(folder, ConfigFile) : null, Naming, activation);
        TensorCheck.Require(file, Naming, ParameterTable.All(Config));
        Preprocess = ReadPreprocess(file, useSidecars ? System.IO.Path.Combine(folder, PreprocessFile) : null, Config.Vision.ImageSize);
        bool hasTokenizer = File.Exists(System.IO.Path.Combine(folder, VocabularyFile))
            && File.Exists(System.IO.Path.Combine(folder, MergesFile));
        TokenizerDirectory = hasTokenizer ? folder : null;
        _sha256 = new Lazy<string>(() => Hash(file.Path));
    }

    /// <summary>What <see cref="Open"/> was given.</summary>
    public string Path { get; }

    /// <summary>The safetensors file that holds the weights.</summary>
    public string WeightsPath => _file.Path;

    /// <summary>The architecture.</summary>
    public ClipConfig Config { get; }

    /// <summary>What the image tower expects of its images; CLIP's own normalisation where nothing else is said.</summary>
    public PreprocessConfig Preprocess { get; }

    /// <summary>How the file names its tensors.</summary>
    public CheckpointNaming Naming { get; }

    /// <summary>The folder, where it holds vocab.json and merges.txt; else null.</summary>
    public string? TokenizerDirectory { get; }

    /// <summary>The texts in the file's header.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _file.Metadata;

    /// <summary>
    /// SHA-256 of the safetensors file in lower-case hexadecimal; computed when first asked for, which reads the whole file.
    /// </summary>
    public string Sha256 => _sha256.Value;

    /// <summary>Opens a checkpoint and checks that its tensors are exactly those of its architecture.</summary>
    /// <param name="path">A directory with <c>model.safetensors</c> and <c>config.json</c>, or a safetensors file.</param>
    /// <param name="activation">The activation, where the user states it; overrides what the files say.</param>
    /// <exception cref="InputException">The checkpoint cannot be used; one line says why, with all missing, unexpected and mis-shaped
    /// tensors.</exception>
    public static ClipCheckpoint Open(string path, ActivationKind? activation = null)
    {
        SafetensorsFile file = SafetensorsFile.Open(Directory.Exists(path) ? FindWeights(path) : path);
        try
        {
            return new ClipCheckpoint(path, file, activation);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads one parameter, converted to float32 and to the canonical layout. Safe to call from several threads.</summary>
    /// <param name="spec">An entry of <see cref="ParameterTable"/> for <see cref="Config"/>.</param>
    /// <param name="destination">Receives <see cref="ParameterSpec.Length"/> values.</param>
    /// <exception cref="InputException">The tensor holds NaN or infinite values.</exception>
    public void Read(ParameterSpec spec, Span<float> destination)
    {
        if (destination.Length != spec.Length)
            throw new ArgumentException($"{spec} has {spec.Length} elements, the destination {destination.Length}", nameof(destination));
        foreach (StoredTensor stored in NameMap.Stored(Naming, spec))
        {
            Span<float> part = destination.Slice(stored.First, stored.Length);
            if (stored.Transposed) ReadTransposed(stored, part);
            else _file.ReadFloat32(stored.Name, part);
            long broken = FloatConversion.CountNonFinite(part);
            if (broken > 0)
                throw new InputException(
                    $"{_file.Path}: tensor '{stored.Name}' holds {broken} NaN or infinite values among {part.Length}; the file is damaged");
        }
    }

    /// <summary>Reads every parameter once, so that a damaged weight is found before anything is computed or written.</summary>
    /// <exception cref="InputException">A tensor holds NaN or infinite values.</exception>
    public void CheckNumbers()
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.All(Config);
        float[] buffer = new float[table.Max(spec => spec.Length)];
        foreach (ParameterSpec spec in table) Read(spec, buffer.AsSpan(0, spec.Length));
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();

    private void ReadTransposed(StoredTensor stored, Span<float> destination)
    {
        int rows = stored.Shape[0], columns = stored.Shape[1];
        float[] row = new float[columns];
        for (int r = 0; r < rows; r++)
        {
            _file.ReadFloat32(stored.Name, (long)r * columns, row);
            for (int c = 0; c < columns; c++) destination[c * rows + r] = row[c];
        }
    }

    private static string FindWeights(string directory)
    {
        string weights = System.IO.Path.Combine(directory, WeightsFile);
        if (File.Exists(weights)) return weights;
        if (File.Exists($"{weights}.index.json"))
            throw new InputException($"{directory}: the weights are split over several files; merge them into one {WeightsFile}");
        if (File.Exists(System.IO.Path.Combine(directory, "pytorch_model.bin")))
            throw new InputException($"{directory}: holds pytorch_model.bin but no {WeightsFile}; convert it to safetensors first");
        throw new InputException($"{directory}: holds no {WeightsFile}; give a Hugging Face model directory or a safetensors file");
    }

    private static ClipConfig ReadConfig(SafetensorsFile file, string? configFile, CheckpointNaming naming, ActivationKind? activation)
    {
        if (configFile is not null && File.Exists(configFile)) return WithActivation(HuggingFaceConfig.ReadConfig(configFile), activation);
        if (file.Metadata.TryGetValue(ConfigKey, out string? json))
        {
            ClipConfig described = HuggingFaceConfig.ParseConfig($"{file.Path} (metadata {ConfigKey})", Encoding.UTF8.GetBytes(json));
            return WithActivation(described, activation);
        }
        if (naming == CheckpointNaming.HuggingFace)
            throw new InputException(
                $"{configFile}: there is no such file; weights with Hugging Face names need the config.json of their model beside them");
        return OpenAiArchitecture.Infer(file, activation);
    }

    private static ClipConfig WithActivation(ClipConfig config, ActivationKind? activation) =>
        activation is { } stated ? config with { Activation = stated } : config;

    private static PreprocessConfig ReadPreprocess(SafetensorsFile file, string? preprocessFile, int imageSize)
    {
        string source = file.Path;
        PreprocessConfig preprocess = PreprocessConfig.Default(imageSize);
        if (preprocessFile is not null && File.Exists(preprocessFile))
        {
            source = preprocessFile;
            preprocess = HuggingFaceConfig.ReadPreprocess(preprocessFile);
        }
        else if (file.Metadata.TryGetValue(PreprocessKey, out string? json))
        {
            source = $"{file.Path} (metadata {PreprocessKey})";
            preprocess = HuggingFaceConfig.ParsePreprocess(source, Encoding.UTF8.GetBytes(json));
        }
        if (preprocess.Size != imageSize)
            throw new InputException($"{source}: prepares images of {preprocess.Size} pixels, but the model needs {imageSize}");
        return preprocess;
    }

    private static string Hash(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
