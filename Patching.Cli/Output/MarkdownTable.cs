using System.Globalization;
using Spectre.Console;

namespace Patching.Cli.Output;

/// <summary>A table that reads well on a terminal and in a Markdown file.</summary>
internal static class MarkdownTable
{
    /// <summary>Prints rows under a heading; all columns but the first are aligned to the right.</summary>
    public static void Print(TextWriter output, IReadOnlyList<string> heading, IEnumerable<IReadOnlyList<string>> rows)
    {
        Table table = new() { Border = TableBorder.Markdown };
        table.AddColumn(Markup.Escape(heading[0]));
        foreach (string column in heading.Skip(1)) table.AddColumn(new TableColumn(Markup.Escape(column)).RightAligned());
        foreach (IReadOnlyList<string> row in rows) table.AddRow([.. row.Select(Markup.Escape)]);
        Print(output, table);
    }

    /// <summary>Prints a table without the lines of blanks that Spectre surrounds it with.</summary>
    public static void Print(TextWriter output, Table table)
    {
        StringWriter text = new(CultureInfo.InvariantCulture);
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(text), Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors });
        console.Profile.Width = 1000;
        console.Write(table);
        foreach (string line in text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)) output.WriteLine(line);
    }
}
