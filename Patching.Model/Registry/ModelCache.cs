using System.Security.Cryptography;
using Patching.Model.Download;

namespace Patching.Model.Registry;

/// <summary>
/// The folder where published models are kept, one folder per model. Beside the files lies <see cref="HashFile"/>, in the format of
/// <c>sha256sum</c>, with the hash of every file that was fetched completely; a file without an entry does not count as there.
/// </summary>
public sealed class ModelCache
{
    /// <summary>Environment variable that names the folder.</summary>
    public const string FolderVariable = "PATCHING_MODELS";

    /// <summary>The hashes of a model's files.</summary>
    public const string HashFile = "SHA256SUMS";

    private const int MaxHashFileBytes = 1 << 16;

    /// <summary>Uses a folder; it need not exist.</summary>
    public ModelCache(string folder) => Folder = Path.GetFullPath(folder);

    /// <summary>The folder.</summary>
    public string Folder { get; }

    /// <summary>
    /// The user's cache: <see cref="FolderVariable"/>, else <c>patching/models</c> in <c>XDG_CACHE_HOME</c>, else in the system's place for such
    /// files (<c>~/.cache</c>, <c>%LOCALAPPDATA%</c>).
    /// </summary>
    public static ModelCache OfUser()
    {
        if (Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } named) return new ModelCache(named);
        string? caches = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (string.IsNullOrEmpty(caches))
            caches = OperatingSystem.IsWindows()
                ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData)
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return new ModelCache(Path.Combine(caches, "patching", "models"));
    }

    /// <summary>Where a model's files are or would be.</summary>
    public string FolderOf(PublishedModel model) => Path.Combine(Folder, model.FolderName);

    /// <summary>What to open for a model.</summary>
    public string PathOf(PublishedModel model) => model.OpensAsFolder ? FolderOf(model) : Path.Combine(FolderOf(model), model.Weights);

    /// <summary>Whether all files of a model have been fetched completely.</summary>
    public bool Has(PublishedModel model)
    {
        Dictionary<string, string> hashes = ReadHashes(model);
        return model.Files.All(file => hashes.ContainsKey(file.Name) && File.Exists(Path.Combine(FolderOf(model), file.Name)));
    }

    /// <summary>Bytes of the files that are there.</summary>
    public long BytesOf(PublishedModel model) => model.Files
        .Select(file => new FileInfo(Path.Combine(FolderOf(model), file.Name))).Where(file => file.Exists).Sum(file => file.Length);

    /// <summary>Fetches what is missing of a model; a download that was interrupted continues.</summary>
    /// <param name="model">What to fetch.</param>
    /// <param name="downloader">How.</param>
    /// <param name="mirror">Scheme, host and port to ask instead of the publisher's, with the same paths; hashes hold all the same.</param>
    /// <param name="progress">Called with a file's name, the bytes that are there and those of the whole file, if known.</param>
    /// <param name="cancellation">Stops; what has been fetched is kept.</param>
    /// <exception cref="InputException">The folder cannot be used, or holds another file of the same name.</exception>
    /// <exception cref="DownloadException">A server or the connection failed, or what came is not the expected file.</exception>
    public async Task DownloadAsync(
        PublishedModel model, Downloader downloader, Uri? mirror = null, Action<string, long, long?>? progress = null,
        CancellationToken cancellation = default)
    {
        Dictionary<string, string> hashes = ReadHashes(model);
        foreach (PublishedFile file in model.Files)
        {
            string target = Path.Combine(FolderOf(model), file.Name);
            string? known = file.Sha256 ?? hashes.GetValueOrDefault(file.Name);
            if (hashes.ContainsKey(file.Name) && File.Exists(target)) continue;
            Uri address = mirror is null ? file.Address : new Uri(mirror, file.Address.AbsolutePath);
            DownloadResult result = await downloader.FetchAsync(
                new DownloadRequest(address, target) { Sha256 = known }, (done, total) => progress?.Invoke(file.Name, done, total), cancellation);
            hashes[file.Name] = result.Sha256;
            WriteHashes(model, hashes);
        }
    }

    /// <summary>Hashes every file of a model again.</summary>
    /// <returns>What is wrong, a sentence per file; empty where all is well.</returns>
    public IReadOnlyList<string> Verify(PublishedModel model)
    {
        Dictionary<string, string> hashes = ReadHashes(model);
        List<string> problems = [];
        foreach (PublishedFile file in model.Files)
        {
            string path = Path.Combine(FolderOf(model), file.Name);
            string? wanted = file.Sha256 ?? hashes.GetValueOrDefault(file.Name);
            if (!File.Exists(path)) problems.Add($"{path}: is missing");
            else if (wanted is null) problems.Add($"{path}: was never fetched completely");
            else if (Hash(path) is { } found && found != wanted) problems.Add($"{path}: its SHA-256 is {found}, {wanted} is expected");
        }
        return problems;
    }

    private static string Hash(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            return Convert.ToHexStringLower(SHA256.HashData(stream));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({error.Message})", error);
        }
    }

    private Dictionary<string, string> ReadHashes(PublishedModel model)
    {
        FileInfo file = new(Path.Combine(FolderOf(model), HashFile));
        Dictionary<string, string> hashes = [];
        if (!file.Exists || file.Length > MaxHashFileBytes) return hashes;
        foreach (string line in File.ReadAllLines(file.FullName))
        {
            // Two spaces, as sha256sum writes; what does not look like that is no statement about a file.
            if (line.Split("  ", 2) is [{ Length: 64 } hash, { Length: > 0 } name] && hash.All(char.IsAsciiHexDigit)) hashes[name] = hash.ToLowerInvariant();
        }
        return hashes;
    }

    private void WriteHashes(PublishedModel model, Dictionary<string, string> hashes)
    {
        string target = Path.Combine(FolderOf(model), HashFile), temporary = $"{target}.tmp";
        File.WriteAllLines(temporary, hashes.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => $"{entry.Value}  {entry.Key}"));
        File.Move(temporary, target, overwrite: true);
    }
}
