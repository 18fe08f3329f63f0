using System.CommandLine;
using Patching.Model;
using Patching.Model.Merging;
using Patching.Model.Reports;

namespace Patching.Cli.Commands;

/// <summary><c>patching report</c>: results files as a page or a table.</summary>
internal static class ReportCommand
{
    private static readonly Argument<string[]> Results = new("results") { Description = "Results files (--results-db).", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<string?> Out = new("--out", "-o") { Description = "File to write; tables go to standard output if not given." };
    private static readonly Option<string?> Format = CommonOptions.Choice("--format", "What to write; html if not given.", "html", "csv", "markdown");
    private static readonly Option<string?> Patched = new("--patched") { Description = "The patching task of runs that do not say it (those of --load)." };

    public static Command Create()
    {
        Command command = new("report", "Shows results files: one HTML page that needs no network, or CSV and Markdown tables.") { Results, Out, Format, Patched, CommonOptions.Overwrite };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        string format = parsed.GetValue(Format) ?? "html";
        string? path = parsed.GetValue(Out);
        if (path is null && format == "html") throw new InputException("--out: name the page to be written, such as report.html");
        if (path is not null) OutputFile.Check("--out", path, parsed.GetValue(CommonOptions.Overwrite));
        PatchReport report = new(ReportRow.ReadFiles(parsed.GetRequiredValue(Results)), parsed.GetValue(Patched));
        string text = format switch
        {
            "csv" => TableReport.Csv(report),
            "markdown" => TableReport.Markdown(report),
            _ => HtmlReport.Create(report),
        };
        if (path is null)
        {
            parsed.InvocationConfiguration.Output.Write(text);
            return ExitCodes.Done;
        }
        OutputFile.WriteText(path, text);
        parsed.InvocationConfiguration.Output.WriteLine(path);
        return ExitCodes.Done;
    }
}
