using NUnit.Framework;

namespace Patching.Tests;

/// <summary>Finds the fixtures copied beside the tests and, where it exists, the larger reference data that lies beside the checkout.</summary>
internal static class Repository
{
    /// <summary>Folder of the fixtures that travel with the tests.</summary>
    public static string Fixtures { get; } = Path.Combine(AppContext.BaseDirectory, "Fixtures");

    /// <summary>A path below Fixtures.</summary>
    public static string Fixture(params string[] parts) => Path.Combine([Fixtures, .. parts]);

    /// <summary>
    /// A path below the <c>shared</c> folder beside the checkout. The test that asks is reported as skipped (not passed) where the folder is missing.
    /// </summary>
    public static string Shared(params string[] parts)
    {
        string? root = SharedRoot;
        if (root is null) Assert.Ignore("needs the shared reference data beside the checkout");
        string path = Path.Combine([root!, .. parts]);
        if (!Path.Exists(path)) Assert.Ignore($"needs {path}");
        return path;
    }

    private static string? SharedRoot { get; } = FindShared();

    private static string? FindShared()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "shared");
            if (Directory.Exists(Path.Combine(candidate, "golden"))) return candidate;
        }
        return null;
    }
}
