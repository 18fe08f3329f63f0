using System.Reflection;

namespace Patching.Kernels;

/// <summary>
/// A kernel of the CUDA engine before it is compiled: explicitly grouped, with a fixed number of threads, so that the compiler may count on it. Each family lists
/// its kernels in <c>X.Cuda.cs</c> as static fields; <see cref="All"/> finds them for compilation tests and for checks on hardware.
/// </summary>
/// <param name="Method">The kernel.</param>
/// <param name="Threads">Threads of a group.</param>
/// <param name="DynamicSharedBytes">Most dynamic shared memory a launch asks for; above 48 KiB the driver must be told.</param>
/// <param name="GroupsPerMultiprocessor">Groups that must fit at once: bounds the registers of a thread.</param>
/// <param name="NeedsHopper">Whether it uses instructions of sm_90a.</param>
internal sealed record CudaKernel(
    MethodInfo Method, int Threads, int DynamicSharedBytes = 0, int GroupsPerMultiprocessor = 1, bool NeedsHopper = false)
{
    /// <summary>Describes the method behind a delegate.</summary>
    public CudaKernel(Delegate kernel, int threads, int dynamicSharedBytes = 0, int groupsPerMultiprocessor = 1, bool needsHopper = false)
        : this(kernel.Method, threads, dynamicSharedBytes, groupsPerMultiprocessor, needsHopper)
    {
    }

    /// <summary>For people: family and kernel.</summary>
    public string Name => $"{Method.DeclaringType!.Name}.{Method.Name}";

    /// <summary>Every kernel of the CUDA engine: all static fields of this type, single or in arrays.</summary>
    public static IReadOnlyList<CudaKernel> All { get; } =
    [
        .. from type in typeof(CudaKernel).Assembly.GetTypes()
           from field in type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
           where field.FieldType == typeof(CudaKernel) || field.FieldType == typeof(CudaKernel[])
           where !type.ContainsGenericParameters
           from kernel in field.GetValue(null) is CudaKernel[] many ? many : [(CudaKernel)field.GetValue(null)!]
           orderby kernel.Name
           select kernel,
    ];

    /// <summary>The oldest GPU that runs the kernel, as PTX names it.</summary>
    public string Target => NeedsHopper ? "sm_90a" : "sm_80";

    /// <inheritdoc/>
    public override string ToString() => Name;
}
