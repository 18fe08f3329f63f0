using Patching.Model.Pickle;

namespace Patching.Model.Data.Sets;

/// <summary>A numpy array found in a pickle: bytes in row-major order that lie inside the file's bytes.</summary>
internal sealed class PickledArray
{
    /// <summary>Sizes of the dimensions.</summary>
    public int[] Shape { get; set; } = [];

    /// <summary>numpy's name of the element type, for example <c>u1</c>.</summary>
    public string ElementType { get; set; } = "";

    /// <summary>The elements.</summary>
    public ReadOnlyMemory<byte> Data { get; set; }
}

/// <summary>
/// The few names that pickles of numpy arrays use, as CIFAR-10's files hold them; every other name is refused.
/// </summary>
internal sealed class NumpyVocabulary : PickleVocabulary
{
    // What a name in the file stands for. None of them is a function: Call below builds our own data in their place.
    private enum Constructor { ArrayShell, ArrayType, ElementType, EncodeLatin1 }

    /// <inheritdoc/>
    public override object Named(PickleReader reader, string module, string name) => (module, name) switch
    {
        ("numpy.core.multiarray" or "numpy._core.multiarray", "_reconstruct") => Constructor.ArrayShell,
        ("numpy", "ndarray") => Constructor.ArrayType,
        ("numpy", "dtype") => Constructor.ElementType,
        ("_codecs", "encode") => Constructor.EncodeLatin1,
        _ => throw reader.Refuse(
            $"it asks for {PickleReader.Printable(module, name)}, which plain data does not need, so it is refused and nothing was run"),
    };

    /// <inheritdoc/>
    public override object Call(PickleReader reader, object? callee, object?[] arguments) => (callee, arguments) switch
    {
        (Constructor.ArrayShell, [Constructor.ArrayType, _, _]) => new PickledArray(),
        (Constructor.ElementType, [var type, ..]) when PickleReader.Text(type) is { } text => new PickledElementType(text),
        (Constructor.EncodeLatin1, [string text, string and "latin1"]) => reader.EncodeLatin1(text),
        _ => throw reader.Refuse("a constructor is called in a way that plain data does not need"),
    };

    /// <inheritdoc/>
    public override void Build(PickleReader reader, object? target, object? state)
    {
        switch (target, state)
        {
            case (PickledElementType, object?[] and [_, var order, ..]) when PickleReader.Text(order) is "|" or "<":
                return;
            case (PickledArray array, object?[] and [long, object?[] shape, PickledElementType type, false, ReadOnlyMemory<byte> data]):
                array.Shape = [.. shape.Select(size => Size(reader, size))];
                array.ElementType = type.Name;
                array.Data = data;
                return;
            default:
                throw reader.Refuse("an array is stored in a way that is not supported (row-major, little-endian numpy arrays are)");
        }
    }

    private static int Size(PickleReader reader, object? value) =>
        value is long and >= 0 and <= int.MaxValue ? (int)(long)value : throw reader.Refuse("an array's shape is damaged");

    private sealed record PickledElementType(string Name);
}
