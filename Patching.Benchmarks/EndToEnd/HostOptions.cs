using System.Globalization;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>What <c>host</c> measures.</summary>
internal sealed record HostOptions
{
    /// <summary>The options, for people.</summary>
    public const string Usage = """
        host options:
          --models A,B      default ViT-B/32,ViT-L/14 (also ViT-B/16, tiny)
          --batch N,M       batches of every model; default 1,16,64 for ViT-B (steps 16,64), 8 for ViT-L
          --work A,B        of inference,step,memory (the whole-model operations); default all
          --rounds N        measurements of each, engines taking turns; default 7
          --seconds S       least time of one measurement; default 0.5
          --threads N       default all cores
          --classes K       classes of the head; default 1000
          --engines A,B     only these besides ours, by name or part of a name; "none" for no peer
          --out FILE        the report in Markdown; default standard output only
        """;

    /// <summary>Models to measure.</summary>
    public IReadOnlyList<BenchmarkModel> Models { get; private init; } =
        [BenchmarkModel.Named("ViT-B/32"), BenchmarkModel.Named("ViT-L/14")];

    /// <summary>Kinds of work to measure.</summary>
    public IReadOnlyList<string> Work { get; private init; } = [WorkerJob.Inference, WorkerJob.Step, Memory];

    /// <summary>Measurements of each contender.</summary>
    public int Rounds { get; private init; } = 7;

    /// <summary>Least time of one measurement.</summary>
    public double Seconds { get; private init; } = 0.5;

    /// <summary>Worker threads of every engine.</summary>
    public int Threads { get; private init; } = Environment.ProcessorCount;

    /// <summary>Classes of the head.</summary>
    public int Classes { get; private init; } = 1000;

    /// <summary>Parts of names of the peers to run; null for all.</summary>
    public IReadOnlyList<string>? Engines { get; private init; }

    /// <summary>Where the report goes besides standard output.</summary>
    public string? Output { get; private init; }

    /// <summary>The work of the whole-model operations.</summary>
    public const string Memory = "memory";

    private IReadOnlyList<int>? Batches { get; init; }

    /// <summary>Batches of a model's inference or step.</summary>
    public IReadOnlyList<int> BatchesOf(BenchmarkModel model, string work)
    {
        if (Batches is not null) return Batches;
        if (model.Name == "ViT-L/14") return [8];
        return work == WorkerJob.Step ? [16, 64] : [1, 16, 64];
    }

    /// <summary>Whether a peer was asked for.</summary>
    public bool Wants(string engine) =>
        Engines is null || Engines.Any(part => engine.Contains(part, StringComparison.OrdinalIgnoreCase));

    /// <summary>Reads the command line.</summary>
    /// <exception cref="ArgumentException">An option is unknown or its value is none.</exception>
    public static HostOptions Parse(string[] args)
    {
        HostOptions options = new();
        for (int i = 0; i < args.Length; i += 2)
        {
            if (i + 1 == args.Length) throw new ArgumentException($"{args[i]}: no value");
            options = options.With(args[i], args[i + 1]);
        }
        return options;
    }

    private HostOptions With(string option, string value)
    {
        string[] list = value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return option switch
        {
            "--models" => this with { Models = [.. list.Select(BenchmarkModel.Named)] },
            "--batch" => this with { Batches = [.. list.Select(item => Positive(option, item))] },
            "--work" => this with { Work = list },
            "--rounds" => this with { Rounds = Positive(option, value) },
            "--threads" => this with { Threads = Positive(option, value) },
            "--classes" => this with { Classes = Positive(option, value) },
            "--engines" => this with { Engines = list },
            "--out" => this with { Output = value },
            "--seconds" when double.TryParse(value, CultureInfo.InvariantCulture, out double seconds) && seconds >= 0 =>
                this with { Seconds = seconds },
            _ => throw new ArgumentException($"{option} {value}: unknown"),
        };
    }

    private static int Positive(string option, string value) =>
        int.TryParse(value, CultureInfo.InvariantCulture, out int number) && number > 0
            ? number
            : throw new ArgumentException($"{option} {value}: must be a number of 1 or more");
}
