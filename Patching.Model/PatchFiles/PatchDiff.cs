using System.Collections.Immutable;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.PatchFiles;

/// <summary>What a patch turned out to be.</summary>
/// <param name="Parameters">Parameters that changed.</param>
/// <param name="Bytes">Size of the file.</param>
/// <param name="RelativeError">Norm of what applying it misses, over the norm of the difference; 0 is exact.</param>
/// <param name="LargestError">The largest difference of a single number from the tuned model.</param>
public sealed record PatchSummary(int Parameters, long Bytes, double RelativeError, double LargestError);

/// <summary>Makes patches: reads both models twice, once to know what changes and how well it is kept, once to write.</summary>
public static class PatchDiff
{
    /// <summary>Writes what turns one model into another.</summary>
    /// <param name="zero">The base.</param>
    /// <param name="one">Supplies the tuned parameters.</param>
    /// <param name="path">The file to be created.</param>
    /// <param name="kind">How to keep it.</param>
    /// <param name="rank">Rank of low-rank changes.</param>
    /// <param name="metadata">Further texts for the header.</param>
    /// <param name="overwrite">Whether an existing file may be replaced.</param>
    /// <exception cref="InputException">A value is no number, or the file cannot be written.</exception>
    public static PatchSummary Write(
        ClipCheckpoint zero, ParameterSource one, string path, PatchKind kind, int rank, IReadOnlyDictionary<string, string> metadata, bool overwrite)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.All(zero.Config);
        Survey survey = new(zero, one, kind, rank);
        survey.Run(table);
        Dictionary<string, string> header = new(metadata)
        {
            [PatchFile.FormatKey] = PatchFile.Format,
            [PatchFile.KindKey] = kind.ToString(),
            [PatchFile.BaseKey] = survey.BaseHash,
            [PatchFile.TunedKey] = survey.ResultHash,
            [PatchFile.ErrorKey] = PatchFile.Number(survey.RelativeError),
        };
        using (SafetensorsWriter writer = new(path, header, survey.Tensors, overwrite))
        {
            foreach (ParameterSpec spec in survey.Changed) survey.ChangeOf(spec)!.Write(writer);
            writer.Complete();
        }
        return new PatchSummary(survey.Changed.Count, new FileInfo(path).Length, survey.RelativeError, survey.LargestError);
    }

    /// <summary>The first pass: which parameters change, both hashes, the error. Factors are kept, because they are small and took long to find.</summary>
    private sealed class Survey(ClipCheckpoint zero, ParameterSource one, PatchKind kind, int rank)
    {
        private readonly Dictionary<string, TensorChange> factored = [];
        private double squaredError;
        private double squaredDifference;
        private float[] a = [];
        private float[] b = [];

        public List<ParameterSpec> Changed { get; } = [];

        public List<SafetensorsTensor> Tensors { get; } = [];

        public string BaseHash { get; private set; } = "";

        public string ResultHash { get; private set; } = "";

        public double LargestError { get; private set; }

        public double RelativeError => squaredError == 0 ? 0 : Math.Sqrt(squaredError / squaredDifference);

        public void Run(ImmutableArray<ParameterSpec> table)
        {
            int longest = table.Max(spec => spec.Length);
            (a, b) = (new float[longest], new float[longest]);
            using WeightHash before = new(zero.Config), after = new(zero.Config);
            foreach (ParameterSpec spec in table)
            {
                TensorChange? change = ChangeOf(spec);
                Span<float> values = a.AsSpan(0, spec.Length);
                before.Add(spec, values);
                if (change is not null)
                {
                    Changed.Add(spec);
                    Tensors.AddRange(change.Tensors(spec));
                    if (change is TensorChange.FactoredDifference) factored[spec.Name] = change;
                    AddError(spec, change);
                }
                after.Add(spec, values);
            }
            (BaseHash, ResultHash) = (before.Finish(), after.Finish());
        }

        // Leaves the base's values in a and the tuned ones in b.
        public TensorChange? ChangeOf(ParameterSpec spec)
        {
            Span<float> va = a.AsSpan(0, spec.Length), vb = b.AsSpan(0, spec.Length);
            zero.Read(spec, va);
            one(spec, vb);
            return factored.TryGetValue(spec.Name, out TensorChange? known) ? known : TensorChange.Between(spec, va, vb, kind, rank);
        }

        private void AddError(ParameterSpec spec, TensorChange change)
        {
            Span<float> values = a.AsSpan(0, spec.Length);
            double difference = 0, error = 0;
            for (int i = 0; i < values.Length; i++) difference += ((double)b[i] - values[i]) * ((double)b[i] - values[i]);
            change.Apply(values);
            for (int i = 0; i < values.Length; i++)
            {
                double missed = (double)b[i] - values[i];
                error += missed * missed;
                LargestError = Math.Max(LargestError, Math.Abs(missed));
            }
            squaredDifference += difference;
            squaredError += error;
        }
    }
}
