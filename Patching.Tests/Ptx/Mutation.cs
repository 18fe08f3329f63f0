using System.Text.RegularExpressions;
using NUnit.Framework;

namespace Patching.Tests.Ptx;

/// <summary>Damages the text of a kernel as its author might have; a damage that changes nothing fails the test.</summary>
internal static class Mutation
{
    /// <summary>Without the lines that contain an instruction: all of them, or the n-th, from 1; from the end where n is negative.</summary>
    public static string Drop(string text, string instruction, int? which = null) => Change(text, instruction, which, _ => "");

    /// <summary>With another text in place of what a pattern finds in a line: in all of them, or in the n-th.</summary>
    public static string Replace(string text, string pattern, string replacement, int? which = null) =>
        Change(text, pattern, which, line => Regex.Replace(line, pattern, replacement), isPattern: true);

    private static string Change(string text, string sought, int? which, Func<string, string> change, bool isPattern = false)
    {
        string[] lines = text.Split('\n');
        int[] found = [.. Enumerable.Range(0, lines.Length).Where(i => isPattern ? Regex.IsMatch(lines[i], sought) : lines[i].Contains(sought, StringComparison.Ordinal))];
        Assert.That(found, Has.Length.GreaterThanOrEqualTo(Math.Max(1, Math.Abs(which ?? 1))), $"nothing to change: {sought}");
        int[] chosen = which is { } n ? [found[n > 0 ? n - 1 : found.Length + n]] : found;
        foreach (int i in chosen) lines[i] = change(lines[i]);
        string result = string.Join('\n', lines);
        Assert.That(result, Is.Not.EqualTo(text), $"changed nothing: {sought}");
        return result;
    }
}
