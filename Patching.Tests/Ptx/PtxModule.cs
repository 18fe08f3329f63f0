using System.Globalization;

namespace Patching.Tests.Ptx;

/// <summary>A parameter of a kernel.</summary>
/// <param name="Name">As the text names it.</param>
/// <param name="Bytes">Size.</param>
/// <param name="Alignment">Alignment in bytes.</param>
/// <param name="Offset">Where it lies in the parameter buffer of a launch.</param>
internal sealed record PtxParameter(string Name, int Bytes, int Alignment, int Offset);

/// <summary>A kernel, decoded.</summary>
internal sealed class PtxEntry
{
    /// <summary>Name of the entry.</summary>
    public required string Name { get; init; }

    /// <summary>The module's <c>.target</c>.</summary>
    public required string Target { get; init; }

    /// <summary>The parameters in order.</summary>
    public required IReadOnlyList<PtxParameter> Parameters { get; init; }

    /// <summary>Bytes of the parameter buffer.</summary>
    public required int ParameterBytes { get; init; }

    /// <summary><c>.maxntid</c>, or null.</summary>
    public required Dim3? MaxThreads { get; init; }

    /// <summary>Bytes of shared memory that the kernel declares with a size.</summary>
    public required int StaticSharedBytes { get; init; }

    /// <summary>Whether the kernel uses shared memory whose size the launch says.</summary>
    public required bool UsesDynamicShared { get; init; }

    /// <summary>The instructions.</summary>
    public required Operation[] Code { get; init; }

    /// <summary>Layout of a warp's storage.</summary>
    public required RegisterFile Registers { get; init; }

    /// <summary>Size in bytes of the smallest store to shared and global memory: the granularity at which races are looked for.</summary>
    public required int Granule { get; init; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>
/// A PTX module. Parsing decodes every kernel, so that it fails where the driver's assembler would: unknown instructions, undeclared
/// registers, operands whose type does not fit, too much shared memory.
/// </summary>
internal sealed class PtxModule
{
    private readonly Dictionary<string, PtxEntry> _entries = [];
    private string _target = "";

    private PtxModule()
    {
    }

    /// <summary>The kernels by name.</summary>
    public IReadOnlyDictionary<string, PtxEntry> Entries => _entries;

    /// <summary>The <c>.target</c>.</summary>
    public string Target => _target;

    /// <summary>Reads the text that a driver would be given.</summary>
    public static PtxModule Parse(string text)
    {
        PtxModule module = new();
        PtxSource source = new(text.TrimEnd('\0'));
        List<PtxVariable> shared = [];
        while (!source.AtEnd)
        {
            if (source.Take(".version") || source.Take(".address_size")) source.Until('\n');
            else if (source.Take(".target")) module._target = source.Until('\n');
            else if (source.Take(".visible") || source.Take(".weak") || source.Take(".extern")) continue;
            else if (source.Take(".func")) SkipFunction(source);
            else if (source.Take(".entry")) module.Add(new PtxBody(source, shared, module._target));
            else if (source.Take(".shared")) shared.Add(PtxVariable.Parse(source.TakeStatement()));
            else throw new PtxFault($"PTX line {source.Line}: '{source.Until('\n')}' is not understood");
        }
        return module;
    }

    private void Add(PtxBody body) => _entries.Add(body.Name, body.Build());

    // Functions that intrinsics leave behind; nothing calls them, and a call is an unknown instruction.
    private static void SkipFunction(PtxSource source)
    {
        source.Until('{', ';');
        if (source.Peek == ';') source.Expect(';');
        else source.SkipBlock();
    }
}

/// <summary>A declared variable in shared memory.</summary>
/// <param name="Name">Symbol.</param>
/// <param name="Bytes">Size; 0: whatever the launch gives.</param>
/// <param name="Alignment">Alignment in bytes.</param>
internal sealed record PtxVariable(string Name, int Bytes, int Alignment)
{
    /// <summary>Reads what follows the state space: <c>.align 16 .b8 name[49152]</c>.</summary>
    public static PtxVariable Parse(PtxStatement statement)
    {
        PtxType type = PtxType.None;
        int alignment = 0;
        string[] words = statement.Text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        for (int i = 0; i < words.Length - 1; i++)
        {
            if (words[i] == ".align") alignment = int.Parse(words[++i], CultureInfo.InvariantCulture);
            else if (PtxTypes.Parse(words[i][1..]) is var known && known != PtxType.None) type = known;
        }
        string name = words[^1];
        int bracket = name.IndexOf('[', StringComparison.Ordinal);
        int count = 1;
        if (bracket >= 0)
        {
            string length = name[(bracket + 1)..^1];
            count = length.Length == 0 ? 0 : int.Parse(length, CultureInfo.InvariantCulture);
            name = name[..bracket];
        }
        if (type == PtxType.None) throw new PtxFault($"PTX line {statement.Line}: variable without a type: {statement.Text}");
        return new PtxVariable(name, count * type.Size(), alignment == 0 ? type.Size() : alignment);
    }
}
