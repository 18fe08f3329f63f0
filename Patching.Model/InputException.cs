namespace Patching.Model;

/// <summary>
/// Something the user gave (a file, a folder, a flag) cannot be used. The message is one line that names it, says what is wrong and what to do;
/// the command line prints it as it is and exits with code 2.
/// </summary>
public sealed class InputException : Exception
{
    /// <summary>Creates the error from its one-line message.</summary>
    public InputException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the error from its one-line message and the exception that revealed it (shown with <c>--verbose</c>).</summary>
    public InputException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
