using System.CommandLine;
using Patching.Model.Weights;

namespace Patching.Cli.Commands;

/// <summary><c>patching convert IN OUT</c>: any checkpoint into safetensors.</summary>
internal static class ConvertCommand
{
    private static readonly Argument<string> Source =
        new("in") { Description = "A model directory or a checkpoint file (safetensors, .pt, .pth, .bin, pickle)." };
    private static readonly Argument<string> Target =
        new("out") { Description = "A folder to be created, or a file if it ends in .safetensors." };
    private static readonly Option<string?> Type =
        CommonOptions.Choice("--type", "Element type; that of the input if not given.", "f32", "f16", "bf16");

    private static readonly Option<string?> Naming =
        CommonOptions.Choice(
            "--naming", "Names of the tensors; huggingface in a folder and openai in a file if not given.", "huggingface", "openai");

    public static Command Create()
    {
        Command command = new(
            "convert", "Writes any checkpoint as safetensors: a folder for transformers and this program, or a file with OpenAI's names.")
        {
            Source, Target, Type, Naming, CommonOptions.Activation, CommonOptions.Tokenizer, CommonOptions.Overwrite,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        string target = parsed.GetRequiredValue(Target);
        SafetensorsType? type = parsed.GetValue(Type) switch
        {
            "f32" => SafetensorsType.F32,
            "f16" => SafetensorsType.F16,
            "bf16" => SafetensorsType.BF16,
            _ => null,
        };
        CheckpointNaming? naming = parsed.GetValue(Naming) switch
        {
            "huggingface" => CheckpointNaming.HuggingFace,
            "openai" => CheckpointNaming.OpenAi,
            _ => null,
        };
        ConversionSettings settings = new(
            type, naming, CommonOptions.ActivationOf(parsed), parsed.GetValue(CommonOptions.Tokenizer), CommonOptions.AsTyped(parsed),
            parsed.GetValue(CommonOptions.Overwrite));
        ConversionResult result = CheckpointConversion.Run(ModelsCommand.Resolve(parsed, parsed.GetRequiredValue(Source)), target, settings);
        if (Directory.Exists(target) && !result.HasTokenizer)
            parsed.InvocationConfiguration.Error.WriteLine(
                $"{target}: has no tokenizer, because there is none beside the input; --tokenizer FOLDER adds one");
        parsed.InvocationConfiguration.Output.WriteLine(target);
        return ExitCodes.Done;
    }
}
