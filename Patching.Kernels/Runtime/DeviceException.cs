namespace Patching.Kernels;

/// <summary>The requested device cannot be opened or cannot hold what was asked of it. The message is one line for the user.</summary>
public sealed class DeviceException : Exception
{
    /// <summary>Creates the error from its one-line message and, where there is one, its cause.</summary>
    public DeviceException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
