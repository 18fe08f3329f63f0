using System.Reflection;

namespace Patching.Kernels;

/// <summary>
/// Gives a method the PTX text it stands for on a CUDA device. The method's body is what the simulator runs in its place: an emulation, or an exception where an
/// instruction needs the whole warp. Every such method also carries <c>[IntrinsicImplementation]</c>, which makes ILGPU leave its body alone.
/// </summary>
/// <param name="text">
/// PTX with placeholders. <c>$r</c>: the registers of the result; <c>$0</c>, <c>$1</c>, ...: those of an argument. A structure is one register per field,
/// printed <c>{a, b, c, d}</c>, and <c>$r[2]</c>, <c>$0[2]</c> is the third of them. <c>$g0</c>: an argument passed by <c>ref</c>, as an address in global
/// memory (64 bits); <c>$s0</c>: the same in shared memory (32 bits); <c>$i0</c>: an argument that must be a constant, printed as a literal;
/// <c>$p0</c>: an argument that must be a parameter of the kernel, printed as its name.
/// </param>
/// <example><code>
/// [IntrinsicImplementation, Ptx("fma.rn.f32 $r, $0, $1, $2;")]
/// public static float Fma(float a, float b, float c) => MathF.FusedMultiplyAdd(a, b, c);
/// </code></example>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PtxAttribute(string text) : Attribute
{
    /// <summary>The text with placeholders.</summary>
    public string Text => text;

    /// <summary>
    /// Number of an argument whose registers the result starts out as: for instructions that read and write the same registers, written <c>$r</c>. None: -1.
    /// </summary>
    public int Tied { get; init; } = -1;
}

/// <summary>
/// As <see cref="PtxAttribute"/> for text that is written by code, once per call: what repeats over the registers of a matrix is a loop there. The writer is a static
/// method that takes a <see cref="PtxCall"/> and returns text with the placeholders of <see cref="PtxAttribute"/>. The method may be generic: one writer then serves
/// matrices of all sizes.
/// </summary>
/// <param name="type">Where the writer is.</param>
/// <param name="writer">Its name.</param>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PtxWriterAttribute(Type type, string writer) : Attribute
{
    /// <inheritdoc cref="PtxAttribute.Tied"/>
    public int Tied { get; init; } = -1;

    /// <summary>The text for one call.</summary>
    public string Write(PtxCall call) =>
        type.GetMethod(writer, BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)!.CreateDelegate<Func<PtxCall, string>>()(call);
}

/// <summary>What the writer of a text knows of the call it writes for.</summary>
/// <param name="Results">Registers of the result.</param>
/// <param name="Arguments">Registers of each argument.</param>
/// <param name="Constant">Value of an argument that must be a constant.</param>
internal sealed record PtxCall(int Results, IReadOnlyList<int> Arguments, Func<int, int> Constant);
