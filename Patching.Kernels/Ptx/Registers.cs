namespace Patching.Kernels;

/// <summary>Two single-precision numbers that one instruction loads or stores.</summary>
/// <param name="X">The one at the lower address.</param>
/// <param name="Y">The next.</param>
internal record struct Float2(float X, float Y);

/// <summary>Four single-precision numbers: one 16-byte access, or a thread's part of a 16 x 8 accumulator of the tensor cores.</summary>
internal record struct Float4(float X, float Y, float Z, float W);

/// <summary>Two 32-bit words: four bfloat16 numbers.</summary>
internal record struct Word2(uint X, uint Y);

/// <summary>Four 32-bit words: one 16-byte access, eight bfloat16 numbers.</summary>
internal record struct Word4(uint X, uint Y, uint Z, uint W);
