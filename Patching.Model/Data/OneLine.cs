namespace Patching.Model.Data;

/// <summary>Makes the message of a system exception fit into the one line of an <see cref="InputException"/>.</summary>
internal static class OneLine
{
    /// <summary>The message with line breaks turned into spaces and without its final full stop.</summary>
    public static string Of(Exception exception) => exception.Message.ReplaceLineEndings(" ").TrimEnd('.', ' ');
}
