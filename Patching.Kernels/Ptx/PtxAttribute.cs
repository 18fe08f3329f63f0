namespace Patching.Kernels;

/// <summary>
/// Gives a method the PTX text it stands for on a CUDA device. The method's body is what the simulator runs in its place: an emulation, or an exception where an
/// instruction needs the whole warp. Every such method also carries <c>[IntrinsicImplementation]</c>, which makes ILGPU leave its body alone.
/// </summary>
/// <param name="text">
/// PTX with placeholders. <c>$r</c>: the registers of the result; <c>$0</c>, <c>$1</c>, ...: those of an argument. A structure is one register per field,
/// printed <c>{a, b, c, d}</c>. <c>$g0</c>: an argument passed by <c>ref</c>, as an address in global memory (64 bits); <c>$s0</c>: the same in shared memory
/// (32 bits); <c>$i0</c>: an argument that must be a constant, printed as a literal.
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
