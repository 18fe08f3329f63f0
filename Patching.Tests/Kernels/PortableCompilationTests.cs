using System.Reflection;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using NUnit.Framework;
using Patching.Kernels;
using Device = Patching.Kernels.Device;

namespace Patching.Tests.Kernels;

/// <summary>
/// Compiles every portable kernel to PTX as a CUDA device would, without a GPU or a driver, and looks for what ILGPU's compiler accepts and a GPU does not, or
/// not fast.
/// </summary>
internal sealed class PortableCompilationTests
{
    private static IEnumerable<TestCaseData> Kernels() =>
        from type in typeof(Device).Assembly.GetTypes()
        from method in type.GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
        where method.Name.EndsWith("Kernel", StringComparison.Ordinal)
        where method.GetParameters() is [{ ParameterType: var first }, ..] && first == typeof(Index1D)
        from architecture in new[] { CudaArchitecture.SM_80, CudaArchitecture.SM_90 }
        select new TestCaseData(method, architecture).SetArgDisplayNames($"{type.Name}.{method.Name}", $"sm_{architecture.Major}{architecture.Minor}");

    [TestCaseSource(nameof(Kernels))]
    public void CompilesToCleanPtx(MethodInfo kernel, CudaArchitecture architecture)
    {
        string ptx = Compile(kernel, architecture);
        Assert.That(Lines(ptx, @"^\s*\.extern \.func"), Is.Empty, "calls a function that nothing defines");
        Assert.That(Lines(ptx, @"\.local\b"), Is.Empty, "keeps values in local memory instead of registers");
        Assert.That(Lines(ptx, @"\b(ld|st)\.(?!global\.|param\.|shared\.)"), Is.Empty, "addresses global memory generically");
        Assert.That(Lines(ptx, @"\bst\.global\."), Is.Not.Empty, "writes nothing");
    }

    [Test]
    public void FindsTheKernelsOfEveryFamily()
    {
        string[] families = [.. Kernels().Select(data => ((MethodInfo)data.Arguments[0]!).DeclaringType!.Name).Distinct()];
        Assert.That(families, Is.SupersetOf(new[]
        {
            nameof(Activation), nameof(AdamW), nameof(Attention), nameof(AveragePooling), nameof(BatchNorm), nameof(Convolution), nameof(CrossEntropy),
            nameof(Gemm), nameof(GradientNorm), nameof(Interpolation), nameof(L2Normalize), nameof(LayerNorm), nameof(MeanToken), nameof(PatchEmbedding), nameof(Prediction), nameof(RowSelection), nameof(TokenEmbedding),
        }));
    }

    [Test]
    public void ReportsWhatItLooksFor()
    {
        // ILGPU has no instruction for MathF.FusedMultiplyAdd and emits a call to a function that no library defines.
        string ptx = Compile(((Action<Index1D, ArrayView<float>>)BadKernel).Method, CudaArchitecture.SM_80);
        Assert.That(Lines(ptx, @"\.extern \.func").Concat(Lines(ptx, @"\.local\b")), Is.Not.Empty);
    }

    private static void BadKernel(Index1D i, ArrayView<float> y)
    {
        float[] spilled = new float[4];
        for (int k = 0; k < 4; k++) spilled[k] = y[i + k];
        y[i] = MathF.FusedMultiplyAdd(spilled[i % 4], spilled[(i + 1) % 4], y[i]);
    }

    /// <summary>The compiler set up as <see cref="Device"/> sets it up for CUDA; a fresh context each time, because a failed compilation spoils it.</summary>
    private static string Compile(MethodInfo kernel, CudaArchitecture architecture)
    {
        using Context context = Context.Create(builder => builder.EnableAlgorithms().Optimize(OptimizationLevel.O2));
        using PTXBackend backend = new(context, new CudaCapabilityContext(architecture), architecture, CudaInstructionSet.ISA_80, null);
        CodePlacement.Remove(backend);
        EntryPointDescription entry = EntryPointDescription.FromImplicitlyGroupedKernel(kernel);
        return ((PTXCompiledKernel)backend.Compile(entry, new KernelSpecialization())).PTXAssembly;
    }

    private static IEnumerable<string> Lines(string ptx, string pattern) => ptx.Split('\n').Where(line => Regex.IsMatch(line, pattern));
}
