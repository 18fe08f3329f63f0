namespace Patching.Tests.Ptx;

/// <summary>
/// Something a GPU or its assembler would reject, or answer with garbage: one line that names kernel, instruction, block, thread and
/// cause.
/// </summary>
internal sealed class PtxFault(string message) : Exception(message);

/// <summary>Extent or position in up to three dimensions.</summary>
internal readonly record struct Dim3(int X, int Y = 1, int Z = 1)
{
    /// <summary>Elements of the extent.</summary>
    public long Count => (long)X * Y * Z;

    /// <summary>Position number <paramref name="index"/>, X running fastest.</summary>
    public Dim3 At(long index) => new((int)(index % X), (int)(index / X % Y), (int)(index / ((long)X * Y)));

    /// <inheritdoc/>
    public override string ToString() => $"({X},{Y},{Z})";
}
