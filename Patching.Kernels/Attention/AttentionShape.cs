namespace Patching.Kernels;

/// <summary>Extents of a multi-head attention. The width of a token is <c>C = H D</c>; heads lie side by side inside it.</summary>
/// <param name="Batch">B, number of independent sequences.</param>
/// <param name="Tokens">T, tokens of one sequence.</param>
/// <param name="Heads">H, number of heads.</param>
/// <param name="HeadSize">D, elements of one head's query, key and value.</param>
public readonly record struct AttentionShape(int Batch, int Tokens, int Heads, int HeadSize)
{
    /// <summary>C = H D, elements of one token.</summary>
    public int Width => Heads * HeadSize;

    /// <summary>B T, rows of the token matrices.</summary>
    public int Rows => Batch * Tokens;

    /// <summary>Number of (sequence, head) pairs; they do not depend on each other.</summary>
    public int Pairs => Batch * Heads;
}
