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
    private const int SpareRegisters = 16;

    // Instructions that the kernels of a family live by: (kernel, an instruction, how often; null: at least once).
    private static readonly (string Kernel, string Instruction, int? Count)[] s_expected =
    [
        (@"^Gemm\.(Wide|Large)(Forward|BackwardInput)Kernel$", "mma.sync", 64),
        (@"^Gemm\.(Wide|Large|Small|Any)\w+Kernel$", "mma.sync", null),
        (@"^Gemm\.(Wide|Large|Small|Any)\w+Kernel$", "ldmatrix", null),
        (@"^Gemm\.(Wide|Large|Small|Any)\w+Kernel$", "cp.async", null),
        (@"^Attention\.\w+\d$", "mma.sync", null),
        (@"^Attention\.\w+\d$", "ldmatrix", null),
        // Four times 16 steps of a stage; sums of lines double the loop, and add a product with ones for every other one in it.
        (@"^Gemm\.WgmmaWide(Forward|BackwardInput)", "wgmma.mma_async", 4),
        (@"^Gemm\.WgmmaAlternating(Forward|BackwardInput)", "wgmma.mma_async", 8),
        (@"^Gemm\.WgmmaWideBackwardWeight", "wgmma.mma_async", 4 + 8),
        (@"^Gemm\.WgmmaAlternatingBackwardWeight", "wgmma.mma_async", 8 + 16),
        (@"^Gemm\.Wgmma", "cp.async.bulk.tensor.2d", 2),
        (@"^Gemm\.Wgmma", "mbarrier.init", 2),
        (@"^Gemm\.Wgmma", "mbarrier.arrive.expect_tx", 1),
        (@"^Gemm\.Wgmma\w+(Forward|Input)", "mbarrier.try_wait", 2),
        (@"^Gemm\.Wgmma\w+Weight", "mbarrier.try_wait", 3),
        (@"^Gemm\.Wgmma\w+Weight", "fence.proxy.async", 1),
        (@"^Gemm\.Wgmma", "fence.mbarrier_init", 1),
        (@"^Gemm\.Wgmma", "setmaxnreg.dec", 1),
        (@"^Gemm\.Wgmma", "setmaxnreg.inc", 1),
        (@"^Gemm\.WgmmaAlternating(Forward|BackwardInput)", "bar.arrive", 1),
        (@"^Gemm\.WgmmaAlternatingBackwardWeight", "bar.arrive", 2),
        (@"^Gemm\.Wgmma", "cvta.param.u64", 2),
        (@"^Gemm\.Wgmma", ".param .align 64 .b8", 2),
    ];

    private static IEnumerable<TestCaseData> Kernels() => CudaKernel.All.Select(kernel => new TestCaseData(kernel).SetArgDisplayNames(kernel.Name));

    [TestCaseSource(nameof(Kernels))]
    public void IsCleanPtx(object described)
    {
        CudaKernel kernel = (CudaKernel)described;
        string ptx = PtxCompiler.Compile(kernel);
        if (Environment.GetEnvironmentVariable("PATCHING_PTX_FOLDER") is { Length: > 0 } folder) File.WriteAllText(Path.Combine(folder, $"{kernel.Name}.ptx"), ptx);
        PtxEntry entry = PtxModule.Parse(ptx).Entries.Values.Single();
        RegisterPressure pressure = RegisterPressure.Of(entry);
        TestContext.Out.WriteLine(
            $"{kernel.Name}: {entry.Code.Length} instructions, about {pressure.Peak} registers, {entry.StaticSharedBytes} + {kernel.DynamicSharedBytes} bytes shared");
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
            foreach ((_, string instruction, int? count) in s_expected.Where(item => Regex.IsMatch(kernel.Name, item.Kernel)))
                Assert.That(Regex.Count(ptx, Regex.Escape(instruction)), count is { } exact ? Is.EqualTo(exact) : Is.Positive, instruction);
            Assert.That(kernel.GroupsPerMultiprocessor * (entry.StaticSharedBytes + kernel.DynamicSharedBytes + 1024), Is.LessThanOrEqualTo(228 * 1024),
                "more shared memory than the groups that should fit have");
            // The assembler needs a few for itself and for loads that it moves forward.
            int atLaunch = Math.Min(255, 65536 / (kernel.Threads * kernel.GroupsPerMultiprocessor) / 8 * 8);
            foreach (RegisterPressure.Region region in pressure.Regions())
            {
                int limit = region.Limit > 0 ? region.Limit : atLaunch;
                Assert.That(region.Peak, Is.LessThanOrEqualTo(limit - SpareRegisters), () => $"of {limit} registers: {pressure.Describe(region.At)}");
            }
        }
    }

    [Test]
    public void EveryExpectationIsAboutAKernel()
    {
        foreach ((string kernel, _, _) in s_expected) Assert.That(CudaKernel.All.Where(known => Regex.IsMatch(known.Name, kernel)), Is.Not.Empty, kernel);
    }

    private static InstructionClass[] Classes(PtxEntry entry) => [.. entry.Code.Select(operation => operation.Class).Distinct()];

    private static IEnumerable<string> Lines(string ptx, string pattern) => ptx.Split('\n').Where(line => Regex.IsMatch(line, pattern));
}
