using System.CommandLine;
using Patching.Cli.Output;
using Patching.Model.Data;

namespace Patching.Cli.Commands;

/// <summary><c>patching data typographic</c>: names of wrong classes, written on the images of a data set.</summary>
internal static class DataTypographicCommand
{
    private const string Both = "both", Train = "train", Test = "test";

    private static readonly Option<string> From = new("--from") { Description = "Data set whose images are written on: a name or folder:PATH.", Required = true };
    private static readonly Option<string> Out = new("--out") { Description = "Folder that gets the pictures; it must not exist yet.", Required = true };
    private static readonly Option<string?> Split = CommonOptions.Choice("--split", "Images to write on; each split gets a folder of its name. test if not given.", Test, Train, Both);
    private static readonly Option<int> Count = CommonOptions.Number("--count", "Pictures per split, of images chosen at random; 0 is all.", 0);
    private static readonly Option<int> Side = CommonOptions.Number("--side", "Side of the square pictures in pixels.", TypographicSettings.DefaultSide);
    private static readonly Option<int> Seed = CommonOptions.Number("--seed", "Decides which images, which words and how they look.", 0);

    public static Command Create()
    {
        Command command = new("typographic", "Writes names of wrong classes on images: attacks to evaluate and to train on as typographic:DIR.")
        {
            From, Out, CommonOptions.DataLocation, Split, Count, Side, Seed, CommonOptions.Workers,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed, cancellation)));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellation)
    {
        TypographicSettings settings = new(parsed.GetRequiredValue(From), parsed.GetRequiredValue(CommonOptions.DataLocation), parsed.GetRequiredValue(Out))
        {
            Splits = parsed.GetValue(Split) switch
            {
                Both => [DatasetSplit.Train, DatasetSplit.Test],
                Train => [DatasetSplit.Train],
                _ => [DatasetSplit.Test],
            },
            Count = parsed.GetValue(Count),
            Side = parsed.GetValue(Side),
            Seed = parsed.GetValue(Seed),
            Workers = parsed.GetValue(CommonOptions.Workers),
        };
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        int pictures = TypographicGenerator.Run(settings, progress.Events.Note, progress.Events.Progress, cancellation);
        progress.Finish();
        parsed.InvocationConfiguration.Output.WriteLine($"{pictures} pictures in {settings.Out}; use them as typographic:{settings.Out}");
        return ExitCodes.Done;
    }
}
