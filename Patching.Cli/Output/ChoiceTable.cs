using System.Globalization;
using Patching.Model.Choosing;

namespace Patching.Cli.Output;

/// <summary>What alpha was chosen, and what it gains and loses.</summary>
internal static class ChoiceTable
{
    /// <summary>Prints the choice and a row per task: held out, where it was chosen, and tested.</summary>
    public static void Print(TextWriter output, ChoiceOutcome chosen)
    {
        output.WriteLine();
        output.WriteLine(Text($"chosen: alpha {chosen.Alpha:R} by {chosen.Rule}, {chosen.Evaluations} of at most {chosen.Budget} alphas evaluated on held-out images"));
        output.WriteLine();
        bool bound = chosen.Holds is not null;
        string[] heading = ["task", "alpha 0", Text($"alpha {chosen.Alpha:R}"), "change, points", "95 % interval"];
        MarkdownTable.Print(output, bound ? [.. heading, "bound held in"] : heading, [.. chosen.HeldOut.Select(task => Row(task, bound)), .. chosen.Test.Select(task => Row(task, bound))]);
    }

    /// <summary>The line that says which tasks broke the bound.</summary>
    public static string Broken(ChoiceOutcome chosen, double maxDrop)
    {
        IEnumerable<string> losses = chosen.Test.Where(task => !task.IsPatched && task.Change.Before - task.Change.After > maxDrop)
            .Select(task => Text($"{task.Dataset} lost {(task.Change.Before - task.Change.After) * 100:0.00} points"));
        return Text($"patching: guard: {string.Join(", ", losses)} on the test images; --max-drop allows {maxDrop * 100:R}");
    }

    private static string[] Row(ChoiceTask task, bool bound)
    {
        string sure = task.Change.Sure is { } share ? Text($"{share * 100:0.0} %") : "-";
        string[] cells =
        [
            task.IsPatched ? $"{task.Dataset} (patched)" : task.Dataset, Text($"{task.Change.Before * 100:0.00} %"), Text($"{task.Change.After * 100:0.00} %"),
            Text($"{(task.Change.After - task.Change.Before) * 100:+0.00;-0.00}"), Text($"{task.Change.Low * 100:+0.00;-0.00} to {task.Change.High * 100:+0.00;-0.00}"),
        ];
        return bound ? [.. cells, sure] : cells;
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
