namespace Patching.Cli;

/// <summary>What the process returns.</summary>
internal static class ExitCodes
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Usage = 2;

    /// <summary>Everything worked, but a guard that was asked for did not hold.</summary>
    public const int GuardFailed = 3;
}
