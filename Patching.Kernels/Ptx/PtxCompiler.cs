using System.Reflection;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// Compiles the CUDA engine's kernels to PTX, with ILGPU's compiler set up as this project needs it. No GPU and no driver are necessary.
/// </summary>
internal static partial class PtxCompiler
{
    /// <summary>The oldest PTX version with everything the kernels use (Hopper's instructions came with it): drivers since 525 take it.</summary>
    public static readonly CudaInstructionSet InstructionSet = CudaInstructionSet.ISA_80;

    /// <summary>Compiles a kernel without a device; each time in a fresh context, because a failed compilation spoils it.</summary>
    public static string Compile(CudaKernel kernel)
    {
        using Context context = CreateContext();
        using PTXBackend backend = new(context, new CudaCapabilityContext(CudaArchitecture.SM_90), CudaArchitecture.SM_90, InstructionSet, null);
        CodePlacement.Remove(backend);
        return Compile(backend, kernel).PTXAssembly;
    }

    /// <summary>A context with the intrinsics registered, optimising as <see cref="Device"/> does.</summary>
    public static Context CreateContext(Action<Context.Builder>? devices = null)
    {
        Context context = Context.Create(builder =>
        {
            devices?.Invoke(builder);
            builder.EnableAlgorithms().Optimize(OptimizationLevel.O2);
        });
        PtxIntrinsics.Register(context);
        return context;
    }

    /// <summary>Compiles a kernel with a given compiler; the text names the kernel's own target.</summary>
    public static PTXCompiledKernel Compile(PTXBackend backend, CudaKernel kernel)
    {
        EntryPointDescription entry = EntryPointDescription.FromExplicitlyGroupedKernel(kernel.Method);
        KernelSpecialization specialization = new(kernel.Threads, kernel.GroupsPerMultiprocessor);
        PTXCompiledKernel compiled = (PTXCompiledKernel)backend.Compile(entry, specialization);
        string text = Target().Replace(compiled.PTXAssembly, $".target {kernel.Target}");
        text = TensorMapParameter().Replace(text, ".param .align 64 $1");
        // ILGPU declares and compiles the methods that intrinsics stand for, but nothing calls them.
        if (!Call().IsMatch(text)) text = Function().Replace(text, "");
        // ILGPU also takes a condition for uniform that is made of constants alone, though the way to each of them may differ from lane to lane. The driver's own
        // analysis finds the branches that are uniform.
        SetText(compiled, UniformBranch().Replace(text, "$1"));
        return compiled;
    }

    // ILGPU knows no target beyond sm_80 and leaves no other way to change the text.
    private static void SetText(PTXCompiledKernel compiled, string text)
    {
        FieldInfo field = typeof(PTXCompiledKernel).GetField($"<{nameof(PTXCompiledKernel.PTXAssembly)}>k__BackingField", BindingFlags.Instance | BindingFlags.NonPublic)
            ?? throw new DeviceException("ILGPU's compiled kernels are not as version 1.5.3 has them; their target cannot be set");
        field.SetValue(compiled, text);
    }

    /// <summary>Compiles a portable kernel, one thread per element, for the compiler's own target.</summary>
    public static PTXCompiledKernel CompilePortable(PTXBackend backend, MethodInfo kernel)
    {
        EntryPointDescription entry = EntryPointDescription.FromImplicitlyGroupedKernel(kernel);
        PTXCompiledKernel compiled = (PTXCompiledKernel)backend.Compile(entry, KernelSpecialization.Empty);
        SetText(compiled, UniformBranch().Replace(compiled.PTXAssembly, "$1"));
        return compiled;
    }

    [GeneratedRegex(@"\.target sm_\w+")]
    private static partial Regex Target();

    [GeneratedRegex(@"\.param \.align 8 (\.b8 \w+\[128\])")]
    private static partial Regex TensorMapParameter();

    [GeneratedRegex(@"^\.visible \.func [^;{]*(;|\{.*?^\})\s*", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Function();

    [GeneratedRegex(@"\bcall\b")]
    private static partial Regex Call();

    [GeneratedRegex(@"(@!?%p\d+ bra)\.uni")]
    private static partial Regex UniformBranch();
}
