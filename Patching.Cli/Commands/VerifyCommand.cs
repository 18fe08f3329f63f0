using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using Patching.Model;
using Patching.Model.Weights;

namespace Patching.Cli.Commands;

/// <summary><c>patching verify FILE</c>: everything that can be checked about a checkpoint without running it.</summary>
internal static class VerifyCommand
{
    private static readonly Argument<string> Model = new("file") { Description = "A model directory or a checkpoint file." };

    public static Command Create()
    {
        Command command = new(
            "verify", "Reads every value of a checkpoint: hashes, NaN, all-zero tensors, shapes against the architecture. Exit code 2 if unusable.")
        {
            Model, CommonOptions.Activation,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        TensorSurvey survey = TensorSurvey.Make(ModelsCommand.Resolve(parsed, parsed.GetRequiredValue(Model)), CommonOptions.ActivationOf(parsed));
        TextWriter output = parsed.InvocationConfiguration.Output;
        foreach (string file in survey.Files) output.WriteLine($"sha256      {Hash(file)}  {file}");
        output.WriteLine($"container   {survey.Container}");
        foreach (string note in survey.Notes) output.WriteLine($"note        {note}");
        output.WriteLine(Text($"tensors     {survey.Tensors.Length}: {TensorSurvey.Types(survey.Tensors.Select(tensor => tensor.Entry))}"));
        long parameters = survey.Tensors.Where(tensor => TensorEntry.IsFloat(tensor.Entry.DType)).Sum(tensor => tensor.Entry.Elements);
        output.WriteLine(Text($"parameters  {parameters:N0}"));
        if (survey.Config is { } config)
        {
            string text = config.Text is null ? "none" : "present";
            output.WriteLine($"image tower {config.Image.Describe()}; text tower {text}");
        }
        output.WriteLine();
        foreach (TensorFinding tensor in survey.Tensors) output.WriteLine(Line(tensor));
        if (survey.Problems.Length == 0)
        {
            output.WriteLine($"{survey.Path}: usable");
            return ExitCodes.Done;
        }
        throw new InputException($"{survey.Path}: not usable: {string.Join("; ", survey.Problems)}");
    }

    private static string Line(TensorFinding tensor)
    {
        List<string> remarks = [];
        if (tensor.NaN > 0) remarks.Add(Text($"{tensor.NaN} NaN"));
        if (tensor.Infinite > 0) remarks.Add(Text($"{tensor.Infinite} infinite"));
        if (tensor.IsZero) remarks.Add("all zero");
        if (tensor.Remark.Length > 0) remarks.Add(tensor.Remark);
        string remark = remarks.Count > 0 ? $"  ! {string.Join(", ", remarks)}" : "";
        return $"{tensor.Entry.DType,-5}{tensor.Entry.ShapeText,-22}{tensor.ShownName}{remark}";
    }

    private static string Hash(string path)
    {
        using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
