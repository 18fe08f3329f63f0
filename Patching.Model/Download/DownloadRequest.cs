namespace Patching.Model.Download;

/// <summary>A file to fetch.</summary>
/// <param name="Address">Its <c>http</c> or <c>https</c> address.</param>
/// <param name="Target">Where it goes; the folder is created.</param>
public sealed record DownloadRequest(Uri Address, string Target)
{
    /// <summary>Bytes it must have; null takes what the server says.</summary>
    public long? Length { get; init; }

    /// <summary>SHA-256 it must have, in hexadecimal; null checks none.</summary>
    public string? Sha256 { get; init; }

    /// <summary>MD5 it must have, in hexadecimal, where that is all that the publisher gives: finds damage, not forgery.</summary>
    public string? Md5 { get; init; }

    /// <summary>Whether a file that is there already is replaced.</summary>
    public bool Overwrite { get; init; }
}

/// <summary>What was fetched.</summary>
/// <param name="Path">Where it is.</param>
/// <param name="Length">Its bytes.</param>
/// <param name="Sha256">Its SHA-256 in hexadecimal, of the bytes on the disk.</param>
/// <param name="AlreadyThere">True when nothing had to be fetched.</param>
public sealed record DownloadResult(string Path, long Length, string Sha256, bool AlreadyThere);

/// <summary>How patient a <see cref="Downloader"/> is.</summary>
public sealed record DownloadOptions
{
    /// <summary>Longest wait for a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest wait for the next bytes; a server that is silent for longer counts as failed.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Failures in a row, without a mebibyte of progress between them, that end the download; at least 1.</summary>
    public int Attempts { get; init; } = 5;

    /// <summary>Pause after the first failure; every further one doubles it.</summary>
    public TimeSpan FirstPause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Whether the system's proxy settings are used.</summary>
    public bool UseProxy { get; init; } = true;
}

/// <summary>
/// A file could not be fetched. The message is one line that names the address, says what is wrong and what to do. Not the user's mistake, so it is no <see cref="InputException"/>.
/// </summary>
public sealed class DownloadException : IOException
{
    /// <summary>Creates the error from its one-line message.</summary>
    public DownloadException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the error from its one-line message and the exception that revealed it.</summary>
    public DownloadException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
