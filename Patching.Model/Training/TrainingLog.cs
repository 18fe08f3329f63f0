using System.Text.Json;

namespace Patching.Model.Training;

/// <summary>The curve of a fine-tune as JSON lines: <c>{"step":10,"loss":2.31,"gradient_norm":4.2,"learning_rate":6e-5}</c>.</summary>
/// <param name="path">The file; it comes into being with the first line.</param>
public sealed class TrainingLog(string path)
{
    private static readonly JsonSerializerOptions Format = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>What a log holds, in its order; what is no line of a log is passed over, and a file that is not there holds nothing.</summary>
    /// <exception cref="InputException">The file cannot be read.</exception>
    public static IReadOnlyList<StepReport> Read(string path)
    {
        try
        {
            return File.Exists(path) ? [.. File.ReadLines(path).Select(Parse).OfType<StepReport>()] : [];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({error.Message})", error);
        }
    }

    /// <summary>Appends a line.</summary>
    public void Append(StepReport report)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        File.AppendAllText(path, JsonSerializer.Serialize(report, Format) + "\n");
    }

    /// <summary>Drops lines of steps after <paramref name="step"/>, which a continued run will write again.</summary>
    public void KeepUpTo(long step)
    {
        if (!File.Exists(path)) return;
        string[] kept = [.. File.ReadLines(path).Where(line => Parse(line) is { } report && report.Step <= step)];
        string temporary = path + ".tmp";
        File.WriteAllLines(temporary, kept);
        File.Move(temporary, path, overwrite: true);
    }

    private static StepReport? Parse(string line)
    {
        try
        {
            return JsonSerializer.Deserialize<StepReport>(line, Format);
        }
        catch (JsonException)
        {
            // The last line of a killed process may be cut short.
            return null;
        }
    }
}
