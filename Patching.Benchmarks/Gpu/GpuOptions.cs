using System.Globalization;
using Patching.Benchmarks.EndToEnd;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Benchmarks.Gpu;

/// <summary>What <c>gpu</c> measures.</summary>
internal sealed record GpuOptions
{
    /// <summary>The options, for people.</summary>
    public const string Usage = """
        gpu options (measures beside PyTorch, which is asked through --peer; writes measurements.jsonl and report.md):
          --only A,B        of kernels,accuracy,losses,copy,interpolate,optimizer,gemm,attention,inference,step; default all
          --models A,B      default ViT-B/32,ViT-B/16,ViT-L/14 (also tiny)
          --batch N         default 128
          --classes K       classes of the head; default 1000
          --rounds N        measurements of each, engines taking turns; default 7
          --seconds S       least time of one measurement; default 0.2
          --minutes M       nothing new is begun after this; default 9
          --peer FILE       our PyTorch script, peer_torch.py; "none" for no peer; default eng/peer_torch.py or the archive's
          --python FILE     default python3
          --device D        cuda or cpu (to try the command out); default cuda
          --peer-device D   the same for PyTorch; default where we compute
          --out FOLDER      where the files go; default .
        gpu-report FILE... [--out FILE]   one report from the measurements.jsonl of several calls
        """;

    /// <summary>Every section in the order it runs: what is quick and tells most comes first.</summary>
    public static readonly string[] Sections =
        ["kernels", "accuracy", "losses", "copy", "interpolate", "optimizer", "gemm", "attention", "inference", "step"];

    /// <summary>Sections to run.</summary>
    public IReadOnlyList<string> Only { get; private init; } = Sections;

    /// <summary>Models to measure.</summary>
    public IReadOnlyList<BenchmarkModel> Models { get; private init; } =
        [BenchmarkModel.Named("ViT-B/32"), BenchmarkModel.Named("ViT-B/16"), BenchmarkModel.Named("ViT-L/14")];

    /// <summary>Images per step.</summary>
    public int Batch { get; private init; } = 128;

    /// <summary>Classes of the head.</summary>
    public int Classes { get; private init; } = 1000;

    /// <summary>Measurements of each engine.</summary>
    public int Rounds { get; private init; } = 7;

    /// <summary>Least time of one measurement.</summary>
    public double Seconds { get; private init; } = 0.2;

    /// <summary>Nothing new is begun after this time.</summary>
    public TimeSpan Limit { get; private init; } = TimeSpan.FromMinutes(9);

    /// <summary>The PyTorch script; null for no peer.</summary>
    public string? Peer { get; private init; } = DefaultPeer();

    /// <summary>The interpreter that has PyTorch.</summary>
    public string Python { get; private init; } = "python3";

    /// <summary>Where we compute.</summary>
    public DeviceKind Device { get; private init; } = DeviceKind.Cuda;

    /// <summary>Where PyTorch computes: cuda or cpu.</summary>
    public string PeerDevice
    {
        get => field ?? (Device == DeviceKind.Cuda ? "cuda" : "cpu");
        private init;
    }

    /// <summary>Where the files go.</summary>
    public string Output { get; private init; } = ".";

    /// <summary>Our precision on a device.</summary>
    public static TowerPrecision PrecisionOn(Device device) => TowerPrecisions.On(device, asked: null);

    /// <summary>Reads the command line.</summary>
    /// <exception cref="ArgumentException">An option is unknown or its value is none.</exception>
    public static GpuOptions Parse(string[] args)
    {
        GpuOptions options = new();
        for (int i = 0; i < args.Length; i += 2)
        {
            if (i + 1 == args.Length) throw new ArgumentException($"{args[i]}: no value");
            options = options.With(args[i], args[i + 1]);
        }
        return options;
    }

    private static string? DefaultPeer()
    {
        // In a checkout, and in the unpacked archive.
        string[] candidates = [Path.Combine("eng", "peer_torch.py"), Path.Combine(AppContext.BaseDirectory, "..", "peer_torch.py")];
        return candidates.FirstOrDefault(File.Exists);
    }

    private GpuOptions With(string option, string value)
    {
        string[] list = value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return option switch
        {
            "--only" when list.Except(Sections).FirstOrDefault() is { } unknown => throw new ArgumentException($"--only {unknown}: no such section"),
            "--only" => this with { Only = list },
            "--models" => this with { Models = [.. list.Select(BenchmarkModel.Named)] },
            "--batch" => this with { Batch = Positive(option, value) },
            "--classes" => this with { Classes = Positive(option, value) },
            "--rounds" => this with { Rounds = Positive(option, value) },
            "--seconds" => this with { Seconds = Number(option, value) },
            "--minutes" => this with { Limit = TimeSpan.FromMinutes(Number(option, value)) },
            "--peer" when value == "none" => this with { Peer = null },
            "--peer" => this with { Peer = value },
            "--python" => this with { Python = value },
            "--device" when value is "cuda" or "cpu" => this with { Device = value == "cuda" ? DeviceKind.Cuda : DeviceKind.Host },
            "--peer-device" when value is "cuda" or "cpu" => this with { PeerDevice = value },
            "--out" => this with { Output = value },
            _ => throw new ArgumentException($"{option} {value}: unknown"),
        };
    }

    private static int Positive(string option, string value) =>
        int.TryParse(value, CultureInfo.InvariantCulture, out int number) && number > 0
            ? number
            : throw new ArgumentException($"{option} {value}: must be a number of 1 or more");

    private static double Number(string option, string value) =>
        double.TryParse(value, CultureInfo.InvariantCulture, out double number) && number >= 0
            ? number
            : throw new ArgumentException($"{option} {value}: must be a number of 0 or more");
}
