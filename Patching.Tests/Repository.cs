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

    /// <summary>The nearest path of this name in a folder above the tests: a checkout's file, or one of the unpacked archive. Null where there is none.</summary>
    public static string? Above(params string[] parts)
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine([folder.FullName, .. parts]);
            if (Path.Exists(candidate)) return candidate;
        }
        return null;
    }

    private static string? SharedRoot { get; } = Path.GetDirectoryName(Above("shared", "golden"));
}
