namespace Patching.Model.Pickle;

/// <summary>
/// What the names in a pickle mean. The machine (<see cref="PickleReader"/>) moves data; everything a file can ask for by name is decided
/// here, and a vocabulary answers with data of our own. What it does not answer, it refuses through <see cref="PickleReader.Refuse"/>.
/// </summary>
internal abstract class PickleVocabulary
{
    /// <summary>The value a name stands for: opcodes GLOBAL and STACK_GLOBAL.</summary>
    public abstract object Named(PickleReader reader, string module, string name);

    /// <summary>What Python would get by calling a value: opcode REDUCE.</summary>
    public abstract object? Call(PickleReader reader, object? callee, object?[] arguments);

    /// <summary>What Python would get by creating an object of a class without calling its constructor: opcode NEWOBJ.</summary>
    public virtual object Create(PickleReader reader, object? type, object?[] arguments) =>
        throw reader.Refuse("an object of a class is stored, which plain data does not need, so it is refused");

    /// <summary>Gives an object its state: opcode BUILD.</summary>
    public abstract void Build(PickleReader reader, object? target, object? state);

    /// <summary>An object that is stored elsewhere in the file: opcode BINPERSID.</summary>
    public virtual object? Persistent(PickleReader reader, object? id) => throw reader.RefuseOpcode(PickleOpcode.BinPersistentId);
}
