using System.Globalization;
using System.Runtime.InteropServices;
using NUnit.Framework;

namespace Patching.Tests.Ptx;

/// <summary>
/// Memory for the kernels of a test, placed so that addresses are aligned as a driver aligns them. Disposing frees it.
/// </summary>
internal sealed unsafe class TestMemory : IDisposable
{
    private readonly List<nint> _allocations = [];

    /// <summary>What the kernels are given.</summary>
    public DeviceMemory Device { get; } = new();

    /// <summary>Memory that nothing was written to.</summary>
    public nint Allocate(int bytes)
    {
        nint address = (nint)NativeMemory.AlignedAlloc((nuint)bytes + 256, 256);
        NativeMemory.Fill((void*)address, (nuint)bytes, 0xFB);
        _allocations.Add(address);
        Device.Add(address, bytes);
        return address;
    }

    /// <summary>Memory with contents.</summary>
    public nint Upload<T>(ReadOnlySpan<T> values) where T : unmanaged
    {
        nint address = Allocate(values.Length * sizeof(T));
        values.CopyTo(new Span<T>((void*)address, values.Length));
        Device.MarkInitialized(address, values.Length * sizeof(T));
        return address;
    }

    /// <summary>What is there.</summary>
    public static T[] Download<T>(nint address, int count) where T : unmanaged => new ReadOnlySpan<T>((void*)address, count).ToArray();

    /// <inheritdoc/>
    public void Dispose()
    {
        Device.Dispose();
        foreach (nint address in _allocations) NativeMemory.AlignedFree((void*)address);
    }
}

/// <summary>
/// Writes and runs small kernels. A snippet finds the address of its output in <c>%out</c>, that of its input in <c>%in</c>, its thread
/// in <c>%i</c>, and the address of element i of the output (words of the result's size) in <c>%mine</c>; registers <c>%a0..</c> (.b32),
/// <c>%w0..</c> (.b64), <c>%h0..</c> (.b16), <c>%f0..</c> (.f32), <c>%d0..</c> (.f64) and <c>%p0..</c> are declared, and there are 4096
/// bytes of shared memory named <c>tile</c>.
/// </summary>
internal static class Snippet
{
    /// <summary>The text of a module with a snippet as its kernel.</summary>
    public static string Module(string body, int elementBytes = 4, int sharedBytes = 4096, string declarations = "") => $$"""
        .version 8.0
        .target sm_90a
        .address_size 64
        {{declarations}}
        .visible .entry Snippet(.param .u64 output, .param .u64 input)
        .maxntid 1024, 1, 1
        {
            .shared .align 16 .b8 tile[{{sharedBytes}}];
            .reg .b64 %out, %in, %mine, %w<32>;
            .reg .b32 %i, %a<64>;
            .reg .b16 %h<16>;
            .reg .f32 %f<64>;
            .reg .f64 %d<16>;
            .reg .pred %p<16>;
            ld.param.u64 %out, [output];
            ld.param.u64 %in, [input];
            mov.u32 %i, %tid.x;
            mad.wide.u32 %mine, %i, {{elementBytes.ToString(CultureInfo.InvariantCulture)}}, %out;
        {{body}}
            ret;
        }
        """;

    /// <summary>Runs a snippet in one block and returns an element for each thread.</summary>
    public static T[] Run<T>(string body, ReadOnlySpan<T> input, int threads = 32) where T : unmanaged => Run(body, input, threads, out _);

    /// <summary>The same, with statistics.</summary>
    public static unsafe T[] Run<T>(string body, ReadOnlySpan<T> input, int threads, out LaunchStatistics statistics, int blocks = 1, int outputs = 0)
        where T : unmanaged
    {
        using TestMemory memory = new();
        if (outputs == 0) outputs = threads * blocks;
        nint output = memory.Allocate(outputs * sizeof(T)), source = memory.Upload(input);
        PtxEntry entry = PtxModule.Parse(Module(body, sizeof(T))).Entries["Snippet"];
        nint[] parameters = [output, source];
        statistics = PtxMachine.Launch(entry, new Dim3(blocks), new Dim3(threads), 0, MemoryMarshal.AsBytes(parameters.AsSpan()), memory.Device);
        return TestMemory.Download<T>(output, outputs);
    }

    /// <summary>Runs a snippet that must fault, and returns what is said.</summary>
    public static string Fault(string body, int threads = 32, int blocks = 1)
    {
        uint[] input = new uint[256]; // 1024 bytes
        return Assert.Throws<PtxFault>(() => Run<uint>(body, input, threads, out _, blocks))!.Message;
    }
}
