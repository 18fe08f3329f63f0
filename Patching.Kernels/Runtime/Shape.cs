namespace Patching.Kernels;

/// <summary>The extents of a tensor, outermost first, up to four of them; no extents is a scalar.</summary>
public readonly record struct Shape
{
    /// <summary>Most extents a shape can have.</summary>
    public const int MaxRank = 4;

    private readonly (int A, int B, int C, int D) extents;

    /// <summary>Creates a shape from its extents.</summary>
    /// <exception cref="ArgumentException">More than four extents, or one that is not positive.</exception>
    public Shape(params ReadOnlySpan<int> extents)
    {
        if (extents.Length > MaxRank) throw new ArgumentException($"a shape has at most {MaxRank} extents, not {extents.Length}");
        foreach (int extent in extents)
        {
            if (extent <= 0) throw new ArgumentException($"an extent of {extent} in shape [{string.Join(", ", extents.ToArray())}]");
        }
        Rank = extents.Length;
        this.extents = (At(extents, 0), At(extents, 1), At(extents, 2), At(extents, 3));
    }

    /// <summary>Number of extents.</summary>
    public int Rank { get; }

    /// <summary>Number of elements.</summary>
    public long Count => (long)Math.Max(extents.A, 1) * Math.Max(extents.B, 1) * Math.Max(extents.C, 1) * Math.Max(extents.D, 1);

    /// <summary>Extent number <paramref name="axis"/>, from the outermost.</summary>
    public int this[int axis] => axis >= 0 && axis < Rank
        ? axis switch { 0 => extents.A, 1 => extents.B, 2 => extents.C, _ => extents.D }
        : throw new ArgumentOutOfRangeException(nameof(axis), $"axis {axis} of shape {this}");

    /// <summary>Product of all extents but the innermost: the number of rows of a matrix view.</summary>
    public int Rows => checked((int)(Count / Columns));

    /// <summary>Innermost extent: the number of columns of a matrix view; 1 for a scalar.</summary>
    public int Columns => Rank == 0 ? 1 : this[Rank - 1];

    /// <inheritdoc/>
    public override string ToString()
    {
        Shape shape = this;
        return $"[{string.Join(", ", Enumerable.Range(0, Rank).Select(axis => shape[axis]))}]";
    }

    private static int At(ReadOnlySpan<int> extents, int axis) => axis < extents.Length ? extents[axis] : 0;
}
