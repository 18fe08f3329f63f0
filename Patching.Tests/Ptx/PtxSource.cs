using System.Text;
using System.Text.RegularExpressions;

namespace Patching.Tests.Ptx;

/// <summary>A statement of a function body: an instruction, a directive, or a label.</summary>
/// <param name="Text">The statement without its semicolon, blanks collapsed.</param>
/// <param name="Line">Line of the module, from 1.</param>
internal sealed record PtxStatement(string Text, int Line)
{
    /// <summary>An instruction that the interpreter adds at the end of a body.</summary>
    public static readonly PtxStatement End = new("(end of the kernel)", 0);
}

/// <summary>Reads PTX text: removes comments, then hands out statements, braces and labels in order.</summary>
internal sealed partial class PtxSource
{
    private readonly string _text;
    private int _position;
    private int _line = 1;

    /// <summary>Starts at the first character of a module.</summary>
    public PtxSource(string text) => _text = Comment().Replace(text, match => new string('\n', match.Value.Count(c => c == '\n')));

    /// <summary>Line of the next character.</summary>
    public int Line
    {
        get
        {
            SkipBlanks();
            return _line;
        }
    }

    /// <summary>Whether nothing but blanks is left.</summary>
    public bool AtEnd
    {
        get
        {
            SkipBlanks();
            return _position >= _text.Length;
        }
    }

    /// <summary>The next character that is not blank, or 0 at the end.</summary>
    public char Peek => AtEnd ? '\0' : _text[_position];

    /// <summary>Takes one character that must be there.</summary>
    public void Expect(char c)
    {
        if (Peek != c) throw new PtxFault($"PTX line {_line}: '{c}' expected, found '{Peek}'");
        Advance(1);
    }

    /// <summary>Takes the next word if it is this one.</summary>
    public bool Take(string word)
    {
        if (AtEnd || string.CompareOrdinal(_text, _position, word, 0, word.Length) != 0) return false;
        Advance(word.Length);
        return true;
    }

    /// <summary>Takes everything up to one of the characters, which stays; blanks are collapsed.</summary>
    public string Until(params ReadOnlySpan<char> ends)
    {
        SkipBlanks();
        int length = _text.AsSpan(_position).IndexOfAny(ends);
        if (length < 0) throw new PtxFault($"PTX line {_line}: '{ends[0]}' expected before the end of the module");
        string part = Blanks().Replace(_text.Substring(_position, length), " ").Trim();
        Advance(length);
        return part;
    }

    /// <summary>Takes a label (an identifier and a colon), or returns null.</summary>
    public string? TakeLabel()
    {
        SkipBlanks();
        Match match = Label().Match(_text, _position);
        if (!match.Success) return null;
        Advance(match.Length);
        return match.Groups["name"].Value;
    }

    /// <summary>Takes a statement up to its semicolon.</summary>
    public PtxStatement TakeStatement()
    {
        int line = Line;
        string text = Until(';');
        Advance(1);
        return new PtxStatement(text, line);
    }

    /// <summary>Passes over a block in braces.</summary>
    public void SkipBlock()
    {
        Expect('{');
        for (int depth = 1; depth > 0; Advance(1))
        {
            if (AtEnd) throw new PtxFault($"PTX line {_line}: a block does not end");
            if (_text[_position] == '{') depth++;
            if (_text[_position] == '}') depth--;
        }
    }

    /// <summary>Parts separated by commas outside of brackets.</summary>
    public static List<string> Split(string operands)
    {
        List<string> parts = [];
        StringBuilder part = new();
        int depth = 0;
        foreach (char c in operands)
        {
            if (c is '{' or '[' or '(') depth++;
            if (c is '}' or ']' or ')') depth--;
            if (c == ',' && depth == 0)
            {
                parts.Add(part.ToString().Trim());
                part.Clear();
            }
            else
            {
                part.Append(c);
            }
        }
        if (part.ToString().Trim() is { Length: > 0 } last) parts.Add(last);
        return parts;
    }

    private void SkipBlanks()
    {
        while (_position < _text.Length && char.IsWhiteSpace(_text[_position])) Advance(1);
    }

    private void Advance(int characters)
    {
        for (int end = _position + characters; _position < end; _position++)
        {
            if (_text[_position] == '\n') _line++;
        }
    }

    [GeneratedRegex(@"//[^\n]*|/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comment();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blanks();

    [GeneratedRegex(@"\G(?<name>[A-Za-z_$%][\w$]*)\s*:(?!:)")]
    private static partial Regex Label();
}
