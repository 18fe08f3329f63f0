using System.Globalization;

namespace Patching.Tests.Ptx;

/// <summary>
/// Turns statements into operations: finds registers and constants, checks that their types fit, and picks the loop over lanes. One
/// decoder for each kernel.
/// </summary>
internal sealed partial class PtxDecoder(string kernel, Dictionary<string, PtxParameter> parameters, Dictionary<string, int> sharedAddresses)
{
    private readonly List<Register> _reads = [];
    private readonly List<Register> _writes = [];
    private PtxStatement _statement = PtxStatement.End;
    private PtxScope _scope = new(null);
    private string[] _parts = [];
    private List<string> _operands = [];

    /// <summary>Layout of a warp's storage.</summary>
    public RegisterFile Registers { get; } = new();

    /// <summary>Bytes of the smallest store.</summary>
    public int Granule { get; private set; } = 4;

    /// <summary>Decodes a kernel's body; branches are resolved and know where their paths meet again.</summary>
    public Operation[] Decode(List<(PtxStatement Statement, PtxScope Scope)> statements)
    {
        List<Operation> code = [];
        foreach ((PtxStatement statement, PtxScope scope) in statements)
        {
            _statement = statement;
            _scope = scope;
            _reads.Clear();
            _writes.Clear();
            code.Add(DecodeStatement(code.Count));
        }
        code.Add(new Exit { Index = code.Count });
        Operation[] result = [.. code];
        ControlFlow.FindReconvergence(result);
        return result;
    }

    private Operation DecodeStatement(int index)
    {
        string text = _statement.Text;
        Register? guard = null;
        bool negated = false;
        if (text[0] == '@')
        {
            int end = text.IndexOf(' ', StringComparison.Ordinal);
            string name = text[1..end];
            negated = name[0] == '!';
            guard = Find(negated ? name[1..] : name, PtxType.Pred);
            text = text[(end + 1)..];
        }
        int blank = text.IndexOf(' ', StringComparison.Ordinal);
        _parts = (blank < 0 ? text : text[..blank]).Split('.');
        _operands = blank < 0 ? [] : PtxSource.Split(text[(blank + 1)..]);
        Operation operation = DecodeInstruction();
        operation.Source = _statement;
        operation.Index = index;
        operation.Guard = guard;
        operation.GuardOffset = guard?.Offset ?? -1;
        operation.GuardFlip = negated ? uint.MaxValue : 0;
        operation.Reads = [.. _reads.Where(register => register.Index >= 0).Distinct()];
        operation.Writes = [.. _writes.Distinct()];
        return operation;
    }

    private Operation DecodeInstruction() => _parts[0] switch
    {
        "mov" => DecodeMove(),
        "cvt" => DecodeConvert(),
        "cvta" => DecodeAddressConversion(),
        "ld" or "ldu" => DecodeLoad(),
        "st" => DecodeStore(),
        "atom" or "red" => DecodeAtomic(),
        "setp" => DecodeCompare(),
        "selp" => DecodeSelect(),
        "bra" or "brx" or "ret" or "exit" or "trap" => DecodeControl(),
        "bar" or "barrier" or "membar" or "fence" => DecodeBarrier(),
        "shfl" or "vote" or "match" or "activemask" or "elect" => DecodeWarp(),
        "cp" => DecodeCopy(),
        "ldmatrix" or "stmatrix" or "mma" => DecodeTensorCore(),
        "wgmma" or "mbarrier" or "setmaxnreg" or "griddepcontrol" or "prefetch" or "nanosleep" => DecodeHopper(),
        _ => DecodeArithmetic(),
    };

    private PtxFault Fault(string what) => new($"{kernel}: PTX line {_statement.Line}: {what}: `{_statement.Text}`");

    private PtxFault Unsupported() => Fault("instruction or variant not supported");

    private bool Has(string modifier) => Array.IndexOf(_parts, modifier, 1) >= 0;

    /// <summary>The last type among the modifiers.</summary>
    private PtxType LastType()
    {
        for (int i = _parts.Length - 1; i > 0; i--)
        {
            if (PtxTypes.Parse(_parts[i]) is var type && type != PtxType.None) return type;
        }
        throw Fault("type missing");
    }

    private void Expect(int operands)
    {
        if (_operands.Count != operands) throw Fault($"{operands} operands expected");
    }

    /// <summary>Modifiers that an instruction knows; any other is refused rather than ignored.</summary>
    private void Allow(params ReadOnlySpan<string> modifiers)
    {
        foreach (string part in _parts.AsSpan(1))
        {
            if (!modifiers.Contains(part) && PtxTypes.Parse(part) == PtxType.None) throw Fault($"modifier .{part} not supported");
        }
    }

