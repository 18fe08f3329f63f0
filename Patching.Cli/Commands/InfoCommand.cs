using System.CommandLine;
using System.Globalization;
using Patching.Cli.Output;
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
        StringWriter description = new(CultureInfo.InvariantCulture) { NewLine = parsed.InvocationConfiguration.Output.NewLine };
        int batch = parsed.GetValue(CommonOptions.BatchSize);
        PatchSettings.CheckBatchSize(batch);
        DescriptionList.Row(description, "patching", PatchPipeline.Version);
        using (Device host = Device.Open(DeviceKind.Host)) DescriptionList.Row(description, "cpu", host.Name);
        DescriptionList.Row(description, "cuda", DescribeCuda());
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
                DescriptionList.Memory(description, $"fine-tune, {suffix}", MemoryPlan.Training(checkpoint.Config, batch, TypicalClasses, precision));
                DescriptionList.Memory(description, $"evaluate, {suffix}", MemoryPlan.Evaluation(checkpoint.Config, batch, TypicalClasses, precision));
            }
        }
        parsed.InvocationConfiguration.Output.Write(description.ToString());
        return ExitCodes.Done;
    }

    private static string DescribeCuda()
    {
        if (!Device.CudaIsAvailable()) return "none found";
        using Device cuda = Device.Open(DeviceKind.Cuda);
        return $"{cuda.Details}, {DescriptionList.Bytes(cuda.MemoryBytes)}";
    }

    private static void DescribeModel(TextWriter to, ClipCheckpoint checkpoint)
    {
        ClipConfig config = checkpoint.Config;
        DescriptionList.Row(to, "model", checkpoint.WeightsPath);
        DescriptionList.Row(to, "sha256", checkpoint.Sha256);
        DescriptionList.Row(to, "container", checkpoint.Container);
        DescriptionList.Row(to, "tensors", Text($"{checkpoint.Tensors.Count}: {TensorSurvey.Types(checkpoint.Tensors.Values)}"));
        DescriptionList.Row(to, "names", checkpoint.Naming.ToString());
        DescriptionList.Row(to, "activation", config.Activation.ToString());
        DescriptionList.Row(to, "embedding", Text($"{config.EmbeddingWidth}"));
        DescriptionList.Row(to, "image tower", Text($"{config.Image.Describe()}, {Count(ParameterTable.Vision(config))} parameters"));
        DescriptionList.Row(to, "text tower", config.Text is { } text
            ? Text($"context {text.ContextLength}, vocabulary {text.VocabularySize}, width {text.Width}, {text.Layers} layers, {text.Heads} heads, {Count(ParameterTable.Text(config))} parameters")
            : "none");
        DescriptionList.Row(to, "tokenizer", checkpoint.TokenizerDirectory ?? "none beside the model");
    }

    private static void DescribeProblems(TextWriter to, TensorSurvey survey)
    {
        foreach (string note in survey.Notes) DescriptionList.Row(to, "note", note);
        int zeros = survey.Tensors.Count(tensor => tensor.IsZero);
        if (zeros > 0) DescriptionList.Row(to, "note", Text($"{zeros} tensors are all zero; patching verify lists them"));
        DescriptionList.Row(to, "problems", survey.Problems.Length == 0 ? "none" : string.Join("; ", survey.Problems));
    }

    private static string Count(IEnumerable<ParameterSpec> table) => Text($"{table.Sum(spec => (long)spec.Length):N0}");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
