using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Lets ILGPU and this assembly find the driver. ILGPU 1.5.3 asks the loader for <c>cuda</c>, that is <c>libcuda.so</c>, a name that only development packages
/// install; the driver itself brings <c>libcuda.so.1</c>.
/// </summary>
internal static partial class CudaDriver
{
    // The name in the imports below, and in ILGPU's.
    private const string ImportName = "cuda";

    private static readonly Lock Gate = new();
    private static bool mapped;

    /// <summary>File of the driver's library. Tests put theirs in its place before the first context is made.</summary>
    public static string Library { get; set; } = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";

    /// <summary>Registers the names once, before the first context is made.</summary>
    public static void MapLibraryNames()
    {
        lock (Gate)
        {
            if (mapped) return;
            NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, Resolve);
            NativeLibrary.SetDllImportResolver(typeof(CudaDriver).Assembly, Resolve);
            mapped = true;
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path)
    {
        string? file = name switch
        {
            ImportName => Library,
            "OpenCL" when OperatingSystem.IsLinux() => "libOpenCL.so.1",
            _ => null,
        };
        return file is not null && NativeLibrary.TryLoad(file, out nint library) ? library : 0;
    }
}