    private Register Find(string name, PtxType type, bool wider = false)
    {
        if (Special(name) is { } special)
        {
            if (!type.Accepts(special.Type) && !wider) throw Fault($"{name} is {Print(special.Type)}, the instruction wants {Print(type)}");
            return special;
        }
        Register register = _scope.Find(name, Registers) ?? throw Fault($"register {name} is not declared");
        bool fits = type.Accepts(register.Type)
            || (wider && register.Type.Size() > type.Size() && type != PtxType.Pred && (!type.IsFloat() || register.Type.IsBits()));
        if (!fits) throw Fault($"register {name} is {Print(register.Type)}, the instruction wants {Print(type)}");
        return register;
    }

    private static string Print(PtxType type) => "." + type.ToString().ToLowerInvariant();

    private Register? Special(string name) => name switch
    {
        "%tid.x" or "%tid.y" or "%tid.z" or "%ntid.x" or "%ntid.y" or "%ntid.z" or "%ctaid.x" or "%ctaid.y" or "%ctaid.z" or "%nctaid.x" or "%nctaid.y"
            or "%nctaid.z" or "%laneid" or "%warpid" or "%nwarpid" or "%lanemask_eq" or "%lanemask_lt" or "%lanemask_le" or "%lanemask_gt" or "%lanemask_ge"
            or "%dynamic_smem_size" or "%total_smem_size" or "WARP_SZ" => Registers.Special(name, PtxType.U32),
        _ => null,
    };

    /// <summary>An operand that is read: register, constant, special register, or the address of a variable in shared memory or of a parameter.</summary>
    private Register Read(int operand, PtxType type, bool wider = false) => Read(_operands[operand], type, wider);

    private Register Read(string text, PtxType type, bool wider = false)
    {
        if (Constant(text, type) is { } constant) return constant;
        Register register = Find(text, type, wider);
        _reads.Add(register);
        return register;
    }

    private Register Write(int operand, PtxType type, bool wider = false) => Write(_operands[operand], type, wider);

    private Register Write(string text, PtxType type, bool wider = false)
    {
        // The bit bucket: a register that nothing reads.
        if (text == "_") return Registers.Add("_", type);
        Register register = Find(text, type, wider);
        if (register.Index < 0) throw Fault($"{text} cannot be written");
        _writes.Add(register);
        return register;
    }

    private Register? Constant(string text, PtxType type)
    {
        if (sharedAddresses.TryGetValue(text, out int address) && type.Size() >= 4) return Registers.Constant((ulong)address, type);
        if (parameters.TryGetValue(text, out PtxParameter? parameter) && type.Size() == 8) return Registers.Constant((ulong)parameter.Offset, type);
        if (!char.IsAsciiDigit(text[0]) && text[0] != '-') return null;
        return Registers.Constant(Literal(text, type), type);
    }

    /// <summary>The bits of a literal as a number of a type.</summary>
    private ulong Literal(string text, PtxType type)
    {
        if (text.StartsWith("0f", StringComparison.OrdinalIgnoreCase) && type.Size() == 4)
            return uint.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        if (text.StartsWith("0d", StringComparison.OrdinalIgnoreCase) && type.Size() == 8)
            return ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        if (type == PtxType.Pred || (type.IsFloat() && type.Size() < 4)) throw Fault($"constant {text} where {Print(type)} is wanted");
        if (type.IsFloat() || text.Contains('.', StringComparison.Ordinal))
        {
            if (!text.Contains('.', StringComparison.Ordinal)) throw Fault($"integer constant {text} where {Print(type)} is wanted");
            double value = double.Parse(text, CultureInfo.InvariantCulture);
            return type.Size() == 8 ? BitConverter.DoubleToUInt64Bits(value) : BitConverter.SingleToUInt32Bits((float)value);
        }
        return Integer(text);
    }

    private ulong Integer(string text)
    {
        bool negative = text[0] == '-';
        ReadOnlySpan<char> digits = text.AsSpan(negative ? 1 : 0).TrimEnd('U');
        bool hexadecimal = digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        if (!ulong.TryParse(hexadecimal ? digits[2..] : digits, hexadecimal ? NumberStyles.HexNumber : NumberStyles.None, CultureInfo.InvariantCulture, out ulong value))
            throw Fault($"constant {text} is not understood");
        return negative ? unchecked(0 - value) : value;
    }

    /// <summary>The parts of a vector operand <c>{a, b}</c>; anything else is one part.</summary>
    private static List<string> Vector(string text) => text[0] == '{' ? PtxSource.Split(text[1..^1]) : [text];

    private void SmallestStore(int bytes) => Granule = Math.Min(Granule, bytes);
}
