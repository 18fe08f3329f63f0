namespace Patching.Kernels;

/// <summary>
/// A warp's 16 x 64 matrix in single precision: eight accumulators of <see cref="TensorCore.Multiply"/> side by side. With lane l, g = l /
/// 4 and t = l % 4, <c>Cn.X, Cn.Y</c> are columns 8n + 2t and 8n + 2t + 1 of row g, <c>Cn.Z, Cn.W</c> the same of row g + 8.
/// </summary>
internal record struct Accumulator64(Float4 C0, Float4 C1, Float4 C2, Float4 C3, Float4 C4, Float4 C5, Float4 C6, Float4 C7);

/// <summary>The same, 16 x 16.</summary>
internal record struct Accumulator16(Float4 C0, Float4 C1);

/// <summary>The same, 16 x 80.</summary>
internal record struct Accumulator80(
    Float4 C0, Float4 C1, Float4 C2, Float4 C3, Float4 C4, Float4 C5, Float4 C6, Float4 C7, Float4 C8, Float4 C9);

/// <summary>The same, 16 x 128.</summary>
internal record struct Accumulator128(
    Float4 C0, Float4 C1, Float4 C2, Float4 C3, Float4 C4, Float4 C5, Float4 C6, Float4 C7, Float4 C8, Float4 C9, Float4 C10, Float4 C11,
    Float4 C12, Float4 C13,
    Float4 C14, Float4 C15);

/// <summary>
/// A warp's 16 x 64 matrix in bfloat16, as the left operand of <see cref="TensorCore.Multiply"/>: <c>Ak</c> holds columns 16k to 16k + 15.
/// Words X, Y are columns 16k + 2t.. of rows g and g + 8, words Z, W columns 16k + 8 + 2t.. of the same rows.
/// </summary>
internal record struct Fragments64(Word4 A0, Word4 A1, Word4 A2, Word4 A3);

/// <summary>The same, 16 x 16.</summary>
internal record struct Fragments16(Word4 A0);

/// <summary>The same, 16 x 80.</summary>
internal record struct Fragments80(Word4 A0, Word4 A1, Word4 A2, Word4 A3, Word4 A4);

/// <summary>The same, 16 x 128.</summary>
internal record struct Fragments128(Word4 A0, Word4 A1, Word4 A2, Word4 A3, Word4 A4, Word4 A5, Word4 A6, Word4 A7);
