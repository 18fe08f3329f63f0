using System.CommandLine;
using System.Globalization;
using Patching.Cli.Output;
using Patching.Model;
using Patching.Model.Data;
using Patching.Model.Data.Check;
using Patching.Model.Data.Sets;

namespace Patching.Cli.Commands;

/// <summary><c>patching data list | check | manifest | download | typographic</c>: what data sets are there, whether they are whole, where to get
/// them.</summary>
internal static class DataCommand
{
    // Lines of a kind that are shown before the rest is only counted.
    private const int MostLines = 20;

    private static readonly Argument<string[]> Names = new("name")
    {
        Description = "Data sets, as --eval-datasets names them; without one, all known ones that are there.",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private static readonly Argument<string> One = new("name") { Description = "A data set, as --eval-datasets names it." };

    private static readonly Option<bool> Quick = new(
        "--quick")
    { Description = "Look at files, labels and numbers, but decode no images." };

    private static readonly Option<bool> Duplicates =
        new("--duplicates")
        {
            Description =
            "Find images that are among both the training and the evaluation images of the named data sets."
        };

    private static readonly Option<string> Out = new("--out") { Description = "Manifest to write.", Required = true };

    private static readonly Option<string?> Split =
        CommonOptions.Choice("--split", "Write only this split; both if none is given.", "train", "test");

    public static Command Create()
    {
        Command list = new("list", "Shows the known data sets, and which of them are there.") { CommonOptions.DataLocation };
        list.SetAction(List);
        Command check = new("check", "Says what is there, missing or unreadable, and how it should lie. Exit code 2 if something is wrong.")
        {
            Names, CommonOptions.DataLocation, Quick, Duplicates, CommonOptions.Workers,
        };
        check.SetAction((parsed, cancellation) => Task.FromResult(Check(parsed, cancellation)));
        Command manifest = new("manifest", "Writes a file that names every image with label and hash; runs take it as manifest:FILE.")
        {
            One, Out, Split, CommonOptions.DataLocation, CommonOptions.Overwrite,
        };
        manifest.SetAction((parsed, cancellation) => Task.FromResult(WriteManifest(parsed, cancellation)));
        return new Command("data", "Data sets: which are there, whether they are whole, where to get them.")
        {
            list, check, manifest, DataDownloadCommand.Create(), DataTypographicCommand.Create(),
        };
    }

    private static int List(ParseResult parsed)
    {
        string location = parsed.GetRequiredValue(CommonOptions.DataLocation);
        TextWriter output = parsed.InvocationConfiguration.Output;
        foreach (NamedDataset set in DatasetCatalog.Sets)
        {
            string state = DatasetCatalog.IsThere(set, location) ? "here" : set.Downloads.Length > 0 ? "download" : "-";
            string counts = set.Classes == 0
                ? "classes and images as annotated"
                : Text($"{set.Classes} classes, {set.Counts.Train} + {set.Counts.Test} images");
            output.WriteLine($"{set.Name,-14}{state,-10}{counts,-38}{set.Subject}");
        }
        output.WriteLine();
        output.WriteLine($"data location: {location}; also folder:PATH, csv:FILE, typographic:PATH, manifest:FILE");
        return ExitCodes.Done;
    }

    private static int Check(ParseResult parsed, CancellationToken cancellation)
    {
        string location = parsed.GetRequiredValue(CommonOptions.DataLocation);
        string[] named = parsed.GetValue(Names) ?? [];
        string[] names = named.Length > 0 ? [.. named.Select(DatasetCatalog.Canonical)]
            : [.. DatasetCatalog.Sets.Where(set => DatasetCatalog.IsThere(set, location)).Select(set => set.Name)];
        if (names.Length == 0) throw new InputException(
            $"{location}: holds no known data set; name one to see how it should lie there, for example: patching data check MNIST");
        if (parsed.GetValue(Duplicates) && parsed.GetValue(Quick)) throw new InputException(
            "--duplicates: needs the images decoded; leave --quick out");
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        DuplicateSearch? duplicates = parsed.GetValue(Duplicates) ? new DuplicateSearch() : null;
        DatasetCheck check = new(location, parsed.GetValue(CommonOptions.Workers))
        {
            Decode = !parsed.GetValue(Quick),
            Duplicates = duplicates,
            Progress = progress.Events.Progress,
        };
        List<string> wrong = [];
        TextWriter output = parsed.InvocationConfiguration.Output;
        foreach (string name in names)
        {
            DatasetFinding finding = check.Check(name, cancellation);
            progress.Finish();
            Print(output, finding, location);
            if (finding.Splits.Any(split => !split.Usable)) wrong.Add(finding.Name);
        }
        if (duplicates is not null) Print(output, duplicates.Find());
        return wrong.Count == 0
            ? ExitCodes.Done
            : throw new InputException(
                $"{string.Join(", ", wrong)}: missing or damaged in part, as listed above; what the list shows as whole can be used");
    }

    private static void Print(TextWriter output, DatasetFinding finding, string location)
    {
        NamedDataset? set = DatasetCatalog.Find(finding.Name);
        output.WriteLine(set is null ? finding.Name : $"{finding.Name}: {set.Subject}");
        foreach (SplitFinding split in finding.Splits)
        {
            string absent = split.IsNeeded ? "missing" : "not there";
            output.WriteLine($"  {Word(split.Split),-12}{(split.Problem is null ? Counts(split) : $"{absent}: {split.Problem}")}");
            foreach (string bad in split.Unreadable.Take(MostLines)) output.WriteLine($"    unreadable: {bad}");
            if (split.Unreadable.Count > MostLines) output.WriteLine(Text($"    ... {split.Unreadable.Count} unreadable images in all"));
        }
        foreach (string note in finding.Splits.SelectMany(split => split.Notes).Distinct()) output.WriteLine($"  note: {note}");
        if (set is null || finding.Splits.All(split => split.Problem is null)) return;
        foreach (DatasetLayout layout in set.Layouts) output.WriteLine($"  layout in {location} ({layout.Origin}): {layout.Shape}");
        output.WriteLine($"  get it from: {set.Source}");
        if (set.Downloads.Length > 0) output.WriteLine($"  or: patching data download {set.Name} --data-location {location}");
    }

    private static string Counts(SplitFinding split)
    {
        string of = split.Expected == 0 || split.Expected == split.Images ? "" : Text($" of {split.Expected}");
        string classes = split.Classes == split.AllClasses ? Text($"{split.AllClasses}") : Text($"{split.Classes} of {split.AllClasses}");
        string more = split.Expected > 0 && split.Images > split.Expected ? ", more than the data set has" : "";
        string unreadable = split.Unreadable.Count > 0 ? Text($", {split.Unreadable.Count} unreadable") : "";
        return Text($"{split.Images}{of} images, {classes} classes{more}{unreadable}");
    }

    private static void Print(TextWriter output, IReadOnlyList<DuplicateImage> duplicates)
    {
        output.WriteLine(Text($"images both in training and in evaluation: {duplicates.Count}"));
        foreach (DuplicateImage one in duplicates.Take(MostLines))
            output.WriteLine($"  {one.Evaluation} = {one.Training}{(one.SameLabel ? "" : " (of another class)")}");
        if (duplicates.Count > MostLines) output.WriteLine(Text($"  ... and {duplicates.Count - MostLines} more"));
    }

    private static int WriteManifest(ParseResult parsed, CancellationToken cancellation)
    {
        string name = DatasetCatalog.Canonical(parsed.GetRequiredValue(One)),
            location = parsed.GetRequiredValue(CommonOptions.DataLocation);
        string file = parsed.GetRequiredValue(Out);
        string? wanted = parsed.GetValue(Split);
        List<(DatasetSplit, ImageDataset)> splits = [];
        if (wanted != "test" && (wanted is not null || DatasetCatalog.Find(name) is not { Counts: { Train: 0, Test: > 0 } }))
            splits.Add((DatasetSplit.Train, DatasetCatalog.Open(name, DatasetSplit.Train, location)));
        if (wanted != "train") splits.Add((DatasetSplit.Test, DatasetCatalog.Open(name, DatasetSplit.Test, location)));
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        Lock gate = new();
        Manifest.Write(file, name, splits, parsed.GetValue(CommonOptions.Overwrite), (done, total) =>
        {
            lock (gate) progress.Events.Progress?.Invoke($"hash {name}", done, total);
        }, cancellation);
        progress.Finish();
        parsed.InvocationConfiguration.Output.WriteLine(
            Text($"{file}: {splits.Sum(split => split.Item2.Count)} images, SHA-256 {Manifest.Read(file).Sha256}"));
        return ExitCodes.Done;
    }

    private static string Word(DatasetSplit split) => split switch
    {
        DatasetSplit.Train => "training",
        DatasetSplit.Validation => "validation",
        _ => "evaluation",
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
