using System.Text.RegularExpressions;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>
/// What can be said about each kernel of the CUDA engine from its text alone: that the assembler will take it, and nothing in it is slow
/// by accident.
/// </summary>
internal sealed class CudaKernelLintTests
{
    // Instructions that the kernels of a family live by: (kernel, at least one of these must be there).
    private static readonly (string Kernel, string[] Instructions)[] s_expected =
    [
        (@"^Gemm\..*(Half|BFloat|Bf16|Tensor|Mma)", ["mma.sync", "ldmatrix", "cp.async"]),
        (@"^Attention\..*(Forward|Backward)", ["mma.sync", "ldmatrix"]),
    ];

    private static IEnumerable<TestCaseData> Kernels() => CudaKernel.All.Select(kernel => new TestCaseData(kernel).SetArgDisplayNames(kernel.Name));

    [TestCaseSource(nameof(Kernels))]
    public void IsCleanPtx(object described)
    {
        CudaKernel kernel = (CudaKernel)described;
        string ptx = PtxCompiler.Compile(kernel);
        if (Environment.GetEnvironmentVariable("PATCHING_PTX_FOLDER") is { Length: > 0 } folder) File.WriteAllText(Path.Combine(folder, $"{kernel.Name}.ptx"), ptx);
        PtxEntry entry = PtxModule.Parse(ptx).Entries.Values.Single();
        int pressure = RegisterPressure.Estimate(entry);
        TestContext.Out.WriteLine($"{kernel.Name}: {entry.Code.Length} instructions, about {pressure} registers, {entry.StaticSharedBytes} + {kernel.DynamicSharedBytes} bytes shared");
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Lines(ptx, @"^\s*\.extern \.func"), Is.Empty, "calls a function that nothing defines");
            Assert.That(Lines(ptx, @"\.local\b"), Is.Empty, "keeps values in local memory instead of registers");
            Assert.That(Classes(entry), Has.None.AnyOf(InstructionClass.LoadGeneric, InstructionClass.StoreGeneric), "addresses memory generically");
            Assert.That(Classes(entry), Has.Some.AnyOf(InstructionClass.StoreGlobal, InstructionClass.Atomic, InstructionClass.BulkCopy), "writes nothing");
            Assert.That(entry.Code.OfType<Atomic>().Where(atomic => atomic.IsFloat), Is.Empty, "adds floats in no fixed order");
            Assert.That(entry.MaxThreads?.Count, Is.EqualTo(kernel.Threads));
            Assert.That(entry.Target, Is.EqualTo(kernel.Target));
            Assert.That(entry.UsesDynamicShared, Is.EqualTo(kernel.DynamicSharedBytes > 0), "dynamic shared memory");
            string[] expected = [.. s_expected.Where(item => Regex.IsMatch(kernel.Name, item.Kernel)).SelectMany(item => item.Instructions)];
            Assert.That(expected.Where(instruction => !ptx.Contains(instruction, StringComparison.Ordinal)), Is.Empty, "instructions that its speed depends on");
            Assert.That(kernel.GroupsPerMultiprocessor * (entry.StaticSharedBytes + kernel.DynamicSharedBytes + 1024), Is.LessThanOrEqualTo(228 * 1024),
                "more shared memory than the groups that should fit have");
            int limit = Math.Min(255, 65536 / (kernel.Threads * kernel.GroupsPerMultiprocessor));
            // The assembler orders instructions anew and gains some; 15 % over can still fit.
            Assert.That(pressure, Is.LessThanOrEqualTo(1.15 * limit), "more registers alive at once than a thread can have");
        }
    }

    private static InstructionClass[] Classes(PtxEntry entry) => [.. entry.Code.Select(operation => operation.Class).Distinct()];

    private static IEnumerable<string> Lines(string ptx, string pattern) => ptx.Split('\n').Where(line => Regex.IsMatch(line, pattern));
}
