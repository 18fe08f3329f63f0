using System.Text;

namespace Patching.Model.Weights;

/// <summary>Names that come from a file, made fit for a one-line message on a terminal.</summary>
internal static class HostileText
{
    private const int MaxLength = 120;

    /// <summary>The text with control characters and line separators replaced by '?', cut after 120 characters.</summary>
    public static string Show(string text)
    {
        var shown = new StringBuilder();
        foreach (char letter in text.AsSpan(0, Math.Min(text.Length, MaxLength)))
            shown.Append(char.IsControl(letter) || char.IsSurrogate(letter) || letter is '\u2028' or '\u2029' ? '?' : letter);
        return text.Length <= MaxLength ? shown.ToString() : shown.Append("...").ToString();
    }
}
