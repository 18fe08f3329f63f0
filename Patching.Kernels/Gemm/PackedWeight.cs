namespace Patching.Kernels;

/// <summary>
/// A weight matrix [O, I] rearranged into the panels the host's GEMM reads, made once by <see cref="Gemm.Pack"/> and used by every later
/// <see cref="Gemm.Forward(Device, Tensor, Tensor, PackedWeight, in GemmEpilogue)"/>. Worth its memory when the weights are frozen: a
/// product with few rows spends up to a third of its time packing. On devices other than the host it is a plain copy. The layout belongs to
/// the processor it was made on.
/// </summary>
/// <param name="Memory">[<see cref="Gemm.PackedBytes"/> / 4] single-precision numbers.</param>
/// <param name="Outputs">O, rows of the weight matrix.</param>
/// <param name="Inputs">I, its columns.</param>
public readonly record struct PackedWeight(Tensor Memory, int Outputs, int Inputs)
{
    /// <summary>Cuts the memory of a packed [<paramref name="outputs"/>, <paramref name="inputs"/>] matrix from an arena.</summary>
    public static PackedWeight Take(Arena arena, string name, int outputs, int inputs) =>
        new(arena.Take(name, checked((int)(Gemm.PackedBytes(outputs, inputs) / sizeof(float)))), outputs, inputs);
}
