using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Patching.Model.Evaluation;
using Patching.Model.Merging;

namespace Patching.Model.Choosing;

/// <summary>How alpha is to be chosen.</summary>
/// <param name="Rule">What counts.</param>
/// <param name="Search">Search adaptively on multiples of <paramref name="Resolution"/> instead of trying the alphas given.</param>
/// <param name="Resolution">Distance of neighbouring alphas of a search.</param>
public sealed record ChoiceSettings(ChoiceRule Rule, bool Search, double Resolution)
{
    /// <summary>Distance of neighbouring alphas where the user names none.</summary>
    public const double DefaultResolution = 0.05;

    /// <summary>The number of steps from 0 to 1.</summary>
    public int Steps => (int)Math.Round(1 / Resolution);

    /// <summary>The alpha of a place of the search, as short a number as can be.</summary>
    public double AlphaAt(int place) => (double)((decimal)place / Steps);

    /// <summary>Refuses impossible values.</summary>
    /// <exception cref="InputException">The message names the flag.</exception>
    public void Check()
    {
        if (Rule.MaxDrop is { } bound && !(bound is >= 0 and <= 1)) throw new InputException(FormattableString.Invariant($"--max-drop {bound * 100}: must be between 0 and 100 points"));
        if (!(Resolution is >= 0.001 and <= 0.5) || Math.Abs(1 / Resolution - Steps) > 1e-6)
            throw new InputException(FormattableString.Invariant($"--resolution {Resolution}: must divide 1 and be between 0.001 and 0.5, such as 0.05"));
    }
}

/// <summary>One task of a choice.</summary>
/// <param name="Dataset">The data set.</param>
/// <param name="IsPatched">Whether it is a task that is learnt.</param>
/// <param name="Change">What the chosen model changes about it.</param>
public sealed record ChoiceTask(string Dataset, bool IsPatched, PairedChange Change);

/// <summary>What was chosen and how.</summary>
/// <param name="Rule">The rule in words.</param>
/// <param name="Alpha">The chosen alpha.</param>
/// <param name="Evaluations">Alphas that were evaluated on the held-out images.</param>
/// <param name="Budget">The most that could have been.</param>
/// <param name="HeldOut">Every task on the held-out images that decided.</param>
/// <param name="Test">Every task on the test images, which were looked at once, afterwards.</param>
/// <param name="Holds">Whether the bound holds on the test images, task by task; null where there is no bound.</param>
public sealed record ChoiceOutcome(
    string Rule, double Alpha, int Evaluations, int Budget, IReadOnlyList<ChoiceTask> HeldOut, IReadOnlyList<ChoiceTask> Test, bool? Holds)
{
    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        WriteIndented = true,
    };

    /// <summary>Writes everything as JSON.</summary>
    /// <param name="path">The file; one that exists is replaced.</param>
    /// <param name="command">The command line, to be recorded.</param>
    public void Save(string path, string command) => OutputFile.WriteText(path, JsonSerializer.Serialize(new { Command = command, Choice = this }, Format) + "\n");
}
