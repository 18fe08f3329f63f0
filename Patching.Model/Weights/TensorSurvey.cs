using System.Collections.Immutable;
using System.Globalization;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>What was found out about a tensor of a file.</summary>
/// <param name="Entry">Its name, type and shape.</param>
/// <param name="NaN">How many values are no number.</param>
/// <param name="Infinite">How many values are infinite.</param>
/// <param name="IsZero">Whether it has values and all of them are zero.</param>
/// <param name="Remark">How it differs from what the architecture needs, or why it is not needed; empty where it fits.</param>
public sealed record TensorFinding(TensorEntry Entry, long NaN, long Infinite, bool IsZero, string Remark)
{
    /// <summary>The name, fit for a terminal.</summary>
    public string ShownName => HostileText.Show(Entry.Name);
}

/// <summary>Everything that can be found out about a checkpoint file without running the model: <c>patching verify</c>.</summary>
public sealed class TensorSurvey
{
    private const int MaxListed = 20;

    private TensorSurvey(TensorFile file, ImmutableArray<TensorFinding> tensors, ClipConfig? config, ImmutableArray<string> problems)
    {
        Path = file.Path;
        Container = file.Container;
        Files = file.Files;
        Notes = file.Notes;
        Tensors = tensors;
        Config = config;
        Problems = problems;
    }

    /// <summary>The file that was opened.</summary>
    public string Path { get; }

    /// <summary>What kind of file it is, for people.</summary>
    public string Container { get; }

    /// <summary>Every file that belongs to it.</summary>
    public ImmutableArray<string> Files { get; }

    /// <summary>What the file holds besides and what was renamed, a sentence each.</summary>
    public ImmutableArray<string> Notes { get; }

    /// <summary>The tensors, in order of their names.</summary>
    public ImmutableArray<TensorFinding> Tensors { get; }

    /// <summary>The architecture; null where the file does not show one.</summary>
    public ClipConfig? Config { get; }

    /// <summary>Why the file cannot be used as a model, a sentence each; empty where it can.</summary>
    public ImmutableArray<string> Problems { get; }

    /// <summary>The element types and how many tensors have each, <c>F32 (302), I64 (3)</c>.</summary>
    public static string Types(IEnumerable<TensorEntry> tensors) => string.Join(", ", tensors.GroupBy(tensor => tensor.DType)
        .OrderBy(group => group.Key).Select(group => string.Create(CultureInfo.InvariantCulture, $"{group.Key} ({group.Count()})")));

    /// <summary>Reads every value of a file and compares its tensors with the architecture.</summary>
    /// <param name="path">What <see cref="ClipCheckpoint.Open"/> takes.</param>
    /// <param name="activation">The activation, where the user states it.</param>
    /// <exception cref="InputException">The file cannot be read at all. That it is no usable CLIP is a finding, not an error.</exception>
    public static TensorSurvey Make(string path, ActivationKind? activation)
    {
        using TensorFile file = ClipCheckpoint.OpenFile(path);
        List<string> problems = [];
        Expectation expectation = Expect(path, file, activation, problems);
        float[] buffer = new float[1 << 16];
        ImmutableArray<TensorFinding> tensors =
            [.. file.Tensors.Values.OrderBy(entry => entry.Name, StringComparer.Ordinal)
                .Select(entry => Examine(file, entry, buffer, Remark(entry, expectation)))];
        TensorFinding[] broken = [.. tensors.Where(tensor => tensor.NaN + tensor.Infinite > 0)];
        if (broken.Length > 0)
            problems.Add(
                $"{broken.Length} tensors hold NaN or infinite values: "
                + string.Join(", ", broken.Take(MaxListed).Select(tensor => tensor.ShownName)));
        return new TensorSurvey(file, tensors, expectation.Config, [.. problems]);
    }

    private static Expectation Expect(string path, TensorFile file, ActivationKind? activation, List<string> problems)
    {
        var expectation = new Expectation(null, [], _ => false);
        try
        {
            CheckpointNaming naming = NameMap.Detect(file.Path, file.Tensors.Keys);
            // No shape depends on the activation, so the table is made even where nothing says which it is.
            ClipConfig config = ClipCheckpoint.FindConfig(path, file, naming, activation ?? ActivationKind.QuickGelu);
            ImmutableArray<ParameterSpec> table = ParameterTable.All(config);
            var shapes = table.SelectMany(spec => NameMap.Stored(naming, spec)).ToDictionary(stored => stored.Name, stored => stored.Shape);
            expectation = new Expectation(config, shapes, name => NameMap.IsBuffer(naming, name));
            using ClipCheckpoint checkpoint = ClipCheckpoint.Open(path, activation);
            return expectation with { Config = checkpoint.Config };
        }
        catch (InputException error)
        {
            string prefix = $"{file.Path}: ";
            problems.Add(error.Message.StartsWith(prefix, StringComparison.Ordinal) ? error.Message[prefix.Length..] : error.Message);
            return expectation;
        }
    }

    private sealed record Expectation(ClipConfig? Config, Dictionary<string, ImmutableArray<int>> Shapes, Func<string, bool> IsBuffer);

    private static string Remark(TensorEntry entry, Expectation expectation)
    {
        if (expectation.Config is null) return "";
        if (!expectation.Shapes.TryGetValue(entry.Name, out ImmutableArray<int> shape))
            return expectation.IsBuffer(entry.Name) ? "not used" : "unexpected";
        return entry.Shape.SequenceEqual(shape.Select(size => (long)size)) ? "" : $"expected [{string.Join(", ", shape)}]";
    }

    private static TensorFinding Examine(TensorFile file, TensorEntry entry, float[] buffer, string remark)
    {
        if (!TensorEntry.IsFloat(entry.DType)) return new TensorFinding(entry, 0, 0, false, remark);
        long nan = 0, infinite = 0, zeros = 0;
        for (long done = 0; done < entry.Elements; done += buffer.Length)
        {
            Span<float> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, entry.Elements - done));
            file.ReadFloat32(entry.Name, done, part);
            zeros += part.Count(0f);
            if (FloatConversion.CountNonFinite(part) == 0) continue;
            foreach (float value in part)
            {
                if (float.IsNaN(value)) nan++;
                else if (float.IsInfinity(value)) infinite++;
            }
        }
        return new TensorFinding(entry, nan, infinite, entry.Elements > 0 && zeros == entry.Elements, remark);
    }
}
