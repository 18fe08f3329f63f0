using System.CommandLine;
using System.Globalization;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Evaluation;

namespace Patching.Cli.Commands;

/// <summary><c>patching classify IMAGE... --labels a,b,c</c>.</summary>
internal static class ClassifyCommand
{
    private static readonly Argument<string[]> Images = new("images") { Description = "Image files.", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<string> Labels = new("--labels") { Description = "Texts to choose from, separated by commas.", Required = true };
    private static readonly Option<string?> Template = new("--template") { Description = "Prompt around each label, with {} in its place; the label alone if not given." };
    private static readonly Option<int> Top = CommonOptions.Number("--top", "Labels to show per image.", 5);

    public static Command Create()
    {
        Command command = new("classify", "Tells which of the given texts describes an image best.")
        {
            Images, CommonOptions.Model, Labels, Template, Top, CommonOptions.SkipBadImages, CommonOptions.Activation, CommonOptions.Tokenizer, CommonOptions.Device,
            CommonOptions.Precision, CommonOptions.Threads,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        IReadOnlyList<string> labels = CommonOptions.Split(parsed.GetRequiredValue(Labels));
        if (labels.Count == 0) throw new InputException("--labels: give at least one text");
        int top = parsed.GetValue(Top);
        if (top < 1) throw new InputException($"--top {top}: must be 1 or more");
        bool skip = parsed.GetValue(CommonOptions.SkipBadImages);
        string[] images = parsed.GetRequiredValue(Images);
        if (!skip && images.FirstOrDefault(image => !File.Exists(image)) is { } missing) throw new InputException($"{missing}: there is no such file");
        using Device device = CommonOptions.OpenDevice(parsed);
        using ClipModel model = ClipModel.Open(
            device, CommonOptions.ModelOf(parsed), CommonOptions.ActivationOf(parsed), parsed.GetValue(CommonOptions.Tokenizer),
            CommonOptions.PrecisionOf(parsed));
        using ImageLabeler labeler = new(model, labels, parsed.GetValue(Template));
        foreach (string image in images) Print(labeler, image, top, skip, parsed.InvocationConfiguration);
        return ExitCodes.Done;
    }

    private static void Print(ImageLabeler labeler, string image, int top, bool skip, InvocationConfiguration console)
    {
        try
        {
            foreach (LabelScore score in labeler.Classify(image).Take(top))
                console.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Field(image)}\t{score.Probability:0.0000}\t{Field(score.Label)}"));
        }
        catch (InputException error) when (skip)
        {
            console.Error.WriteLine($"patching: skipped: {error.Message}");
        }
    }

    // A tab or line break in a name would break the table apart.
    private static string Field(string text) => string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));
}
