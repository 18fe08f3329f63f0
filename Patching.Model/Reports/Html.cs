using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;

namespace Patching.Model.Reports;

/// <summary>A piece of HTML. Whatever is put into a piece that is not itself a piece is escaped, so no text of a file can become a tag.</summary>
/// <param name="Text">The markup.</param>
internal readonly record struct Html(string Text)
{
    /// <summary>A piece from an interpolated string: its own text is markup, its holes are text or pieces.</summary>
    public static Html Of(HtmlHandler markup) => new(markup.Text);

    /// <summary>Pieces one after the other.</summary>
    public static Html Join(IEnumerable<Html> pieces) => new(string.Concat(pieces.Select(piece => piece.Text)));
}

/// <summary>Fills the holes of <see cref="Html.Of"/>.</summary>
[InterpolatedStringHandler]
internal readonly ref struct HtmlHandler
{
    private readonly StringBuilder text;

    public HtmlHandler(int literalLength, int formattedCount) => text = new StringBuilder(literalLength + 16 * formattedCount);

    public string Text => text.ToString();

    public void AppendLiteral(string markup) => text.Append(markup);

    public void AppendFormatted(Html piece) => text.Append(piece.Text);

    public void AppendFormatted(IEnumerable<Html> pieces) => text.Append(Html.Join(pieces).Text);

    public void AppendFormatted(string? value) => text.Append(WebUtility.HtmlEncode(value));

    public void AppendFormatted(int value) => text.Append(CultureInfo.InvariantCulture, $"{value}");
}
