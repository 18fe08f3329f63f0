using System.Reflection;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using NUnit.Framework;
using Patching.Kernels;
using Device = Patching.Kernels.Device;

namespace Patching.Tests.Ptx;

/// <summary>The interpreter understands everything that the compiler emits for the portable kernels.</summary>
internal sealed class PortableKernelTests
{
    private static IEnumerable<TestCaseData> Kernels() =>
        from type in typeof(Device).Assembly.GetTypes()
        from method in type.GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
        where method.Name.EndsWith("Kernel", StringComparison.Ordinal)
        where method.GetParameters() is [{ ParameterType: var first }, ..] && first == typeof(Index1D)
        select new TestCaseData(method).SetArgDisplayNames($"{type.Name}.{method.Name}");

    [TestCaseSource(nameof(Kernels))]
    public void IsUnderstood(MethodInfo kernel)
    {
        using Context context = PtxCompiler.CreateContext();
        using PTXBackend backend = new(context, new CudaCapabilityContext(CudaArchitecture.SM_80), CudaArchitecture.SM_80, PtxCompiler.InstructionSet, null);
        CodePlacement.Remove(backend);
        EntryPointDescription entry = EntryPointDescription.FromImplicitlyGroupedKernel(kernel);
        string text = ((PTXCompiledKernel)backend.Compile(entry, new KernelSpecialization())).PTXAssembly;
        PtxEntry parsed = PtxModule.Parse(text).Entries.Values.Single();
        Assert.That(parsed.Code, Has.Length.GreaterThan(10));
    }
}
