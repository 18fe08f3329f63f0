using System.Globalization;
using System.Text.Json;
using Patching.Model.Reports;

namespace Patching.Tests.Model.Reports;

/// <summary>Lines of results files, made by hand.</summary>
internal static class ResultLines
{
    /// <summary>A line as <c>patch</c> writes it; a member of <paramref name="more"/> replaces that of the same name, null removes it.</summary>
    public static string Line(string task, double? alpha, int correct, int count, params (string Name, object? Value)[] more)
    {
        Dictionary<string, object?> members = new()
        {
            ["model"] = "models/base",
            ["model_sha256"] = new string('a', 64),
            ["eval_dataset"] = task,
            ["alpha"] = alpha,
            ["top1"] = (double)correct / count,
            ["correct"] = correct,
            ["count"] = count,
            ["skipped"] = 0,
            ["head_key"] = "key-" + task,
            ["finetune"] = new { train_dataset = "MNIST", epochs = 1 },
            ["precision"] = "fp32",
            ["version"] = "0.1.0",
            ["command"] = "patching patch",
            ["time"] = "2026-01-02T03:04:05Z",
        };
        foreach ((string name, object? value) in more) members[name] = value;
        return JsonSerializer.Serialize(members.Where(member => member.Value is not null).ToDictionary());
    }

    /// <summary>A run over two tasks and the given alphas, of 200 and 50 images: the patched one rises by 40 correct per unit of alpha from 5, the other falls by 20 from 180.</summary>
    public static string[] Run(double[] alphas, params (string Name, object? Value)[] more) =>
        [.. alphas.Select(alpha => Line("FashionMNIST", alpha, 180 - (int)(20 * alpha), 200, more)), .. alphas.Select(alpha => Line("MNIST", alpha, 5 + (int)(40 * alpha), 50, more))];

    public static PatchReport Report(params string[] lines) => new([.. ReportRow.Read("lines", lines, Path.GetTempPath())]);

    public static string Percent(int correct, int count) => (100.0 * correct / count).ToString("0.00", CultureInfo.InvariantCulture);
}
