using System.CommandLine;
using System.Globalization;
using Patching.Model;
using Patching.Model.Merging;
using Patching.Model.PatchFiles;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Cli.Commands;

/// <summary><c>patching diff | apply | revert | compose</c>: patches as files.</summary>
internal static class PatchFileCommands
{
    private static readonly Argument<string> Base = new("base") { Description = "The model that the patch is for." };
    private static readonly Argument<string> Tuned = new("tuned") { Description = "The model that the patch is to make of it." };
    private static readonly Argument<string> Model = new("model") { Description = "The model." };
    private static readonly Argument<string> Patch = new("patch") { Description = "A file of patching diff." };
    private static readonly Argument<string[]> Patches =
        new("patches") { Description = "Patches of one base, to be added, or a chain of patches.", Arity = new ArgumentArity(2, 1000) };
    private static readonly Option<string?> Kind = CommonOptions.Choice(
        "--kind", "fp32 is exact both ways, bf16 half the size, low-rank a few percent; the error of the last two is stated. fp32 if not given.", "fp32", "bf16", "low-rank");
    private static readonly Option<int> Rank = CommonOptions.Number("--rank", "Rank of a low-rank patch's matrices.", 16);
    private static readonly Option<double> Alpha = CommonOptions.Number("--alpha", "How much of the patch, 0 to 1.", 1.0);
    private static readonly Option<double[]> Scales = CommonOptions.Numbers("--scale", "Factor of each patch, or one for all; 1 if not given.");

    public static IEnumerable<Command> Create()
    {
        Command diff = new("diff", "Writes what turns one model into another as a patch file.") { Base, Tuned, MergeCommand.Out, Kind, Rank, CommonOptions.Activation, CommonOptions.Overwrite };
        diff.SetAction(Diff);
        Command apply = new("apply", "Applies a patch to the model that it was made for, and to no other.") { Model, Patch, MergeCommand.Out, Alpha, MergeCommand.Type, CommonOptions.Activation, CommonOptions.Overwrite };
        apply.SetAction(parsed => Change(parsed, (model, patch, output) => PatchApplication.Apply(model, patch, AlphaOf(parsed), output)));
        Command revert = new("revert", "Takes a patch back: writes the model that it was applied to.") { Model, Patch, MergeCommand.Out, MergeCommand.Type, CommonOptions.Activation, CommonOptions.Overwrite };
        revert.SetAction(parsed => Change(parsed, (model, patch, output) =>
        {
            PatchApplication.Revert(model, patch, output);
            if (patch.Kind != PatchKind.Exact)
                parsed.InvocationConfiguration.Error.WriteLine($"{patch.Path}: is not exact, so the result may differ from the base by rounding; keep the base, or use --kind fp32");
        }));
        Command compose = new("compose", "Makes one exact patch of several: the sum of patches of one base, or a chain.") { Base, Patches, MergeCommand.Out, Scales, CommonOptions.Activation, CommonOptions.Overwrite };
        compose.SetAction(Compose);
        return [diff, apply, revert, compose];
    }

    private static int Diff(ParseResult parsed)
    {
        string target = Target(parsed);
        PatchKind kind = parsed.GetValue(Kind) switch
        {
            "bf16" => PatchKind.BFloat16,
            "low-rank" => PatchKind.LowRank,
            _ => PatchKind.Exact,
        };
        int rank = parsed.GetValue(Rank);
        if (rank < 1) throw new InputException($"--rank {rank}: must be 1 or more");
        if (kind != PatchKind.LowRank && parsed.GetResult(Rank) is { Implicit: false }) throw new InputException("--rank: only a patch of --kind low-rank has one");
        using ClipCheckpoint zero = Open(parsed, parsed.GetRequiredValue(Base)), one = Open(parsed, parsed.GetRequiredValue(Tuned));
        ModelComparison.RequireSame(zero, one);
        Dictionary<string, string> metadata = Metadata(parsed);
        if (kind == PatchKind.LowRank) metadata["patch_rank"] = rank.ToString(CultureInfo.InvariantCulture);
        return Report(parsed, PatchDiff.Write(zero, one.Read, target, kind, rank, metadata, parsed.GetValue(CommonOptions.Overwrite)), target);
    }

    private static int Change(ParseResult parsed, Action<ClipCheckpoint, PatchFile, MergeOutput> change)
    {
        MergeOutput output = MergeCommand.Output(parsed);
        using PatchFile patch = PatchFile.Open(parsed.GetRequiredValue(Patch));
        using ClipCheckpoint model = Open(parsed, parsed.GetRequiredValue(Model));
        change(model, patch, output);
        parsed.InvocationConfiguration.Output.WriteLine(output.Folder);
        return ExitCodes.Done;
    }

    private static int Compose(ParseResult parsed)
    {
        string target = Target(parsed);
        string[] paths = parsed.GetRequiredValue(Patches);
        double[] scales = MergeCommand.Given(parsed, Scales, paths.Length, 1, exactly: false);
        using ClipCheckpoint zero = Open(parsed, parsed.GetRequiredValue(Base));
        List<PatchFile> patches = [];
        try
        {
            foreach (string path in paths) patches.Add(PatchFile.Open(path));
            return Report(parsed, PatchApplication.Compose(zero, patches, scales, target, Metadata(parsed), parsed.GetValue(CommonOptions.Overwrite)), target);
        }
        finally
        {
            foreach (PatchFile patch in patches) patch.Dispose();
        }
    }

    private static double AlphaOf(ParseResult parsed)
    {
        double alpha = parsed.GetValue(Alpha);
        PatchSettings.CheckAlphas([alpha]);
        return alpha;
    }

    private static string Target(ParseResult parsed)
    {
        string target = parsed.GetRequiredValue(MergeCommand.Out);
        OutputFile.Check("--out", target, parsed.GetValue(CommonOptions.Overwrite));
        return target;
    }

    private static ClipCheckpoint Open(ParseResult parsed, string path) => ClipCheckpoint.Open(ModelsCommand.Resolve(parsed, path), CommonOptions.ActivationOf(parsed));

    private static Dictionary<string, string> Metadata(ParseResult parsed) => new() { ["command"] = CommonOptions.AsTyped(parsed) };

    private static int Report(ParseResult parsed, PatchSummary summary, string target)
    {
        string error = summary.RelativeError == 0 ? "exact"
            : string.Create(CultureInfo.InvariantCulture, $"error {summary.RelativeError * 100:0.##} % of the difference, at most {summary.LargestError:0.##e+0} in one number");
        parsed.InvocationConfiguration.Error.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"{summary.Parameters} parameters changed, {summary.Bytes / 1e6:0.##} MB, {error}"));
        parsed.InvocationConfiguration.Output.WriteLine(target);
        return ExitCodes.Done;
    }
}
