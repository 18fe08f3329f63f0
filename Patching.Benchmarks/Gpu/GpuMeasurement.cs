using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Patching.Kernels;

namespace Patching.Benchmarks.Gpu;

/// <summary>One engine on one piece of work: a line of <c>measurements.jsonl</c>.</summary>
internal sealed record GpuMeasurement
{
    /// <summary>Our engine's name in all files.</summary>
    public const string Ours = "patching";

    /// <summary>The same with one kind of tensor cores; null: whichever it chooses.</summary>
    public static string With(TensorCores? kind) => kind switch
    {
        TensorCores.MmaSync => $"{Ours} mma.sync",
        TensorCores.Wgmma => $"{Ours} wgmma",
        _ => Ours,
    };

    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>The section of the command, such as <c>gemm</c>.</summary>
    public required string Section { get; init; }

    /// <summary>The model whose shapes these are; empty where there is none.</summary>
    public string Model { get; init; } = "";

    /// <summary>What was done, such as <c>qkv, backward weight</c>.</summary>
    public string Name { get; init; } = "";

    /// <summary>Who did it: <see cref="Ours"/>, <c>torch eager</c>, ...</summary>
    public required string Engine { get; init; }

    /// <summary>Seconds of one execution, round by round.</summary>
    public IReadOnlyList<double> Seconds { get; init; } = [];

    /// <summary>Floating-point operations of one execution.</summary>
    public double? Operations { get; init; }

    /// <summary>Bytes that one execution has to read and write.</summary>
    public double? Bytes { get; init; }

    /// <summary>Device memory in use at the most.</summary>
    public double? PeakBytes { get; init; }

    /// <summary>Numbers that are no times, such as errors and losses.</summary>
    public IReadOnlyList<double>? Values { get; init; }

    /// <summary>Facts in words, such as the driver's version.</summary>
    public string? Text { get; init; }

    /// <summary>Why there is no result.</summary>
    public string? Failure { get; init; }

    /// <summary>Whether we did it, in whatever way.</summary>
    [JsonIgnore]
    public bool IsOurs => Engine.StartsWith(Ours, StringComparison.Ordinal);

    /// <summary>Median of the rounds; NaN without any.</summary>
    [JsonIgnore]
    public double Median
    {
        get
        {
            double[] sorted = [.. Seconds.Order()];
            int half = sorted.Length / 2;
            return sorted.Length == 0 ? double.NaN : sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
        }
    }

    /// <summary>One line of JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Format);

    /// <summary>Reads a line that <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static GpuMeasurement Parse(string line) => JsonSerializer.Deserialize<GpuMeasurement>(line, Format) ?? throw new JsonException("null");
}
