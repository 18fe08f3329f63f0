using System.Globalization;

namespace Patching.Tests.Ptx;

/// <content>Loads, stores and atomic operations.</content>
internal sealed partial class PtxDecoder
{
    private static readonly string[] s_strong = ["volatile", "relaxed", "acquire", "release", "acq_rel"];

    private Operation DecodeLoad()
    {
        Expect(2);
        if (_parts[1] == "param") return LoadParameter();
        Register[] values = [.. Vector(_operands[0]).Select(text => Write(text, LastType(), wider: true))];
        return Access(values, _operands[1], load: true);
    }

    private MemoryAccess DecodeStore()
    {
        Expect(2);
        Register[] values = [.. Vector(_operands[1]).Select(text => Read(text, LastType(), wider: true))];
        MemoryAccess access = Access(values, _operands[0], load: false);
        SmallestStore(LastType().Size());
        return access;
    }

    private MemoryAccess Access(Register[] values, string address, bool load)
    {
        int expected = Has("v2") ? 2 : Has("v4") ? 4 : 1;
        if (values.Length != expected) throw Fault($"{expected} values expected");
        if (expected * LastType().Size() > 16) throw Fault("an access of more than 16 bytes");
        (Register register, long offset) = Address(address, out MemorySpace space);
        return new MemoryAccess(register, offset, values, LastType())
        {
            Space = space,
            Load = load,
            Strong = s_strong.Any(Has),
        };
    }

    private MemorySpace Space()
    {
        if (Has("global")) return MemorySpace.Global;
        if (_parts.Any(part => part is "shared" or "shared::cta" or "shared::cluster")) return MemorySpace.Shared;
        return Has("local") || Has("const") || Has("param") ? throw Unsupported() : MemorySpace.Generic;
    }

    private (Register Register, long Offset) Address(string text, out MemorySpace space)
    {
        space = Space();
        return Address(text, space);
    }

    /// <summary>An address <c>[register + offset]</c>; of shared memory also by symbol, in 32 or 64 bits.</summary>
    private (Register Register, long Offset) Address(string text, MemorySpace space)
    {
        if (text[0] != '[' || text[^1] != ']') throw Fault($"{text} is not an address");
        string inner = text[1..^1].Replace(" ", "", StringComparison.Ordinal);
        int plus = inner.IndexOfAny(['+', '-'], 1);
        string name = plus < 0 ? inner : inner[..plus];
        long offset = plus < 0 ? 0 : long.Parse(inner.AsSpan(inner[plus] == '+' ? plus + 1 : plus).Trim('+'), CultureInfo.InvariantCulture);
        if (sharedAddresses.TryGetValue(name, out int symbol)) return (Registers.Constant((ulong)symbol, PtxType.B32), offset);
        if (char.IsAsciiDigit(name[0])) return (Registers.Constant(Integer(name), space == MemorySpace.Shared ? PtxType.B32 : PtxType.B64), offset);
        Register register = _scope.Find(name, Registers) ?? throw Fault($"register {name} is not declared");
        bool fits = !register.Type.IsFloat() && (register.Type.Size() == 8 || (register.Type.Size() == 4 && space == MemorySpace.Shared));
        if (!fits) throw Fault($"register {name} is {Print(register.Type)}, an address is wanted");
        _reads.Add(register);
        return (register, offset);
    }

    private ParameterLoad LoadParameter()
    {
        PtxType type = LastType();
        Register[] values = [.. Vector(_operands[0]).Select(text => Write(text, type, wider: true))];
        string inner = _operands[1].Trim('[', ']').Replace(" ", "", StringComparison.Ordinal);
        int plus = inner.IndexOf('+', StringComparison.Ordinal);
        string name = plus < 0 ? inner : inner[..plus];
        int offset = plus < 0 ? 0 : int.Parse(inner.AsSpan(plus + 1), CultureInfo.InvariantCulture);
        if (!parameters.TryGetValue(name, out PtxParameter? parameter)) throw Fault($"parameter {name} is not declared");
        int bytes = type.Size() * values.Length;
        if (offset + bytes > parameter.Bytes) throw Fault($"{bytes} bytes at {offset} of a parameter of {parameter.Bytes} bytes");
        if ((parameter.Offset + offset) % bytes != 0) throw Fault($"parameter {name} at {offset} is not aligned to {bytes} bytes");
        return new ParameterLoad(values, type, parameter.Offset + offset);
    }

    private Atomic DecodeAtomic()
    {
        bool returns = _parts[0] == "atom";
        PtxType type = LastType();
        int first = returns ? 1 : 0;
        (Register address, long offset) = Address(_operands[first], out MemorySpace space);
        Register value = Read(first + 1, type);
        Register? swap = Has("cas") ? Read(first + 2, type) : null;
        Register? result = returns ? Write(0, type) : null;
        string name = _parts.FirstOrDefault(part => part is "add" or "min" or "max" or "and" or "or" or "xor" or "exch" or "cas" or "inc" or "dec") ?? throw Unsupported();
        SmallestStore(type.Size());
        return new Atomic(address, offset, value, swap, result, type, name) { Space = space };
    }
}
