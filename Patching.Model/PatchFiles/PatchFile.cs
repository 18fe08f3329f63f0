using System.Collections.Immutable;
using System.Globalization;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.PatchFiles;

/// <summary>
/// A patch as a file: what turns a base model into a tuned one. A safetensors file with a tensor (or two factors) for every parameter that changed, under its canonical name; the metadata
/// holds the <see cref="WeightHash"/> of the model it applies to and of the model that comes out, so it refuses any other.
/// </summary>
public sealed class PatchFile : IDisposable
{
    internal const string FormatKey = "patch_format";
    internal const string Format = "1";
    internal const string KindKey = "patch_kind";
    internal const string BaseKey = "patch_base";
    internal const string TunedKey = "patch_result";
    internal const string ErrorKey = "patch_relative_error";

    private readonly SafetensorsFile file;

    private PatchFile(SafetensorsFile file)
    {
        this.file = file;
        if (Text(FormatKey, required: false) != Format)
            throw new InputException($"{file.Path}: is no patch of this program; patching diff makes them");
        Base = Text(BaseKey)!;
        Tuned = Text(TunedKey)!;
        Kind = Enum.TryParse(Text(KindKey), out PatchKind kind) ? kind : throw new InputException($"{file.Path}: is a patch of an unknown kind; a newer version may read it");
    }

    /// <summary>The file.</summary>
    public string Path => file.Path;

    /// <summary>How it keeps what changed.</summary>
    public PatchKind Kind { get; }

    /// <summary>Hash of the model it applies to.</summary>
    public string Base { get; }

    /// <summary>Hash of the model that comes out.</summary>
    public string Tuned { get; }

    /// <summary>The texts in the file's header.</summary>
    public IReadOnlyDictionary<string, string> Metadata => file.Metadata;

    /// <summary>Opens a patch.</summary>
    /// <exception cref="InputException">The file cannot be read or is no patch.</exception>
    public static PatchFile Open(string path)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        try
        {
            return new PatchFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Checks that it holds nothing but changes of a model's parameters.</summary>
    /// <exception cref="InputException">It holds tensors that the model does not have.</exception>
    internal void RequireFits(ImmutableArray<ParameterSpec> table)
    {
        HashSet<string> known = [.. table.SelectMany(TensorChange.Names)];
        string? other = file.Tensors.Keys.Order(StringComparer.Ordinal).FirstOrDefault(name => !known.Contains(name));
        if (other is not null) throw new InputException($"{file.Path}: changes '{HostileText.Show(other)}', which the model does not have; it is the patch of another architecture");
    }

    /// <summary>The change of one parameter; null where it stays.</summary>
    internal TensorChange? Change(ParameterSpec spec) => TensorChange.Read(file, spec);

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private string? Text(string key, bool required = true) =>
        file.Metadata.TryGetValue(key, out string? value) ? value : required ? throw new InputException($"{file.Path}: says no {key}; the patch is damaged") : null;

    /// <summary>A number of the metadata as it is written.</summary>
    internal static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);
}
