using System.Buffers;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// A CLIP checkpoint on disk: a model directory or a single file, in any container that <see cref="TensorFile"/> reads. Opening checks
/// everything but the values; the values are read parameter by parameter, in the canonical layout of <see cref="ParameterTable"/>, and must be finite.
/// </summary>
/// <remarks>
/// <para>Where the architecture comes from: <c>open_clip_config.json</c> beside open_clip's weights; else <c>config.json</c> of the directory
/// (also beside a single file with Hugging Face names); else the file's own metadata (<see cref="ConfigKey"/>, written by
/// <see cref="CheckpointWriter"/>); else, for OpenAI names, the shapes of the tensors.</para>
/// <para>Where the activation comes from: the caller; else config.json or the metadata; else QuickGELU where OpenAI's three scalar buffers
/// show that it is OpenAI's own export. Otherwise the file cannot be used without being told.</para>
/// </remarks>
public sealed class ClipCheckpoint : IDisposable
{
    /// <summary>Metadata key: the architecture, as a compact config.json.</summary>
    public const string ConfigKey = "clip_config";

    /// <summary>Metadata key: the architecture and preprocessing of a ResNet, as a compact open_clip_config.json.</summary>
    public const string OpenClipKey = "open_clip_config";

    /// <summary>Metadata key: the preprocessing, as a compact preprocessor_config.json.</summary>
    public const string PreprocessKey = "clip_preprocess";

    /// <summary>Metadata key: <c>quick_gelu</c> or <c>gelu</c>.</summary>
    public const string ActivationKey = "activation";

    private const int PieceElements = 1 << 16;

    internal const string WeightsFile = "model.safetensors";
    /// <summary>What a model directory may hold, the best first: Hugging Face's and open_clip's names.</summary>
    private static readonly ImmutableArray<string> WeightsFiles =
    [
        WeightsFile, "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json", OpenClipWeightsFile,
        "open_clip_pytorch_model.bin",
    ];

    internal const string ConfigFile = "config.json";
    internal const string OpenClipWeightsFile = "open_clip_model.safetensors";
    private const string OpenClipPrefix = "open_clip_";
    internal const string PreprocessFile = "preprocessor_config.json";
    internal const string VocabularyFile = "vocab.json";
    internal const string MergesFile = "merges.txt";

    private readonly TensorFile _file;
    private readonly Lazy<string> _sha256;

