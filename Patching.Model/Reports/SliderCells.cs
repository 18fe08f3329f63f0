namespace Patching.Model.Reports;

/// <summary>The places on the page whose text the slider of a run changes, numbered in the order in which they are written.</summary>
/// <param name="run">Number of the run.</param>
/// <param name="texts">What they say at the alpha shown first.</param>
/// <param name="first">How many places of the run were written before.</param>
internal sealed class SliderCells(int run, IReadOnlyList<string> texts, int first = 0)
{
    private int next;

    /// <summary>The next place.</summary>
    public Html Next() => Html.Of($"<span data-cell=\"{run}-{first + next}\">{texts[next++]}</span>");
}
