using System.Collections.Immutable;
using System.Globalization;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Merging;

/// <summary>
/// The diagonal Fisher information of a model's image tower on disk: a safetensors file with a tensor per parameter under its canonical name, and in the metadata whose it is.
/// </summary>
public sealed class FisherFile : IDisposable
{
    private const string ModelKey = "fisher_model_sha256";
    private const string DatasetKey = "fisher_dataset";
    private const string SamplesKey = "fisher_samples";
    private const string LabelsKey = "fisher_labels";

    private readonly SafetensorsFile file;

    private FisherFile(SafetensorsFile file, int samples)
    {
        this.file = file;
        Samples = samples;
    }

    /// <summary>Images it was estimated from.</summary>
    public int Samples { get; }

    /// <summary>Opens a file and checks that it belongs to a model.</summary>
    /// <param name="path">The file.</param>
    /// <param name="model">The model that is to be weighted by it.</param>
    /// <param name="table">The parameters it has to cover.</param>
    /// <exception cref="InputException">It is no Fisher file, belongs to another model or has other tensors.</exception>
    public static FisherFile Open(string path, MergeInput model, ImmutableArray<ParameterSpec> table)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        try
        {
            if (!file.Metadata.TryGetValue(ModelKey, out string? owner) || !int.TryParse(file.Metadata.GetValueOrDefault(SamplesKey), CultureInfo.InvariantCulture, out int samples))
                throw new InputException($"{path}: is no Fisher information; make one with patching fisher");
            if (owner != model.Sha256) throw new InputException($"{path}: is the Fisher information of another model than {model.Name}; give them in the same order as the models");
            foreach (ParameterSpec spec in table)
            {
                if (!file.Tensors.TryGetValue(spec.Name, out TensorEntry? entry) || !entry.Shape.SequenceEqual(spec.Shape.Select(size => (long)size)) || !TensorEntry.IsFloat(entry.DType))
                    throw new InputException($"{path}: lacks {spec}; make it again with patching fisher");
            }
            return new FisherFile(file, samples);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Writes a file, complete or not at all.</summary>
    /// <param name="path">The file to be created.</param>
    /// <param name="information">The values.</param>
    /// <param name="modelSha256">Hash of the model.</param>
    /// <param name="dataset">The images.</param>
    /// <param name="samples">How many.</param>
    /// <param name="labels">Where the labels came from.</param>
    /// <param name="command">The command line.</param>
    /// <param name="overwrite">Whether an existing file may be replaced.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Write(
        string path, ParameterSet information, string modelSha256, string dataset, int samples, string labels, string command, bool overwrite)
    {
        Dictionary<string, string> metadata = new()
        {
            [ModelKey] = modelSha256,
            [DatasetKey] = dataset,
            [SamplesKey] = samples.ToString(CultureInfo.InvariantCulture),
            [LabelsKey] = labels,
            ["command"] = command,
        };
        SafetensorsTensor[] tensors =
            [.. information.Table.Select(spec => new SafetensorsTensor(spec.Name, SafetensorsType.F32, [.. spec.Shape.Select(size => (long)size)]))];
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        using SafetensorsWriter writer = new(path, metadata, tensors, overwrite);
        foreach (ParameterSpec spec in information.Table) writer.Write(information[spec.Name].ToArray());
        writer.Complete();
    }

    /// <summary>Whether it says something about a parameter.</summary>
    public bool Has(ParameterSpec spec) => file.Tensors.ContainsKey(spec.Name);

    /// <summary>Reads the information about one parameter.</summary>
    /// <exception cref="InputException">A value is negative or no number.</exception>
    public void Read(ParameterSpec spec, Span<float> destination)
    {
        file.ReadFloat32(spec.Name, destination);
        foreach (float value in destination)
            if (!(value >= 0 && float.IsFinite(value))) throw new InputException($"{file.Path}: {spec.Name} holds {value}, but information is never negative or infinite; the file is damaged");
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();
}
