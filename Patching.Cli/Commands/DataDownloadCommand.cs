using System.CommandLine;
using Patching.Cli.Output;
using Patching.Model;
using Patching.Model.Data;
using Patching.Model.Data.Sets;
using Patching.Model.Download;

namespace Patching.Cli.Commands;

/// <summary><c>patching data download</c>: fetches what publishers serve under fixed addresses into the data location.</summary>
internal static class DataDownloadCommand
{
    private static readonly Argument<string[]> Wanted = new("name")
    {
        Description = "Data sets, as data list names them.",
        Arity = ArgumentArity.OneOrMore
    };

    private static readonly Option<int> Patience = new("--timeout")
    {
        Description = "Seconds of silence after which a connection is given up and the download continues with another.",
        DefaultValueFactory = _ => 60,
    };

    public static Command Create()
    {
        Command download = new("download", "Fetches data sets that anybody may fetch; what was interrupted continues.")
        {
            Wanted, CommonOptions.DataLocation, ModelsCommand.Mirror, Patience,
        };
        download.SetAction((parsed, cancellation) => Run(parsed, cancellation));
        return download;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellation)
    {
        NamedDataset[] sets = [.. parsed.GetRequiredValue(Wanted).Select(Known)];
        if (parsed.GetValue(CommonOptions.Offline)) throw new InputException("--offline: forbids what data download does");
        string location = DatasetCatalog.WithHome(parsed.GetRequiredValue(CommonOptions.DataLocation));
        Uri? mirror = parsed.GetValue(ModelsCommand.Mirror);
        using ProgressReporter progress = new(parsed.InvocationConfiguration.Error);
        int patience = parsed.GetValue(Patience);
        if (patience is < 1 or > 3600) throw new InputException($"--timeout {patience}: must be between 1 and 3600 seconds");
        using Downloader downloader = new(new DownloadOptions { IdleTimeout = TimeSpan.FromSeconds(patience) });
        foreach (NamedDataset set in sets)
        {
            foreach (DatasetFile file in set.Downloads)
            {
                Uri address = new(file.Address);
                DownloadRequest request = new(mirror is null ? address : new Uri(mirror, address.AbsolutePath),
                    Path.Combine(location, file.Target))
                { Md5 = file.Md5 };
                DownloadResult result = await downloader.FetchAsync(
                    request, (done, total) => progress.ShowDownload($"{set.Name} {Path.GetFileName(file.Target)}", done, total),
                        cancellation);
                progress.Finish();
                string check = file.Md5 is null ? "no hash is published for it" : "its hash is right";
                parsed.InvocationConfiguration.Output.WriteLine(
                    $"{result.Path}: {(result.AlreadyThere ? "was there" : "fetched")}, {check}");
            }
        }
        return ExitCodes.Done;
    }

    private static NamedDataset Known(string name)
    {
        NamedDataset set = DatasetCatalog.Find(DatasetCatalog.Canonical(name))
            ?? throw new InputException($"{name}: is a path, not a data set that could be fetched; patching data list shows their names");
        return set.Downloads.Length > 0
            ? set
            : throw new InputException(
                $"{set.Name}: its publisher wants an account or a form; get it from {set.Source}, and patching data check {set.Name} "
                + "says where to put it");
    }
}
