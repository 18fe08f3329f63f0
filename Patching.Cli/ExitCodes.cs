namespace Patching.Cli;

/// <summary>What the process returns. 0 is done; 3 is reserved for a guard that was asked for and did not hold.</summary>
internal static class ExitCodes
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Usage = 2;
}