    private ClipCheckpoint(string path, TensorFile file, ActivationKind? activation)
    {
        Path = path;
        _file = file;
        Naming = NameMap.Detect(file.Path, file.Tensors.Keys);
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(file.Path))!;
        Config = FindConfig(path, file, Naming, activation);
        TensorCheck.Require(file, Naming, ParameterTable.All(Config));
        Preprocess = OpenClipFile(path, file) is { } openClip
            ? OpenClipConfig.ReadPreprocess(openClip, Config.Image.ImageSize)
            : ReadPreprocess(file, Sidecar(path, file, Naming, PreprocessFile), Config.Image.ImageSize);
        Counters = file.Tensors.Values.Where(IsCounter).ToDictionary(entry => entry.Name, entry => file.ReadInt64Scalar(entry.Name), StringComparer.Ordinal);
        bool hasTokenizer = File.Exists(System.IO.Path.Combine(folder, VocabularyFile))
            && File.Exists(System.IO.Path.Combine(folder, MergesFile));
        TokenizerDirectory = hasTokenizer ? folder : null;
        _sha256 = new Lazy<string>(() => Hash(file.Files));
    }

    /// <summary>What <see cref="Open"/> was given.</summary>
    public string Path { get; }

    /// <summary>The file that holds the weights, or the index of several.</summary>
    public string WeightsPath => _file.Path;

    /// <summary>The architecture.</summary>
    public ClipConfig Config { get; }

    /// <summary>What the image tower expects of its images; CLIP's own normalisation where nothing else is said.</summary>
    public PreprocessConfig Preprocess { get; }

    /// <summary>How the file names its tensors.</summary>
    public CheckpointNaming Naming { get; }

    /// <summary>The folder, where it holds vocab.json and merges.txt; else null.</summary>
    public string? TokenizerDirectory { get; }

    /// <summary>What kind of file holds the weights, for people.</summary>
    public string Container => _file.Container;

    /// <summary>The tensors as the file names them.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _file.Tensors;

    /// <summary>What the file holds besides and what was renamed, a sentence each.</summary>
    public ImmutableArray<string> Notes => _file.Notes;

    /// <summary>How many training steps each batch normalisation has seen. Nothing computes with these numbers, so nothing changes or interpolates them either.</summary>
    public IReadOnlyDictionary<string, long> Counters { get; }

    /// <summary>The texts in the file's header.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _file.Metadata;

    /// <summary>
    /// SHA-256 of the weights' file in lower-case hexadecimal, of several files one after the other in the order of their names; computed
    /// when first asked for, which reads all of it.
    /// </summary>
    public string Sha256 => _sha256.Value;

    /// <summary>Opens a checkpoint and checks that its tensors are exactly those of its architecture.</summary>
    /// <param name="path">A directory with weights (<c>model.safetensors</c>, <c>pytorch_model.bin</c>, or an index of several files) and
    /// <c>config.json</c>, or a safetensors or PyTorch file.</param>
    /// <param name="activation">The activation, where the user states it; overrides what the files say.</param>
    /// <exception cref="InputException">The checkpoint cannot be used; one line says why, with all missing, unexpected and mis-shaped
    /// tensors.</exception>
    public static ClipCheckpoint Open(string path, ActivationKind? activation = null)
    {
        TensorFile file = OpenFile(path);
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
            if (stored.Transposed)
            {
                ReadTransposed(stored, part);
                RequireFinite(stored, FloatConversion.CountNonFinite(part));
                continue;
            }
            // Piece by piece, so that the numbers are still near when they are checked.
            long broken = 0;
            for (int done = 0; done < part.Length; done += PieceElements)
            {
                Span<float> piece = part.Slice(done, Math.Min(PieceElements, part.Length - done));
                _file.ReadFloat32(stored.Name, done, piece);
                broken += FloatConversion.CountNonFinite(piece);
            }
            RequireFinite(stored, broken);
        }
    }

    /// <summary>
    /// Reads every parameter once, so that a damaged weight is found before anything is computed or written. <see cref="Read"/> checks
    /// what it reads as well; this is for work that writes something before it has read everything.
    /// </summary>
    /// <exception cref="InputException">A tensor holds NaN or infinite values.</exception>
    public void CheckNumbers() => ParameterLoop.Run(ParameterTable.All(Config), spec =>
    {
        float[] buffer = ArrayPool<float>.Shared.Rent(PieceElements);
        foreach (StoredTensor stored in NameMap.Stored(Naming, spec))
        {
            long broken = 0;
            for (int done = 0; done < stored.Length; done += PieceElements)
            {
                Span<float> piece = buffer.AsSpan(0, Math.Min(PieceElements, stored.Length - done));
                _file.ReadFloat32(stored.Name, done, piece);
                broken += FloatConversion.CountNonFinite(piece);
            }
            RequireFinite(stored, broken);
        }
        ArrayPool<float>.Shared.Return(buffer);
    });

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();

    private void RequireFinite(StoredTensor stored, long broken)
    {
        if (broken == 0) return;
        throw new InputException(
            $"{_file.Path}: tensor '{stored.Name}' holds {broken} NaN or infinite values among {stored.Length}; the file is damaged");
    }

    private void ReadTransposed(StoredTensor stored, Span<float> destination)
    {
        (int matrices, int rows, int columns) = stored.Matrices;
        // A convolution's are small: one at a time. A projection is read row by row.
        int rowsAtOnce = matrices > 1 ? rows : 1;
        float[] buffer = new float[rowsAtOnce * columns];
        for (int matrix = 0; matrix < matrices; matrix++)
        {
            Span<float> target = destination.Slice(matrix * rows * columns, rows * columns);
            for (int first = 0; first < rows; first += rowsAtOnce)
            {
                _file.ReadFloat32(stored.Name, ((long)matrix * rows + first) * columns, buffer);
                for (int i = 0; i < buffer.Length; i++) target[i % columns * rows + first + i / columns] = buffer[i];
            }
        }
    }

    /// <summary>Opens the tensors of a model: a file, or the weights in a directory.</summary>
    internal static TensorFile OpenFile(string path)
    {
        if (!Directory.Exists(path)) return TensorFile.Open(path);
        string? weights = WeightsFiles.Select(name => System.IO.Path.Combine(path, name)).FirstOrDefault(File.Exists);
        if (weights is null)
            throw new InputException(
                $"{path}: holds no {WeightsFile}; give a model directory ({string.Join(", ", WeightsFiles)}) or a checkpoint file");
        return TensorFile.Open(weights);
    }

    /// <summary>A file beside the weights; null where it is not looked for: what surrounds a lone OpenAI-named file may belong to
    /// anything.</summary>
    private static string? Sidecar(string path, TensorFile file, CheckpointNaming naming, string name) =>
        Directory.Exists(path) || naming == CheckpointNaming.HuggingFace
            ? System.IO.Path.Combine(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(file.Path))!, name)
            : null;

    /// <summary>
    /// open_clip's description of the weights: beside weights of its names, or in a folder that says nothing else; null where there is none.
    /// </summary>
    private static string? OpenClipFile(string path, TensorFile file)
    {
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(file.Path))!;
        string config = System.IO.Path.Combine(folder, OpenClipConfig.FileName);
        bool itsWeights = System.IO.Path.GetFileName(file.Path).StartsWith(OpenClipPrefix, StringComparison.Ordinal);
        bool onlyWord = Directory.Exists(path) && !File.Exists(System.IO.Path.Combine(folder, ConfigFile));
        return (itsWeights || onlyWord) && File.Exists(config) ? config : null;
    }

    /// <summary>The architecture of an open file; the remarks of this class say where it comes from.</summary>
    internal static ClipConfig FindConfig(string path, TensorFile file, CheckpointNaming naming, ActivationKind? activation)
    {
        if (OpenClipFile(path, file) is { } openClip) return WithActivation(OpenClipConfig.ReadModel(openClip), activation);
        string? configFile = Sidecar(path, file, naming, ConfigFile);
        if (configFile is not null && File.Exists(configFile)) return WithActivation(HuggingFaceConfig.ReadConfig(configFile), activation);
        if (file.Metadata.TryGetValue(ConfigKey, out string? json))
        {
            ClipConfig described = HuggingFaceConfig.ParseConfig($"{file.Path} (metadata {ConfigKey})", Encoding.UTF8.GetBytes(json));
            return WithActivation(described, activation);
        }
        if (file.Metadata.TryGetValue(OpenClipKey, out json))
        {
            ClipConfig described = OpenClipConfig.ParseModel($"{file.Path} (metadata {OpenClipKey})", Encoding.UTF8.GetBytes(json));
            return WithActivation(described, activation);
        }
        if (naming == CheckpointNaming.HuggingFace)
            throw new InputException(
                $"{configFile}: there is no such file; weights with Hugging Face names need the config.json of their model beside them");
        return OpenAiArchitecture.Infer(file, activation);
    }

    private static bool IsCounter(TensorEntry entry) => entry is { DType: SafetensorsType.I64, Elements: 1 } && OpenAiNames.IsCounter(entry.Name);

    private static ClipConfig WithActivation(ClipConfig config, ActivationKind? activation) =>
        activation is { } stated ? config with { Activation = stated } : config;

    private static PreprocessConfig ReadPreprocess(TensorFile file, string? preprocessFile, int imageSize)
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
        else if (file.Metadata.TryGetValue(OpenClipKey, out json))
        {
            preprocess = OpenClipConfig.ParsePreprocess($"{file.Path} (metadata {OpenClipKey})", Encoding.UTF8.GetBytes(json), imageSize);
        }
        if (preprocess.Size != imageSize)
            throw new InputException($"{source}: prepares images of {preprocess.Size} pixels, but the model needs {imageSize}");
        return preprocess;
    }

    private static string Hash(ImmutableArray<string> files)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        foreach (string path in files)
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            for (int count = stream.Read(buffer); count > 0; count = stream.Read(buffer)) hash.AppendData(buffer, 0, count);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
