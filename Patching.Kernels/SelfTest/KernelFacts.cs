using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>What the driver made of a kernel of the CUDA engine.</summary>
/// <param name="Kernel">Family and kernel.</param>
/// <param name="Target">The oldest GPU it is for.</param>
/// <param name="Time">How long the driver's compiler took.</param>
/// <param name="Registers">Registers of a thread.</param>
/// <param name="LocalBytes">Bytes of a thread that did not fit into registers; anything but 0 costs speed.</param>
/// <param name="SharedBytes">Static and dynamic shared memory of a group.</param>
/// <param name="Failure">Why the driver refused it; null if it did not.</param>
public sealed partial record KernelFacts(string Kernel, string Target, TimeSpan Time, int Registers, int LocalBytes, int SharedBytes, string? Failure)
{
    // Attributes of a function in the driver's numbering.
    private const int SharedBytesAttribute = 1, LocalBytesAttribute = 3, RegistersAttribute = 4;

    /// <summary>
    /// Hands every kernel to the driver's compiler. Nothing but a GPU's driver can say whether it accepts them and what they need: no other part of the checks
    /// stands in for this one.
    /// </summary>
    /// <param name="device">A CUDA device; on any other there is nothing to hand them to.</param>
    public static IEnumerable<KernelFacts> All(Device device)
    {
        if (device.Kind != DeviceKind.Cuda) yield break;
        foreach (CudaKernel kernel in CudaKernel.All)
        {
            // Code for sm_90a runs on that very architecture alone.
            if (kernel.NeedsHopper && device.ComputeCapability is not { Major: 9, Minor: 0 }) continue;
            yield return Of(device, kernel);
        }
    }

    private static KernelFacts Of(Device device, CudaKernel kernel)
    {
        KernelFacts facts = new(kernel.Name, kernel.Target, TimeSpan.Zero, 0, 0, 0, null);
        string text;
        try
        {
            text = PtxCompiler.Compile(kernel);
        }
        // Whatever ILGPU's compiler throws is the finding.
        catch (Exception error)
        {
            return facts with { Failure = $"does not compile: {error.GetBaseException().Message}" };
        }
        device.Accelerator.Bind();
        long start = Stopwatch.GetTimestamp();
        CudaError status = CudaAPI.CurrentAPI.LoadModule(out nint module, text, out string? log);
        facts = facts with { Time = Stopwatch.GetElapsedTime(start) };
        if (status != CudaError.CUDA_SUCCESS) return facts with { Failure = $"refused by the driver ({status}): {FirstLine(log)}" };
        try
        {
            status = CudaAPI.CurrentAPI.GetModuleFunction(out nint function, module, EntryName().Match(text).Groups["name"].Value);
            if (status != CudaError.CUDA_SUCCESS) return facts with { Failure = $"has no entry ({status})" };
            return facts with
            {
                Registers = Attribute(function, RegistersAttribute),
                LocalBytes = Attribute(function, LocalBytesAttribute),
                SharedBytes = Attribute(function, SharedBytesAttribute) + kernel.DynamicSharedBytes,
            };
        }
        finally
        {
            _ = CudaAPI.CurrentAPI.DestroyModule(module);
        }
    }

    private static string FirstLine(string? log) =>
        (log ?? "").Split(['\0', '\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).FirstOrDefault() ?? "no reason given";

    private static int Attribute(nint function, int attribute)
    {
        CudaException.ThrowIfFailed(GetFunctionAttribute(out int value, attribute, function));
        return value;
    }

    [LibraryImport("cuda", EntryPoint = "cuFuncGetAttribute")]
    private static partial CudaError GetFunctionAttribute(out int value, int attribute, nint function);

    [GeneratedRegex(@"\.entry (?<name>\w+)\s*\(")]
    private static partial Regex EntryName();
}
