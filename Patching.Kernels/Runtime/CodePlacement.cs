using System.Collections.Immutable;
using System.Reflection;
using ILGPU.Backends;
using ILGPU.IR.Transformations;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// Takes ILGPU 1.5.3's <c>CodePlacement</c> pass out of a backend's optimisation pipeline: at level O2 it moves loads past barriers and stores, so kernels that
/// use shared memory or update in place compute wrong results. Level O1 lacks the pass but addresses global memory generically, which is slow.
/// </summary>
internal static class CodePlacement
{
    /// <summary>Rebuilds the pipeline of <paramref name="backend"/> without the pass.</summary>
    /// <exception cref="DeviceException">This is not the ILGPU version the workaround was written for.</exception>
    public static void Remove(Backend backend)
    {
        PropertyInfo pipeline = typeof(Backend).GetProperty("KernelTransformers", BindingFlags.NonPublic | BindingFlags.Instance)
            ?? throw new DeviceException("ILGPU's kernel pipeline is not where version 1.5.3 has it; its miscompiling pass cannot be removed");
        var transformers = (ImmutableArray<Transformer>)pipeline.GetValue(backend)!;
        pipeline.SetValue(backend, transformers.Select(WithoutPass).ToImmutableArray());
    }

    /// <summary>The compiler behind an accelerator.</summary>
    public static Backend GetBackend(this Accelerator accelerator) => ((CudaAccelerator)accelerator).Backend;

    private static Transformer WithoutPass(Transformer transformer)
    {
        Transformer.Builder builder = Transformer.CreateBuilder(transformer.Configuration);
        foreach (Transformation pass in transformer.Transformations)
        {
            if (pass is not ILGPU.IR.Transformations.CodePlacement) builder.Add(pass);
        }
        return builder.ToTransformer();
    }
}
