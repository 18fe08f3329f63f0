using System.CommandLine;

namespace Patching.Cli.Commands;

/// <summary><c>patching data ...</c>: what concerns data sets and no model.</summary>
internal static class DataCommand
{
    public static Command Create() => new("data", "Looks after data sets.") { DataTypographicCommand.Create() };
}
