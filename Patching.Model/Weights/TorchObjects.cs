using System.Collections.Immutable;

namespace Patching.Model.Weights;

/// <summary>Bytes that PyTorch keeps apart from the pickle and that tensors are views of.</summary>
/// <param name="key">Its name in the file.</param>
/// <param name="length">Bytes, as the pickle announces them.</param>
internal sealed class TorchStorage(string key, long length)
{
    /// <summary>Its name in the file.</summary>
    public string Key { get; } = key;

    /// <summary>Bytes.</summary>
    public long Length { get; } = length;

    /// <summary>Where it begins in the file; null until the container has been asked.</summary>
    public long? Offset { get; set; }
}

/// <summary>A storage as one place in the pickle refers to it: elements of a type, possibly only some of its bytes.</summary>
/// <param name="Storage">The bytes.</param>
/// <param name="Type">The type of its elements.</param>
/// <param name="FirstByte">Where this view of the storage begins.</param>
/// <param name="Elements">How many elements the view has.</param>
internal sealed record TorchStorageView(TorchStorage Storage, SafetensorsType Type, long FirstByte, long Elements);

/// <summary>A tensor: element (i, j, ...) is element <c>first + i * strides[0] + j * strides[1] + ...</c> of its storage.</summary>
/// <param name="Storage">The bytes.</param>
/// <param name="Type">The type of its elements.</param>
/// <param name="FirstByte">Where element (0, 0, ...) begins in the storage.</param>
/// <param name="Shape">Sizes, outermost first.</param>
/// <param name="Strides">Steps in elements, one for every size.</param>
internal sealed record TorchTensor(
    TorchStorage Storage, SafetensorsType Type, long FirstByte, ImmutableArray<long> Shape, ImmutableArray<long> Strides);

/// <summary>A name of Python that means nothing here: a class or a function, never looked up, never called.</summary>
/// <param name="Module">The module.</param>
/// <param name="Name">The name in it.</param>
internal sealed record PythonName(string Module, string Name);

/// <summary>An object of a class that means nothing here: the name of the class and the state it was saved with.</summary>
/// <param name="type">The class.</param>
internal sealed class PythonObject(PythonName type)
{
    /// <summary>The class.</summary>
    public PythonName Type { get; } = type;

    /// <summary>What BUILD gave it, usually a dictionary of its attributes.</summary>
    public object? State { get; set; }
}
