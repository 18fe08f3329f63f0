namespace Patching.Tests.Ptx;

/// <summary>
/// A register of a kernel, or a value that reads like one (a constant, a special register). Its 32 lanes lie at <see cref="Offset"/> in
/// the warp's storage, one after the other in the register's size; a predicate is one word with a bit for each lane.
/// </summary>
/// <param name="Name">As the text names it.</param>
/// <param name="Type">Declared type.</param>
/// <param name="Offset">Bytes from the start of the warp's storage.</param>
/// <param name="Index">Number of the register; negative for constants, which are always defined.</param>
internal sealed record Register(string Name, PtxType Type, int Offset, int Index);

/// <summary>A block of statements with its own registers, labels and variables; blocks nest.</summary>
internal sealed class PtxScope(PtxScope? parent)
{
    private readonly Dictionary<string, (PtxType Type, int Count)> _ranges = [];
    private readonly Dictionary<string, PtxType> _names = [];
    private readonly Dictionary<string, Register> _registers = [];

    /// <summary>Instruction that a label stands before.</summary>
    public Dictionary<string, int> Labels { get; } = [];

    /// <summary>Labels of <c>.branchtargets</c>.</summary>
    public Dictionary<string, string[]> Tables { get; } = [];

    /// <summary>Declares <c>.reg .type a, b&lt;n&gt;</c>.</summary>
    public void Declare(PtxType type, string declaration)
    {
        foreach (string part in PtxSource.Split(declaration))
        {
            int bracket = part.IndexOf('<', StringComparison.Ordinal);
            if (bracket < 0) _names[part] = type;
            else _ranges[part[..bracket]] = (type, int.Parse(part[(bracket + 1)..^1], System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    /// <summary>The register that a name means here, or null where none is declared.</summary>
    public Register? Find(string name, RegisterFile file)
    {
        for (PtxScope? scope = this; scope != null; scope = scope.Parent)
        {
            if (scope._registers.TryGetValue(name, out Register? known)) return known;
            if (scope.Declared(name) is { } type) return scope._registers[name] = file.Add(name, type);
        }
        return null;
    }

    /// <summary>The instruction that a label means here, or -1.</summary>
    public int FindLabel(string name)
    {
        for (PtxScope? scope = this; scope != null; scope = scope.Parent)
        {
            if (scope.Labels.TryGetValue(name, out int target)) return target;
        }
        return -1;
    }

    /// <summary>The labels of a branch table, or null.</summary>
    public string[]? FindTable(string name)
    {
        for (PtxScope? scope = this; scope != null; scope = scope.Parent)
        {
            if (scope.Tables.TryGetValue(name, out string[]? labels)) return labels;
        }
        return null;
    }

    /// <summary>The enclosing block.</summary>
    public PtxScope? Parent => parent;

    private PtxType? Declared(string name)
    {
        if (_names.TryGetValue(name, out PtxType type)) return type;
        int digits = name.Length;
        while (digits > 0 && char.IsAsciiDigit(name[digits - 1]))
        {
            // A range may itself end in digits, so every split is tried.
            if (_ranges.TryGetValue(name[..--digits], out var range) && int.TryParse(name.AsSpan(digits), out int number) && number < range.Count)
                return range.Type;
        }
        return null;
    }
}

/// <summary>Lays out the storage of a warp: registers as they are first used, constants and special registers.</summary>
internal sealed class RegisterFile
{
    private readonly Dictionary<(ulong Bits, int Size), Register> _constants = [];
    private readonly Dictionary<string, Register> _specials = [];

    /// <summary>Bytes that a warp needs.</summary>
    public int Bytes { get; private set; }

    /// <summary>Registers that can be undefined.</summary>
    public int Count { get; private set; }

    /// <summary>Constants and their bits.</summary>
    public IEnumerable<(Register Register, ulong Bits)> Constants => _constants.Select(pair => (pair.Value, pair.Key.Bits));

    /// <summary>Special registers such as <c>%tid.x</c>.</summary>
    public IEnumerable<Register> Specials => _specials.Values;

    /// <summary>A new register.</summary>
    public Register Add(string name, PtxType type) => new(name, type, Reserve(type), Count++);

    /// <summary>The register that holds a constant in all lanes.</summary>
    public Register Constant(ulong bits, PtxType type)
    {
        int size = Math.Max(type.Size(), type == PtxType.Pred ? 0 : 1);
        if (size is > 0 and < 8) bits &= (1UL << (8 * size)) - 1;
        if (_constants.TryGetValue((bits, size), out Register? known)) return known;
        PtxType storage = size switch { 0 => PtxType.Pred, 1 => PtxType.B8, 2 => PtxType.B16, 4 => PtxType.B32, _ => PtxType.B64 };
        return _constants[(bits, size)] = new Register($"{bits}", storage, Reserve(storage), -1);
    }

    /// <summary>The register that holds a special register.</summary>
    public Register Special(string name, PtxType type)
    {
        if (_specials.TryGetValue(name, out Register? known)) return known;
        return _specials[name] = new Register(name, type, Reserve(type), -1);
    }

    private int Reserve(PtxType type)
    {
        int offset = Bytes;
        Bytes += Math.Max(32 * type.Size(), 32);
        return offset;
    }
}
