using System.CommandLine;
using System.Globalization;
using Patching.Cli.Output;
using Patching.Model;
using Patching.Model.Download;
using Patching.Model.Registry;

namespace Patching.Cli.Commands;

/// <summary><c>patching models list | download | verify</c>: published models by name, kept in a cache folder.</summary>
internal static class ModelsCommand
{
    private static readonly Argument<string[]> Names = new("name")
    {
        Description = "Models as models list names them; all that are there if none is given.",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private static readonly Argument<string[]> Wanted =
        new("name") { Description = "Models as models list names them.", Arity = ArgumentArity.OneOrMore };

    /// <summary>Where to fetch from instead of the publisher's server.</summary>
    public static readonly Option<Uri?> Mirror = new("--mirror")
    {
        Description = "Server to ask instead of the publisher's, as http(s)://HOST[:PORT]; the paths are the same, and so are the hashes.",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) && uri.Scheme is "http" or "https" && uri.AbsolutePath == "/") return uri;
            result.AddError($"--mirror '{text}': must look like https://host or http://host:8080, without a path");
            return null;
        },
    };

    public static Command Create()
    {
        Command list = new("list", "Shows the known models, and which of them are in the cache.");
        list.SetAction(List);
        Command download = new("download", "Fetches models into the cache; what was interrupted continues.") { Wanted, Mirror };
        download.SetAction((parsed, cancellation) => Download(parsed, cancellation));
        Command verify = new("verify", "Hashes the files of cached models again. Exit code 2 if one is damaged.") { Names };
        verify.SetAction(Verify);
        return new Command("models", $"Published models by name, kept in {ModelCache.OfUser().Folder} ({ModelCache.FolderVariable} names another folder).") { list, download, verify };
    }

    /// <summary>
    /// What <c>--model</c> means: a folder or file that exists, else a published model by its name, which is fetched first if the cache lacks it.
    /// </summary>
    /// <exception cref="InputException">The name is known, the model not there, and the network not to be used.</exception>
    public static string Resolve(ParseResult parsed, string given, CancellationToken cancellation = default)
    {
        if (File.Exists(given) || Directory.Exists(given)) return given;
        if (PublishedModels.Find(given) is not { } model)
        {
            // Whoever gives a path sees the error of the path.
            if (given.Contains(Path.DirectorySeparatorChar) || given.Contains('.')) return given;
            throw new InputException($"--model {given}: there is no such folder or file, and no published model is called so; patching models list shows their names");
        }
        ModelCache cache = ModelCache.OfUser();
        if (cache.Has(model)) return cache.PathOf(model);
        if (parsed.GetValue(CommonOptions.DryRun))
            throw new InputException($"--model {given}: is not in {cache.FolderOf(model)}, and --dry-run fetches nothing; run patching models download {model.Name} first");
        if (parsed.GetValue(CommonOptions.Offline))
            throw new InputException($"--model {given}: is not in {cache.FolderOf(model)}, and --offline forbids fetching it; run patching models download {model.Name} first");
        Fetch(parsed, cache, model, mirror: null, cancellation).GetAwaiter().GetResult();
        return cache.PathOf(model);
    }

    private static int List(ParseResult parsed)
    {
        ModelCache cache = ModelCache.OfUser();
        TextWriter output = parsed.InvocationConfiguration.Output;
        foreach (PublishedModel model in PublishedModels.All)
        {
            string state = cache.Has(model) ? string.Create(CultureInfo.InvariantCulture, $"{cache.BytesOf(model) / 1048576.0:N0} MiB here") : "-";
            output.WriteLine($"{model.Name,-34}{state,-16}{model.Description}");
        }
        output.WriteLine();
        output.WriteLine($"cache: {cache.Folder}");
        return ExitCodes.Done;
    }

    private static async Task<int> Download(ParseResult parsed, CancellationToken cancellation)
    {
        PublishedModel[] models = [.. parsed.GetRequiredValue(Wanted).Select(Known)];
        if (parsed.GetValue(CommonOptions.Offline)) throw new InputException("--offline: forbids what models download does");
        ModelCache cache = ModelCache.OfUser();
        foreach (PublishedModel model in models)
        {
            if (!cache.Has(model)) await Fetch(parsed, cache, model, parsed.GetValue(Mirror), cancellation);
            parsed.InvocationConfiguration.Output.WriteLine(cache.PathOf(model));
        }
        return ExitCodes.Done;
    }

    private static int Verify(ParseResult parsed)
    {
        ModelCache cache = ModelCache.OfUser();
        string[] names = parsed.GetValue(Names) ?? [];
        PublishedModel[] models = names.Length > 0 ? [.. names.Select(Known)] : [.. PublishedModels.All.Where(cache.Has)];
        if (models.Length == 0) throw new InputException($"{cache.Folder}: holds no model; patching models download NAME fetches one");
        List<string> problems = [];
        foreach (PublishedModel model in models)
        {
            IReadOnlyList<string> found = cache.Verify(model);
            problems.AddRange(found);
            parsed.InvocationConfiguration.Output.WriteLine($"{model.Name,-34}{(found.Count == 0 ? "intact" : "damaged")}");
        }
        if (problems.Count == 0) return ExitCodes.Done;
        throw new InputException($"{string.Join("; ", problems)}; remove the file and run patching models download again");
    }

    private static PublishedModel Known(string name) => PublishedModels.Find(name)
        ?? throw new InputException($"{name}: no published model is called so; patching models list shows their names");

    private static async Task Fetch(ParseResult parsed, ModelCache cache, PublishedModel model, Uri? mirror, CancellationToken cancellation)
    {
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        using Downloader downloader = new();
        await cache.DownloadAsync(
            model, downloader, mirror, (file, done, total) => progress.ShowDownload($"{model.Name} {file}", done, total), cancellation);
    }
}
