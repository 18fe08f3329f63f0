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
        DescriptionList description = new();
        int batch = parsed.GetValue(CommonOptions.BatchSize);
        PatchSettings.CheckBatchSize(batch);
        description.Row("patching", PatchPipeline.Version);
        using (Device host = Device.Open(DeviceKind.Host)) description.Row("cpu", host.Name);
        description.Row("cuda", DescribeCuda());
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
                description.Memory($"fine-tune, {suffix}", MemoryPlan.Training(checkpoint.Config, batch, TypicalClasses, precision));
                description.Memory($"evaluate, {suffix}", MemoryPlan.Evaluation(checkpoint.Config, batch, TypicalClasses, precision));
            }
        }
        description.Print(parsed.InvocationConfiguration.Output);
        return ExitCodes.Done;
    }

    private static string DescribeCuda()
    {
        if (!Device.CudaIsAvailable()) return "none found";
        using Device cuda = Device.Open(DeviceKind.Cuda);
        return $"{cuda.Details}, {DescriptionList.Bytes(cuda.MemoryBytes)}";
    }

    private static void DescribeModel(DescriptionList to, ClipCheckpoint checkpoint)
    {
        ClipConfig config = checkpoint.Config;
        to.Row("model", checkpoint.WeightsPath);
        to.Row("sha256", checkpoint.Sha256);
        to.Row("container", checkpoint.Container);
        to.Row("tensors", Text($"{checkpoint.Tensors.Count}: {TensorSurvey.Types(checkpoint.Tensors.Values)}"));
        to.Row("names", checkpoint.Naming.ToString());
        to.Row("activation", config.Activation.ToString());
        to.Row("embedding", Text($"{config.EmbeddingWidth}"));
        to.Row("image tower", Text($"{config.Image.Describe()}, {Count(ParameterTable.Vision(config))} parameters"));
        to.Row("text tower", config.Text is { } text
            ? Text($"context {text.ContextLength}, vocabulary {text.VocabularySize}, width {text.Width}, {text.Layers} layers, {text.Heads} heads, {Count(ParameterTable.Text(config))} parameters")
            : "none");
        to.Row("tokenizer", checkpoint.TokenizerDirectory ?? "none beside the model");
    }

    private static void DescribeProblems(DescriptionList to, TensorSurvey survey)
    {
        foreach (string note in survey.Notes) to.Row("note", note);
        int zeros = survey.Tensors.Count(tensor => tensor.IsZero);
        if (zeros > 0) to.Row("note", Text($"{zeros} tensors are all zero; patching verify lists them"));
        to.Row("problems", survey.Problems.Length == 0 ? "none" : string.Join("; ", survey.Problems));
    }

    private static string Count(IEnumerable<ParameterSpec> table) => Text($"{table.Sum(spec => (long)spec.Length):N0}");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
