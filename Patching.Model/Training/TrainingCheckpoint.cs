using System.Globalization;
using System.Text.Json;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Training;

/// <summary>
/// The state of a training run on disk: parameters, both moments, the number of steps done and the settings. One safetensors file, written to a temporary name
/// and renamed, so an interruption leaves the previous state intact.
/// </summary>
public static class TrainingCheckpoint
{
    private const string SettingsKey = "finetune_settings";
    private const string StepKey = "steps_done";
    private static readonly string[] Roles = ["parameters", "exp_avg", "exp_avg_sq"];

    /// <summary>Writes a state, replacing an older file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="state">What is kept.</param>
    /// <param name="settings">The run's settings as one line of JSON.</param>
    public static void Save(string path, TrainingState state, string settings)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        Dictionary<string, string> metadata = new()
        {
            [SettingsKey] = settings,
            [StepKey] = state.StepsDone.ToString(CultureInfo.InvariantCulture),
        };
        List<SafetensorsTensor> tensors = [];
        foreach (string role in Roles)
        {
            foreach (ParameterSpec spec in state.Parameters.Table)
                tensors.Add(new SafetensorsTensor($"{role}.{spec.Name}", SafetensorsType.F32, [.. spec.Shape.Select(size => (long)size)]));
        }
        using SafetensorsWriter writer = new(path, metadata, tensors, overwrite: true);
        float[] buffer = new float[state.Parameters.Table.Max(spec => spec.Length)];
        foreach (ParameterSet set in state.Sets)
        {
            foreach (ParameterSpec spec in set.Table)
            {
                Span<float> values = buffer.AsSpan(0, spec.Length);
                set.Fetch(spec, values);
                writer.Write(values);
            }
        }
        writer.Complete();
    }

    /// <summary>Steps done in the checkpoint at <paramref name="path"/>, if there is one and it belongs to a run with these very settings; otherwise null.</summary>
    /// <param name="path">The file, which need not exist.</param>
    /// <param name="settings">Settings of the run that would continue it, as one line of JSON.</param>
    /// <param name="totalSteps">Steps of that run.</param>
    /// <param name="differences">Names of the settings that differ, where that is the reason.</param>
    /// <exception cref="InputException">The file exists and is damaged.</exception>
    public static long? StepsDone(string path, string settings, long totalSteps, out IReadOnlyList<string> differences)
    {
        differences = [];
        if (!File.Exists(path)) return null;
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue(SettingsKey, out string? stored) || !file.Metadata.TryGetValue(StepKey, out string? steps)
            || !long.TryParse(steps, NumberStyles.None, CultureInfo.InvariantCulture, out long count))
            throw new InputException($"{path}: not a training checkpoint; move it away or choose another --save");
        if (stored == settings)
        {
            if (count > totalSteps) throw new InputException($"{path}: claims {count} of {totalSteps} steps; delete it to train again");
            return count;
        }
        try
        {
            differences = Differences(settings, stored);
        }
        catch (JsonException error)
        {
            throw new InputException($"{path}: its settings are damaged; delete it to train again", error);
        }
        if (differences.Count == 0) differences = ["their order"];
        return null;
    }

    /// <summary>Restores parameters and moments; settings must have been compared with <see cref="StepsDone"/>.</summary>
    /// <exception cref="InputException">The file is damaged.</exception>
    public static void Load(string path, TrainingState state)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        IReadOnlyList<ParameterSet> sets = state.Sets;
        for (int i = 0; i < Roles.Length; i++)
        {
            string role = Roles[i];
            sets[i].Load((spec, values) => Read(file, $"{role}.{spec.Name}", values));
        }
    }

    /// <summary>Reads only the parameters, for a fine-tune that is complete.</summary>
    public static void LoadParameters(string path, ParameterSet parameters)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        parameters.Load((spec, values) => Read(file, $"{Roles[0]}.{spec.Name}", values));
    }

    /// <summary>Names of the settings in which two runs differ, those included that only one of them knows.</summary>
    /// <exception cref="JsonException">One of the texts is not a JSON object.</exception>
    public static IReadOnlyList<string> Differences(string json, string otherJson)
    {
        Dictionary<string, string> a = Members(json), b = Members(otherJson);
        return [.. a.Keys.Union(b.Keys).Where(name => a.GetValueOrDefault(name) != b.GetValueOrDefault(name))];
    }

    private static void Read(SafetensorsFile file, string name, Span<float> values)
    {
        if (!file.Tensors.TryGetValue(name, out TensorEntry? entry) || entry.Elements != values.Length)
            throw new InputException($"{file.Path}: tensor '{name}' is missing or has another size; delete the file to train again");
        file.ReadFloat32(name, values);
        if (FloatConversion.CountNonFinite(values) > 0)
            throw new InputException($"{file.Path}: tensor '{name}' holds NaN or infinite values; delete the file to train again");
    }

    private static Dictionary<string, string> Members(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false });
        if (document.RootElement.ValueKind != JsonValueKind.Object) throw new JsonException("not an object");
        return document.RootElement.EnumerateObject().ToDictionary(member => member.Name, member => member.Value.GetRawText());
    }
}

/// <summary>What of a trainer has to be kept to continue it.</summary>
/// <param name="Parameters">The weights.</param>
/// <param name="FirstMoment">AdamW's running mean of gradients.</param>
/// <param name="SecondMoment">AdamW's running mean of squared gradients.</param>
/// <param name="StepsDone">Steps done.</param>
public sealed record TrainingState(ParameterSet Parameters, ParameterSet FirstMoment, ParameterSet SecondMoment, long StepsDone)
{
    /// <summary>The sets in the order of the file.</summary>
    internal IReadOnlyList<ParameterSet> Sets => [Parameters, FirstMoment, SecondMoment];

    /// <summary>Reads all weights and makes sure that they are numbers; waits for the device.</summary>
    /// <exception cref="DivergedException">A weight is not finite.</exception>
    public void RequireFinite()
    {
        float[] buffer = new float[Parameters.Table.Max(spec => spec.Length)];
        foreach (ParameterSpec spec in Parameters.Table)
        {
            Span<float> values = buffer.AsSpan(0, spec.Length);
            Parameters.Fetch(spec, values);
            if (FloatConversion.CountNonFinite(values) > 0)
                throw new DivergedException($"training diverged by step {StepsDone} ({spec.Name} is not finite); lower --lr or lengthen --warmup_length");
        }
    }
}
