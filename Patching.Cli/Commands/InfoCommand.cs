using System.CommandLine;
using System.Globalization;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Cli.Commands;

/// <summary><c>patching info</c>: devices, and what a model is and needs.</summary>
internal static class InfoCommand
{
    // Most tasks have fewer classes; the head is a small part of the plan.
    private const int TypicalClasses = 100;

    private static readonly Option<string?> Model = new("--model") { Description = "Model directory or checkpoint file to describe." };

    public static Command Create()
    {
        Command command = new("info", "Describes the devices of this machine and, with --model, a model and the memory it needs.")
        {
            Model, CommonOptions.BatchSize, CommonOptions.Precision, CommonOptions.Activation,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        // The whole description is made before any of it is printed, so that an unusable model leaves no half of it.
        List<(string Name, string Value)> description = [];
        int batch = parsed.GetValue(CommonOptions.BatchSize);
        PatchSettings.CheckBatchSize(batch);
        Row(description, "patching", PatchPipeline.Version);
        using (Device host = Device.Open(DeviceKind.Host)) Row(description, "cpu", host.Name);
        Row(description, "cuda", DescribeCuda());
        if (parsed.GetValue(Model) is { } given)
        {
            string path = ModelsCommand.Resolve(parsed, given);
            using ClipCheckpoint checkpoint = ClipCheckpoint.Open(path, CommonOptions.ActivationOf(parsed));
            DescribeModel(description, checkpoint);
            DescribeProblems(description, TensorSurvey.Make(path, CommonOptions.ActivationOf(parsed)));
            foreach (TowerPrecision precision in CommonOptions.PrecisionOf(parsed) is { } one ? [one] : Enum.GetValues<TowerPrecision>())
            {
                if (!precision.CanBeUsedBy(checkpoint.Config)) continue;
                string suffix = $"batch {batch}, {precision.Name()}";
                DescribeMemory(description, $"fine-tune, {suffix}", MemoryPlan.Training(checkpoint.Config, batch, TypicalClasses, precision));
                DescribeMemory(description, $"evaluate, {suffix}", MemoryPlan.Evaluation(checkpoint.Config, batch, TypicalClasses, precision));
            }
        }
        int width = description.Max(row => row.Name.Length) + 2;
        foreach ((string name, string value) in description) parsed.InvocationConfiguration.Output.WriteLine(name.PadRight(width) + value);
        return ExitCodes.Done;
    }

    private static string DescribeCuda()
    {
        if (!Device.CudaIsAvailable()) return "none found";
        using Device cuda = Device.Open(DeviceKind.Cuda);
        return $"{cuda.Details}, {Bytes(cuda.MemoryBytes)}";
    }

    private static void DescribeModel(List<(string Name, string Value)> to, ClipCheckpoint checkpoint)
    {
        ClipConfig config = checkpoint.Config;
        Row(to, "model", checkpoint.WeightsPath);
        Row(to, "sha256", checkpoint.Sha256);
        Row(to, "container", checkpoint.Container);
        Row(to, "tensors", Text($"{checkpoint.Tensors.Count}: {TensorSurvey.Types(checkpoint.Tensors.Values)}"));
        Row(to, "names", checkpoint.Naming.ToString());
        Row(to, "activation", config.Activation.ToString());
        Row(to, "embedding", Text($"{config.EmbeddingWidth}"));
        Row(to, "image tower", Text($"{config.Image.Describe()}, {Count(ParameterTable.Vision(config))} parameters"));
        Row(to, "text tower", config.Text is { } text
            ? Text($"context {text.ContextLength}, vocabulary {text.VocabularySize}, width {text.Width}, {text.Layers} layers, {text.Heads} heads, {Count(ParameterTable.Text(config))} parameters")
            : "none");
        Row(to, "tokenizer", checkpoint.TokenizerDirectory ?? "none beside the model");
    }

    private static void DescribeProblems(List<(string Name, string Value)> to, TensorSurvey survey)
    {
        foreach (string note in survey.Notes) Row(to, "note", note);
        int zeros = survey.Tensors.Count(tensor => tensor.IsZero);
        if (zeros > 0) Row(to, "note", Text($"{zeros} tensors are all zero; patching verify lists them"));
        Row(to, "problems", survey.Problems.Length == 0 ? "none" : string.Join("; ", survey.Problems));
    }

    private static void DescribeMemory(List<(string Name, string Value)> to, string job, IReadOnlyList<MemoryRole> plan)
    {
        Row(to, job, Bytes(plan.Sum(role => role.Bytes)));
        foreach (MemoryRole role in plan) Row(to, "  " + role.Role, Bytes(role.Bytes));
    }

    private static string Count(IEnumerable<ParameterSpec> table) => Text($"{table.Sum(spec => (long)spec.Length):N0}");

    private static string Bytes(long bytes) => Text($"{bytes / 1048576.0:N1} MiB");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static void Row(List<(string Name, string Value)> to, string name, string value) => to.Add((name, value));
}
