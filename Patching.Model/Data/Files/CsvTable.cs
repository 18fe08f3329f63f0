using System.Text;

namespace Patching.Model.Data.Files;

/// <summary>A row of a <see cref="CsvTable"/>.</summary>
/// <param name="Line">Its line in the file, from 1.</param>
/// <param name="Cells">The cells of the wanted columns, in the order they were asked for; null for a column that the table lacks.</param>
internal sealed record CsvRow(int Line, string?[] Cells);

/// <summary>Reads the wanted columns of a table whose first line names its columns, quoted as RFC 4180 has it.</summary>
internal static class CsvTable
{
    /// <summary>Reads a table.</summary>
    /// <param name="tree">Where the file is.</param>
    /// <param name="path">The file.</param>
    /// <param name="separator">What stands between cells.</param>
    /// <param name="columns">The wanted columns; alternatives are separated by <c>|</c>, and a column that may be missing ends in
    /// <c>?</c>.</param>
    /// <exception cref="InputException">The file is empty, lacks a column or has a broken row; the message names file and line.</exception>
    public static List<CsvRow> Read(FileTree tree, string path, char separator, params string[] columns)
    {
        string name = tree.Describe(path);
        string[]? header = null;
        int[] places = [];
        List<CsvRow> rows = [];
        foreach ((int line, string[] cells) in Parse(tree.ReadText(path), separator, name))
        {
            if (header is null)
            {
                header = cells;
                places = [.. columns.Select(column => Column(header, column, name, separator))];
                continue;
            }
            if (cells.Length != header.Length)
                throw new InputException($"{name}: line {line} has {cells.Length} cells, line 1 names {header.Length}");
            rows.Add(new CsvRow(line, [.. places.Select(place => place < 0 ? null : cells[place])]));
        }
        return header is null ? throw new InputException($"{name}: is empty; line 1 has to name the columns") : rows;
    }

    // Empty lines are no rows.
    private static IEnumerable<(int Line, string[] Cells)> Parse(string text, char separator, string name)
    {
        List<string> cells = [];
        StringBuilder cell = new();
        int line = 1, first = 1;
        bool quoted = false;
        for (int i = 0; i <= text.Length; i++)
        {
            char c = i < text.Length ? text[i] : '\n';
            if (quoted)
            {
                if (i == text.Length) throw new InputException($"{name}: line {first} opens a quote that is never closed");
                bool doubled = c == '"' && i + 1 < text.Length && text[i + 1] == '"';
                quoted = c != '"' || doubled;
                if (c == '\n') line++;
                if (quoted) cell.Append(c);
                if (doubled) i++;
            }
            else if (c == '"' && cell.Length == 0)
            {
                quoted = true;
            }
            else if (c == separator || c == '\n')
            {
                cells.Add(cell.ToString().Trim());
                cell.Clear();
                if (c == separator) continue;
                if (cells.Count > 1 || cells[0].Length > 0) yield return (first, [.. cells]);
                cells.Clear();
                first = ++line;
            }
            else
            {
                cell.Append(c);
            }
        }
    }

    private static int Column(string[] header, string wanted, string name, char separator)
    {
        bool optional = wanted.EndsWith('?');
        string[] names = wanted.TrimEnd('?').Split('|');
        int place = Array.FindIndex(header, cell => names.Contains(cell, StringComparer.OrdinalIgnoreCase));
        if (place < 0 && !optional)
            throw new InputException($"{name}: line 1 does not name a column {string.Join(" or ", names)}, separated by '{separator}'");
        return place;
    }
}
