using System.Runtime.InteropServices;
using ILGPU;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>A correct kernel on the tensor cores gives the right product; damaged in the ways that kernels go wrong, it is found out.</summary>
internal sealed class GemmMutationTests
{
    private const int M = 72, N = 80, K = 96;

    private static readonly Lazy<string> s_text = new(() => PtxCompiler.Compile(new CudaKernel(
        (Action<ArrayView<Word4>, ArrayView<Word4>, ArrayView<float>, int, int, int>)TensorCoreGemm.Kernel, TensorCoreGemm.Threads)));

    [Test]
    public void CorrectKernelIsCorrect()
    {
        (double error, LaunchStatistics statistics) = Run(s_text.Value);
        TestContext.Out.WriteLine(statistics.Report());
        Assert.That(error, Is.LessThan(1e-4));
        Assert.That(statistics.BankConflicts, Is.Zero);
        Assert.That(statistics.Count(InstructionClass.Mma), Is.EqualTo(4 * 4 * (K / 16) * 8));
    }

    /// <summary>Runs the kernel and returns the greatest error; the sums have about 40 terms of size 1.</summary>
    private static unsafe (double Error, LaunchStatistics Statistics) Run(string text)
    {
        using TestMemory memory = new();
        Random random = new(1);
        ushort[] a = Values(M * K), b = Values(N * K);
        nint left = memory.Upload<ushort>(a), right = memory.Upload<ushort>(b), output = memory.Allocate(M * N * 4);
        PtxEntry entry = PtxModule.Parse(text).Entries.Values.Single();
        byte[] parameters = new byte[entry.ParameterBytes];
        Set(0, left, M * K / 8);
        Set(1, right, N * K / 8);
        Set(2, output, M * N);
        MemoryMarshal.Cast<byte, int>(parameters.AsSpan(entry.Parameters[3].Offset))[0] = M;
        MemoryMarshal.Cast<byte, int>(parameters.AsSpan(entry.Parameters[4].Offset))[0] = N;
        MemoryMarshal.Cast<byte, int>(parameters.AsSpan(entry.Parameters[5].Offset))[0] = K;
        LaunchStatistics statistics = PtxMachine.Launch(entry, new Dim3((N + 63) / 64, (M + 63) / 64), new Dim3(TensorCoreGemm.Threads), 0, parameters, memory.Device);
        float[] c = TestMemory.Download<float>(output, M * N);
        double worst = 0;
        for (int row = 0; row < M; row++)
        {
            for (int column = 0; column < N; column++)
            {
                double sum = 0;
                for (int i = 0; i < K; i++) sum += (double)Numbers.FromBFloat(a[(row * K) + i]) * Numbers.FromBFloat(b[(column * K) + i]);
                worst = Math.Max(worst, Math.Abs(sum - c[(row * N) + column]));
            }
        }
        return (worst, statistics);

        ushort[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => Numbers.ToBFloat(random.NextSingle() - 0.5f))];

        void Set(int parameter, nint address, long length)
        {
            Span<long> view = MemoryMarshal.Cast<byte, long>(parameters.AsSpan(entry.Parameters[parameter].Offset));
            (view[0], view[1]) = (address, length);
        }
    }
}
