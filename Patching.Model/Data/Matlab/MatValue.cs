namespace Patching.Model.Data.Matlab;

/// <summary>An array of a MATLAB file. Elements are in column-major order: the first dimension runs fastest.</summary>
/// <param name="Shape">Sizes of the dimensions, at least two.</param>
internal abstract record MatValue(int[] Shape)
{
    /// <summary>Number of elements.</summary>
    public int Count => Shape.Aggregate(1, (product, size) => product * size);

    /// <summary>What kind of array it is and of which shape, for messages.</summary>
    public string Describe() => $"{Kind} [{string.Join(", ", Shape)}]";

    /// <summary>The kind in MATLAB's words.</summary>
    protected abstract string Kind { get; }
}

/// <summary>Numbers. MATLAB stores them in the smallest type that holds them, whatever their class.</summary>
/// <param name="Shape">Sizes of the dimensions.</param>
/// <param name="Class">MATLAB's class, for example <c>double</c> or <c>uint8</c>.</param>
/// <param name="Stored">The elements as they are stored.</param>
/// <param name="Type">How they are stored.</param>
internal sealed record MatNumbers(int[] Shape, string Class, ReadOnlyMemory<byte> Stored, MatType Type) : MatValue(Shape)
{
    /// <summary>The elements of a <c>uint8</c> array; null for other classes.</summary>
    public ReadOnlyMemory<byte>? Bytes => Class == "uint8" && Type == MatType.UInt8 ? Stored : null;

    /// <inheritdoc/>
    protected override string Kind => Class;

    /// <summary>One element.</summary>
    public double this[int index] => Type.Value(Stored.Span, index);

    /// <summary>One element as a whole number; -1 where it is none or beyond 31 bits.</summary>
    public int Integer(int index) => this[index] is >= 0 and <= int.MaxValue and var value && value == Math.Floor(value) ? (int)value : -1;
}

/// <summary>Text.</summary>
/// <param name="Shape">Sizes of the dimensions.</param>
/// <param name="Text">All characters; of a matrix the columns one after the other.</param>
internal sealed record MatText(int[] Shape, string Text) : MatValue(Shape)
{
    /// <inheritdoc/>
    protected override string Kind => "char";
}

/// <summary>A cell array.</summary>
/// <param name="Shape">Sizes of the dimensions.</param>
/// <param name="Cells">What is in the cells.</param>
internal sealed record MatCells(int[] Shape, MatValue[] Cells) : MatValue(Shape)
{
    /// <inheritdoc/>
    protected override string Kind => "cell";
}

/// <summary>An array of structures that have the same fields.</summary>
/// <param name="Shape">Sizes of the dimensions.</param>
/// <param name="Fields">For every field its values, one per structure.</param>
internal sealed record MatStructs(int[] Shape, Dictionary<string, MatValue[]> Fields) : MatValue(Shape)
{
    /// <inheritdoc/>
    protected override string Kind => "struct";
}

/// <summary>An array of a kind that no data set needs: sparse matrices, objects, function handles.</summary>
/// <param name="Shape">Sizes of the dimensions.</param>
/// <param name="Class">Its kind.</param>
internal sealed record MatOther(int[] Shape, string Class) : MatValue(Shape)
{
    /// <inheritdoc/>
    protected override string Kind => Class;
}
