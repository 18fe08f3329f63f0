using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Lets ILGPU find the driver. ILGPU 1.5.3 asks the loader for <c>cuda</c>, that is <c>libcuda.so</c>, a name that only development packages install;
/// the driver itself brings <c>libcuda.so.1</c>.
/// </summary>
internal static class CudaDriver
{
    private static readonly Lock Gate = new();
    private static bool mapped;

    /// <summary>Registers the names once, before the first context is made.</summary>
    public static void MapLibraryNames()
    {
        lock (Gate)
        {
            if (mapped) return;
            NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, Resolve);
            mapped = true;
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path)
    {
        string? versioned = name switch
        {
            "cuda" => "libcuda.so.1",
            "OpenCL" => "libOpenCL.so.1",
            _ => null,
        };
        return versioned is not null && OperatingSystem.IsLinux() && NativeLibrary.TryLoad(versioned, out nint library) ? library : 0;
    }
}
