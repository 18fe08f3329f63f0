using ILGPU;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>The text that calls of <see cref="PtxAttribute"/> methods become.</summary>
internal sealed class PtxIntrinsicsTests
{
    [Test]
    public void EmitsEveryKindOfPlaceholder()
    {
        string ptx = PtxCompiler.Compile(new CudaKernel(Everything, threads: 32));
        Assert.Multiple(() =>
        {
            Assert.That(ptx, Does.Contain(".target sm_80"));
            Assert.That(ptx, Does.Contain(".maxntid 32"));
            Assert.That(ptx, Does.Match(@"cp\.async\.cg\.shared\.global \[%r\d+\], \[%\w+\], 16, %r\d+;"));
            Assert.That(ptx, Does.Contain("cp.async.wait_group 1;"));
            Assert.That(ptx, Does.Match(@"ldmatrix\.sync\.aligned\.m8n8\.x4\.shared\.b16 \{%r\d+, %r\d+, %r\d+, %r\d+\}, \[%r\d+\];"));
            Assert.That(ptx, Does.Match(@"mma\.sync\S+ \{(%f\d+(, )?){4}\}, \{(%r\d+(, )?){4}\}, \{%r\d+, %r\d+\}, \{(%f\d+(, )?){4}\};"));
            Assert.That(ptx, Does.Match(@"cvt\.rn\.bf16x2\.f32 %r\d+, %f\d+, %f\d+;"));
            Assert.That(ptx, Does.Match(@"st\.global\.v4\.f32"));
            Assert.That(ptx, Does.Not.Contain(".local").And.Not.Contain(".extern"));
        });
    }

    [Test]
    public void NamesHopperForKernelsThatNeedIt() =>
        Assert.That(PtxCompiler.Compile(new CudaKernel(Everything, threads: 32, needsHopper: true)), Does.Contain(".target sm_90a"));

    [Test]
    public void RefusesAComputedValueWhereALiteralIsNeeded() =>
        Assert.That(() => PtxCompiler.Compile(new CudaKernel(ComputedLiteral, threads: 32)), Throws.Exception.With.InnerException.Message.Contains("constant"));

    private static void Everything(ArrayView<Word4> source, ArrayView<Float4> destination, ArrayView<uint> packed, int bytes)
    {
        int lane = Group.IdxX;
        ArrayView<Word4> shared = SharedMemory.Allocate<Word4>(64);
        uint address = SharedMemoryAccess.Address(ref shared[lane]);
        SharedMemoryAccess.CopyAsync(address, ref source[lane], bytes);
        SharedMemoryAccess.CommitCopies();
        SharedMemoryAccess.WaitForCopies(1);
        Group.Barrier();
        Word4 a = TensorCore.LoadMatrices(address), b = TensorCore.LoadMatricesTransposed(address);
        Float4 c = TensorCore.Multiply(default, a, b.X, b.Y);
        c.X = PtxMath.Fma(PtxMath.Exp2(c.X), PtxMath.Log2(c.Y), PtxMath.Reciprocal(c.Z));
        packed[lane] = PtxMath.PackBFloats(c.X, PtxMath.LowBFloat(a.X) + PtxMath.HighBFloat(a.Y));
        destination[lane] = c;
    }

    private static void ComputedLiteral(ArrayView<int> values) => SharedMemoryAccess.WaitForCopies(values[0]);
}
