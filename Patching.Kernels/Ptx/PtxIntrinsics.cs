using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.IR.Types;
using ILGPU.IR.Values;
using CompoundRegister = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.CompoundRegister;
using HardwareRegister = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.HardwareRegister;
using PrimitiveRegister = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.PrimitiveRegister;
using Register = ILGPU.Backends.RegisterAllocator<ILGPU.Backends.PTX.PTXRegisterKind>.Register;

namespace Patching.Kernels;

/// <summary>
/// Teaches ILGPU's PTX compiler the methods marked <see cref="PtxAttribute"/> or <see cref="PtxWriterAttribute"/>: a call becomes the attribute's text with registers
/// filled in. Unlike ILGPU's own inline assembly, operands stay in registers, structures are taken apart, and there is no limit to their number.
/// </summary>
internal static partial class PtxIntrinsics
{
    /// <summary>All methods of this assembly that stand for PTX.</summary>
    public static IReadOnlyList<MethodInfo> Methods { get; } =
    [
        .. typeof(PtxIntrinsics).Assembly.GetTypes()
            .SelectMany(type => type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            .Where(method => method.IsDefined(typeof(PtxAttribute), inherit: false) || method.IsDefined(typeof(PtxWriterAttribute), inherit: false)),
    ];

    /// <summary>Makes the intrinsics known to everything that a context compiles from now on.</summary>
    public static void Register(Context context)
    {
        MethodInfo generator = typeof(PtxIntrinsics).GetMethod(nameof(Generate), BindingFlags.Static | BindingFlags.NonPublic)!;
        foreach (MethodInfo method in Methods)
            context.GetIntrinsicManager().RegisterMethod(method, new PTXIntrinsic(generator, IntrinsicImplementationMode.GenerateCode));
    }

    // The signature is ILGPU's.
    private static void Generate(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        MethodCall call = (MethodCall)value;
        MethodInfo method = (MethodInfo)call.Target.Source;
        List<HardwareRegister>[] arguments = [.. Enumerable.Range(0, call.Count).Select(i => Flatten(generator, generator.Load(call.Nodes[i])))];
        List<HardwareRegister> result = call.Type.IsVoidType ? [] : Flatten(generator, generator.Allocate(value));
        (string template, int tied) = Template(method, new PtxCall(
            result.Count, [.. arguments.Select(registers => registers.Count)], i => int.Parse(Literal(method, call.Nodes[i]), CultureInfo.InvariantCulture)));
        for (int i = 0; tied >= 0 && i < result.Count; i++) generator.Move(arguments[tied][i], result[i]);

        StringBuilder before = new();
        string text = Placeholder().Replace(template, match =>
        {
            if (match.Groups["result"].Success) return Print(Chosen(result, match));
            int index = int.Parse(match.Groups["index"].ValueSpan, CultureInfo.InvariantCulture);
            return match.Groups["kind"].Value switch
            {
                "g" => Address(before, call.Nodes[index], arguments[index], "global", index),
                "s" => SharedAddress(before, call.Nodes[index], arguments[index], index),
                "i" => Literal(method, call.Nodes[index]),
                "p" => ParameterName(method, call.Nodes[index]),
                _ => Print(Chosen(arguments[index], match)),
            };
        });
        generator.Builder.AppendLine(before.Length == 0 ? $"\t{text}" : $"\t{{ {before}{text} }}");
    }

    private static (string Template, int Tied) Template(MethodInfo method, PtxCall call) => method.GetCustomAttribute<PtxAttribute>() is { } ptx
        ? (ptx.Text, ptx.Tied)
        : (method.GetCustomAttribute<PtxWriterAttribute>()!.Write(call), method.GetCustomAttribute<PtxWriterAttribute>()!.Tied);

    /// <summary>All registers, or the one whose number stands in brackets.</summary>
    private static List<HardwareRegister> Chosen(List<HardwareRegister> registers, Match match) => match.Groups["element"].Success
        ? [registers[int.Parse(match.Groups["element"].ValueSpan, CultureInfo.InvariantCulture)]]
        : registers;

    /// <summary>An address that the type system knows to be in the space is used as it is; a generic one is converted in a register of its own.</summary>
    private static string Address(StringBuilder before, Value pointer, List<HardwareRegister> registers, string space, int index)
    {
        if (pointer.Type is AddressSpaceType { AddressSpace: not MemoryAddressSpace.Generic }) return Print(registers);
        before.Append(CultureInfo.InvariantCulture, $".reg .u64 %address{index}; cvta.to.{space}.u64 %address{index}, {Print(registers)}; ");
        return $"%address{index}";
    }

    private static string SharedAddress(StringBuilder before, Value pointer, List<HardwareRegister> registers, int index)
    {
        string address = Address(before, pointer, registers, "shared", index);
        before.Append(CultureInfo.InvariantCulture, $".reg .u32 %shared{index}; cvt.u32.u64 %shared{index}, {address}; ");
        return $"%shared{index}";
    }

    private static string Literal(MethodInfo method, Value value) => value is PrimitiveValue constant
        ? constant.Int64Value.ToString(CultureInfo.InvariantCulture)
        : throw new InvalidOperationException($"{method.Name}: an argument that must be a constant is computed by the kernel");

    // ILGPU takes a structure apart into its fields and puts them together again where it is used.
    private static string ParameterName(MethodInfo method, Value value)
    {
        while (value is StructureValue or GetField) value = value.Nodes[0].Resolve();
        return value is Parameter parameter
            ? GetParameterName(null, parameter)
            : throw new InvalidOperationException($"{method.Name}: an argument that must be a parameter of the kernel is {value}");
    }

    [UnsafeAccessor(UnsafeAccessorKind.StaticMethod)]
    private static extern string GetParameterName(PTXCodeGenerator? owner, Parameter parameter);

    private static List<HardwareRegister> Flatten(PTXCodeGenerator generator, Register register)
    {
        List<HardwareRegister> registers = [];
        Collect(register);
        return registers;

        void Collect(Register part)
        {
            if (part is CompoundRegister compound)
            {
                foreach (Register child in compound.Children) Collect(child);
            }
            else
            {
                registers.Add(generator.EnsureHardwareRegister((PrimitiveRegister)part));
            }
        }
    }

    private static string Print(List<HardwareRegister> registers)
    {
        string list = string.Join(", ", registers.Select(register => $"%{PTXRegisterAllocator.GetStringRepresentation(register)}"));
        return registers.Count == 1 ? list : $"{{{list}}}";
    }

    [GeneratedRegex(@"\$(?:(?<result>r)|(?<kind>[gsip]?)(?<index>\d+))(?:\[(?<element>\d+)\])?")]
    private static partial Regex Placeholder();
}
