using System.Globalization;
using System.Text.Json;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Training;

/// <summary>
/// The state of a fine-tune on disk: parameters, both moments, the number of steps done and the settings. One safetensors file, written to a temporary name
/// and renamed, so an interruption leaves the previous state intact.
/// </summary>
public static class TrainingCheckpoint
{
    private const string SettingsKey = "finetune_settings";
    private const string StepKey = "steps_done";
    private static readonly string[] Roles = ["parameters", "exp_avg", "exp_avg_sq"];

    /// <summary>Writes the state of <paramref name="finetuner"/>, replacing an older file.</summary>
    public static void Save(string path, Finetuner finetuner, FinetuneSettings settings)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        ParameterSet[] sets = Sets(finetuner);
        Dictionary<string, string> metadata = new()
        {
            [SettingsKey] = settings.ToJson(),
            [StepKey] = finetuner.StepsDone.ToString(CultureInfo.InvariantCulture),
        };
        List<SafetensorsTensor> tensors = [];
        foreach (string role in Roles)
        {
            foreach (ParameterSpec spec in finetuner.Parameters.Table)
                tensors.Add(new SafetensorsTensor($"{role}.{spec.Name}", SafetensorsType.F32, [.. spec.Shape.Select(size => (long)size)]));
        }
        using SafetensorsWriter writer = new(path, metadata, tensors, overwrite: true);
        float[] buffer = new float[finetuner.Parameters.Table.Max(spec => spec.Length)];
        foreach (ParameterSet set in sets)
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
    /// <param name="settings">Settings of the run that would continue it.</param>
    /// <param name="differences">Names of the settings that differ, where that is the reason.</param>
    /// <exception cref="InputException">The file exists and is damaged.</exception>
    public static long? StepsDone(string path, FinetuneSettings settings, out IReadOnlyList<string> differences)
    {
        differences = [];
        if (!File.Exists(path)) return null;
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue(SettingsKey, out string? stored) || !file.Metadata.TryGetValue(StepKey, out string? steps)
            || !long.TryParse(steps, NumberStyles.None, CultureInfo.InvariantCulture, out long count))
            throw new InputException($"{path}: not a training checkpoint; move it away or choose another --save");
        if (stored == settings.ToJson())
        {
            if (count > settings.TotalSteps) throw new InputException($"{path}: claims {count} of {settings.TotalSteps} steps; delete it to train again");
            return count;
        }
        try
        {
            differences = FinetuneSettings.Differences(settings.ToJson(), stored);
        }
        catch (JsonException error)
        {
            throw new InputException($"{path}: its settings are damaged; delete it to train again", error);
        }
        if (differences.Count == 0) differences = ["their order"];
        return null;
    }

    /// <summary>Restores the state; settings must have been compared with <see cref="StepsDone"/>.</summary>
    /// <exception cref="InputException">The file is damaged.</exception>
    public static void Load(string path, Finetuner finetuner)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        ParameterSet[] sets = Sets(finetuner);
        for (int i = 0; i < Roles.Length; i++)
        {
            string role = Roles[i];
            sets[i].Load((spec, values) => Read(file, $"{role}.{spec.Name}", values));
        }
        finetuner.ContinueFrom(long.Parse(file.Metadata[StepKey], CultureInfo.InvariantCulture));
    }

    /// <summary>Reads only the parameters, for a fine-tune that is complete.</summary>
    public static void LoadParameters(string path, ParameterSet parameters)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        parameters.Load((spec, values) => Read(file, $"{Roles[0]}.{spec.Name}", values));
    }

    private static void Read(SafetensorsFile file, string name, Span<float> values)
    {
        if (!file.Tensors.TryGetValue(name, out TensorEntry? entry) || entry.Elements != values.Length)
            throw new InputException($"{file.Path}: tensor '{name}' is missing or has another size; delete the file to train again");
        file.ReadFloat32(name, values);
        if (FloatConversion.CountNonFinite(values) > 0)
            throw new InputException($"{file.Path}: tensor '{name}' holds NaN or infinite values; delete the file to train again");
    }

    private static ParameterSet[] Sets(Finetuner finetuner) => [finetuner.Parameters, finetuner.FirstMoment, finetuner.SecondMoment];
}
