namespace Patching.Tests.Ptx;

/// <summary>Fundamental types of PTX, as far as the kernels use them.</summary>
internal enum PtxType
{
    None, Pred, B8, B16, B32, B64, B128, U8, U16, U32, U64, S8, S16, S32, S64, F16, BF16, F16X2, BF16X2, TF32, F32, F64,
}

/// <summary>Names, sizes and compatibility of types.</summary>
internal static class PtxTypes
{
    /// <summary>The type that a modifier without its dot names; <see cref="PtxType.None"/> where it is no type.</summary>
    public static PtxType Parse(string name) => name switch
    {
        "pred" => PtxType.Pred,
        "b8" => PtxType.B8,
        "b16" => PtxType.B16,
        "b32" => PtxType.B32,
        "b64" => PtxType.B64,
        "b128" => PtxType.B128,
        "u8" => PtxType.U8,
        "u16" => PtxType.U16,
        "u32" => PtxType.U32,
        "u64" => PtxType.U64,
        "s8" => PtxType.S8,
        "s16" => PtxType.S16,
        "s32" => PtxType.S32,
        "s64" => PtxType.S64,
        "f16" => PtxType.F16,
        "bf16" => PtxType.BF16,
        "f16x2" => PtxType.F16X2,
        "bf16x2" => PtxType.BF16X2,
        "tf32" => PtxType.TF32,
        "f32" => PtxType.F32,
        "f64" => PtxType.F64,
        _ => PtxType.None,
    };

    /// <summary>Size in bytes; a predicate has none.</summary>
    public static int Size(this PtxType type) => type switch
    {
        PtxType.B8 or PtxType.U8 or PtxType.S8 => 1,
        PtxType.B16 or PtxType.U16 or PtxType.S16 or PtxType.F16 or PtxType.BF16 => 2,
        PtxType.B32 or PtxType.U32 or PtxType.S32 or PtxType.F32 or PtxType.F16X2 or PtxType.BF16X2 or PtxType.TF32 => 4,
        PtxType.B64 or PtxType.U64 or PtxType.S64 or PtxType.F64 => 8,
        PtxType.B128 => 16,
        _ => 0,
    };

    /// <summary>Whether values of the type are floating-point numbers that arithmetic instructions take.</summary>
    public static bool IsFloat(this PtxType type) => type is PtxType.F16 or PtxType.BF16 or PtxType.F32 or PtxType.F64;

    /// <summary>Whether the type is a signed integer.</summary>
    public static bool IsSigned(this PtxType type) => type is PtxType.S8 or PtxType.S16 or PtxType.S32 or PtxType.S64;

    /// <summary>Whether the type is only bits, compatible with everything of its size.</summary>
    public static bool IsBits(this PtxType type) =>
        type is PtxType.B8 or PtxType.B16 or PtxType.B32 or PtxType.B64 or PtxType.B128 or PtxType.F16X2 or PtxType.BF16X2 or PtxType.TF32;

    /// <summary>
    /// Whether an instruction of one type takes a register of another: same size, and not a number of the other kind (PTX ISA, "Operand
    /// Type Checking").
    /// </summary>
    public static bool Accepts(this PtxType instruction, PtxType register)
    {
        if (instruction == PtxType.Pred || register == PtxType.Pred) return instruction == register;
        if (instruction.Size() != register.Size()) return false;
        if (instruction.IsBits() || register.IsBits()) return true;
        // bfloat16 and half numbers live in .b16 registers, so that two kinds of floats of the same size are never mixed.
        return instruction.IsFloat() == register.IsFloat();
    }
}
