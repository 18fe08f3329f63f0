using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.PatchFiles;

/// <summary>
/// SHA-256 of what a model is: its architecture and the bits of every parameter in single precision, in the table's order. The same whatever the container, the names and the layout of
/// the file, so a patch knows its base also after a conversion; any other model, however near, has another one.
/// </summary>
internal sealed class WeightHash : IDisposable
{
    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Begins with the architecture; the parameters follow in the table's order.</summary>
    public WeightHash(ClipConfig config) => hash.AppendData(Encoding.UTF8.GetBytes($"{config}\0"));

    /// <summary>Adds the next parameter.</summary>
    public void Add(ParameterSpec spec, ReadOnlySpan<float> values)
    {
        hash.AppendData(Encoding.UTF8.GetBytes(spec + "\0"));
        hash.AppendData(MemoryMarshal.AsBytes(values));
    }

    /// <summary>The hash in lower-case hexadecimal; ends it.</summary>
    public string Finish() => Convert.ToHexStringLower(hash.GetHashAndReset());

    /// <summary>The hash of a model on disk.</summary>
    public static string Of(ClipCheckpoint model)
    {
        ReadAhead ahead = new(ParameterTable.All(model.Config), (spec, values) => model.Read(spec, values.AsSpan(0, spec.Length)));
        try
        {
            using WeightHash hash = new(model.Config);
            foreach (ParameterSpec spec in ParameterTable.All(model.Config)) hash.Add(spec, ahead.Next(spec));
            return hash.Finish();
        }
        finally
        {
            ahead.Finish();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => hash.Dispose();
}
