using System.Diagnostics;
using Patching.Benchmarks.EndToEnd;

namespace Patching.Benchmarks.Peers;

/// <summary>
/// The environment of a process that runs libtorch. Everybody gets what makes it load at all; the tuned one also gets what makes it as
/// fast as it can be on a
/// processor that is not Intel's.
/// </summary>
internal static class TorchEnvironment
{
    /// <summary>
    /// libtorch's MKL asks this function whether it may use its fast code paths and takes a slow one on AMD; the answer of a preloaded
    /// library comes first.
    /// </summary>
    private const string IntelPathSource = "int mkl_serv_intel_cpu_true(void) { return 1; }";

    /// <summary>
    /// The one symbol of GCC 13's C++ library that TorchSharp's native part needs, and that Debian 12 has not: it initialises the standard
    /// streams, as an
    /// object of type ios_base::Init does in every version.
    /// </summary>
    private const string StreamsSource = """
        extern void _ZNSt8ios_base4InitC1Ev(void *) __attribute__((weak));
        static char init[16];
        void _ZSt21ios_base_library_initv(void) { if (_ZNSt8ios_base4InitC1Ev) _ZNSt8ios_base4InitC1Ev(init); }
        """;

    private static readonly Lazy<string> Folder = new(() =>
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("patching-benchmarks-");
        AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Delete(recursive: true);
        return folder.FullName;
    });

    private static readonly Lazy<string> IntelPath = new(() => Compile("intel-path", IntelPathSource));

    private static readonly Lazy<string> Streams = new(() => Compile("streams", StreamsSource));

    /// <summary>The variables of a libtorch process.</summary>
    /// <param name="tuned">Whether to force MKL's fast path and to keep freed memory instead of returning it to the system after every
    /// tensor.</param>
    /// <exception cref="WorkerException">There is no C compiler, or the library is of an unknown kind.</exception>
    public static Dictionary<string, string> Make(bool tuned)
    {
        List<string> preloaded = [];
        if (TorchLibrary.NeedsNewerSystem())
        {
            TorchLibrary.MakeNeedOptional();
            preloaded.Add(Streams.Value);
        }
        Dictionary<string, string> variables = [];
        if (tuned)
        {
            preloaded.Add(IntelPath.Value);
            variables["MALLOC_MMAP_MAX_"] = "0";
            variables["MALLOC_TRIM_THRESHOLD_"] = "100000000000";
            variables["MALLOC_TOP_PAD_"] = "67108864";
        }
        if (preloaded.Count > 0) variables["LD_PRELOAD"] = string.Join(':', preloaded);
        return variables;
    }

    private static string Compile(string name, string source)
    {
        string file = Path.Combine(Folder.Value, name + ".c"), library = Path.Combine(Folder.Value, name + ".so");
        File.WriteAllText(file, source);
        ProcessStartInfo start = new("gcc") { RedirectStandardError = true };
        foreach (string argument in new[] { "-O2", "-shared", "-fPIC", "-o", library, file }) start.ArgumentList.Add(argument);
        try
        {
            using Process compiler = Process.Start(start)!;
            string errors = compiler.StandardError.ReadToEnd();
            compiler.WaitForExit();
            if (compiler.ExitCode != 0) throw new WorkerException($"gcc cannot build {name}.so: {errors.ReplaceLineEndings(" ")}");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            throw new WorkerException($"gcc is not installed; it is needed for {name}.so");
        }
        return library;
    }
}
