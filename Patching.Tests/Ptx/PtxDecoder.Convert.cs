using static Patching.Tests.Ptx.Functions;

namespace Patching.Tests.Ptx;

/// <content>Moves and conversions.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeMove()
    {
        Expect(2);
        PtxType type = LastType();
        if (type == PtxType.Pred)
        {
            Register source = Read(1, PtxType.Pred);
            return new PredicateLogic(Write(0, PtxType.Pred), source, source, (x, _) => x);
        }
        if (_operands[0][0] == '{') return Unpack(type);
        if (_operands[1][0] == '{') return Pack(type);
        Register a = Read(1, type);
        Register r = Write(0, type);
        return type.Size() switch
        {
            1 => new Map1<byte, byte, Copy<byte>>(r, a),
            2 => new Map1<ushort, ushort, Copy<ushort>>(r, a),
            4 => new Map1<uint, uint, Copy<uint>>(r, a),
            8 => new Map1<ulong, ulong, Copy<ulong>>(r, a),
            _ => throw Unsupported(),
        };
    }

    private Packing Pack(PtxType type)
    {
        List<string> parts = Vector(_operands[1]);
        PtxType part = PartType(type, parts.Count);
        Register[] sources = [.. parts.Select(text => Read(text, part))];
        return new Packing(Write(0, type), sources, pack: true, part.Size());
    }

    private Packing Unpack(PtxType type)
    {
        List<string> parts = Vector(_operands[0]);
        PtxType part = PartType(type, parts.Count);
        Register source = Read(1, type);
        return new Packing(source, [.. parts.Select(text => Write(text, part))], pack: false, part.Size());
    }

    private PtxType PartType(PtxType whole, int parts) => (whole.Size() / parts) switch
    {
        1 => PtxType.B8,
        2 => PtxType.B16,
        4 => PtxType.B32,
        _ => throw Unsupported(),
    };

    private Operation DecodeAddressConversion()
    {
        Expect(2);
        bool to = _parts[1] == "to";
        string space = _parts[to ? 2 : 1];
        PtxType type = LastType();
        Register a = Read(1, type);
        Register r = Write(0, type);
        ulong window = space switch
        {
            "global" => 0,
            "shared" or "shared::cta" or "shared::cluster" => GenericSpace.Shared,
            "param" => GenericSpace.Parameters,
            _ => throw Unsupported(),
        };
        if (type.Size() != 8) throw Fault("generic addresses have 64 bits");
        // An address in no window stays as it is; a load through it then faults with the address it had.
        return new MapBits(r, 8, a, 8, to ? address => address - window : address => address + window, InstructionClass.Alu);
    }

    private Operation DecodeConvert()
    {
        PtxType[] types = [.. _parts.Skip(1).Select(PtxTypes.Parse).Where(type => type != PtxType.None)];
        if (types.Length != 2) throw Unsupported();
        Allow("rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "rna", "ftz", "sat", "relu");
        (PtxType to, PtxType from) = (types[0], types[1]);
        if (to is PtxType.BF16X2 or PtxType.F16X2) return ConvertPair(to, from);
        Expect(2);
        Register a = Read(1, from, wider: true);
        Register r = Write(0, to, wider: true);
        Func<ulong, ulong> convert = Converter(to, from);
        // A wider register is read in part, and filled with the sign or zero.
        int size = from.Size();
        ulong mask = size == 8 ? ulong.MaxValue : (1UL << (8 * size)) - 1;
        bool extend = to.IsSigned() && r.Type.Size() > to.Size();
        return new MapBits(r, r.Type.Size(), a, a.Type.Size(), bits =>
        {
            ulong result = convert(bits & mask);
            return extend ? (ulong)(long)Numbers.ToInteger(result, to) : result;
        }, InstructionClass.Convert);
    }

    private MapBits2 ConvertPair(PtxType to, PtxType from)
    {
        Expect(3);
        if (from != PtxType.F32) throw Unsupported();
        Register high = Read(1, from), low = Read(2, from);
        Register r = Write(0, to);
        bool half = to == PtxType.F16X2, relu = Has("relu"), truncate = Has("rz");
        if (!truncate && !Has("rn")) throw Fault("rounding missing");
        return new MapBits2(r, low, high, 4, (x, y) => Round(x) | (Round(y) << 16));

        ulong Round(ulong bits)
        {
            float value = BitConverter.UInt32BitsToSingle((uint)bits);
            if (relu && value < 0) value = 0;
            if (half) return BitConverter.HalfToUInt16Bits((Half)value);
            return truncate ? Numbers.TruncateToBFloat(value) : Numbers.ToBFloat(value);
        }
    }

    private Func<ulong, ulong> Converter(PtxType to, PtxType from)
    {
        bool fromFloat = from.IsFloat(), toFloat = to.IsFloat() || to == PtxType.TF32;
        if (!fromFloat && !toFloat) return IntegerToInteger(to, from);
        if (!fromFloat) return IntegerToFloat(to, from);
        return toFloat ? FloatToFloat(to, from) : FloatToInteger(to, from);
    }

    private Func<ulong, ulong> IntegerToInteger(PtxType to, PtxType from)
    {
        if (!Has("sat")) return bits => (ulong)(Numbers.ToInteger(bits, from) & ulong.MaxValue);
        (Int128 least, Int128 greatest) = Numbers.Range(to);
        return bits => (ulong)(Int128.Clamp(Numbers.ToInteger(bits, from), least, greatest) & ulong.MaxValue);
    }

    private Func<ulong, ulong> IntegerToFloat(PtxType to, PtxType from)
    {
        if (!Has("rn") || Has("sat")) throw Fault("only rounding to nearest (.rn) is supported from integers");
        // Rounded once: .NET converts from 64-bit integers correctly.
        bool signed = from.IsSigned();
        return to switch
        {
            PtxType.F32 => bits => BitConverter.SingleToUInt32Bits(signed ? (float)(long)Numbers.ToInteger(bits, from) : bits),
            PtxType.F64 => bits => BitConverter.DoubleToUInt64Bits(signed ? (double)(long)Numbers.ToInteger(bits, from) : bits),
            PtxType.F16 => bits => BitConverter.HalfToUInt16Bits(signed ? (Half)(long)Numbers.ToInteger(bits, from) : (Half)bits),
            _ => throw Unsupported(),
        };
    }

    private Func<ulong, ulong> FloatToInteger(PtxType to, PtxType from)
    {
        Func<double, double> round = IntegralRounding() ?? throw Fault("conversion to an integer needs .rni, .rzi, .rmi or .rpi");
        (Int128 least, Int128 greatest) = Numbers.Range(to);
        return bits =>
        {
            // NaN becomes zero for 32 bits and fewer, the sign bit for 64.
            double value = Numbers.ToDouble(bits, from);
            if (double.IsNaN(value)) return to.Size() == 8 ? 1UL << 63 : 0;
            value = round(value);
            Int128 clamped = value <= (double)least ? least : value >= (double)greatest ? greatest : (Int128)value;
            return (ulong)(clamped & ulong.MaxValue);
        };
    }

    private Func<ulong, ulong> FloatToFloat(PtxType to, PtxType from)
    {
        Func<double, double>? integral = IntegralRounding();
        bool saturate = Has("sat"), relu = Has("relu"), flush = Has("ftz"), truncate = Has("rz");
        bool narrows = to.Size() < from.Size() || to == PtxType.TF32;
        if (narrows && !Has("rn") && !truncate && !Has("rna")) throw Fault("rounding missing");
        if (truncate && to != PtxType.BF16) throw Unsupported();
        return bits =>
        {
            double value = Numbers.ToDouble(bits, from);
            if (flush && from == PtxType.F32) value = Flush((float)value);
            if (integral != null) value = integral(value);
            if (saturate) value = double.IsNaN(value) ? 0 : Math.Clamp(value, 0, 1);
            if (relu && value < 0) value = 0;
            return to switch
            {
                PtxType.F64 => BitConverter.DoubleToUInt64Bits(value),
                PtxType.F32 => BitConverter.SingleToUInt32Bits(flush ? Flush((float)value) : (float)value),
                PtxType.TF32 => Numbers.ToTensorFloat((float)value),
                PtxType.F16 => BitConverter.HalfToUInt16Bits((Half)value),
                _ => truncate ? Numbers.TruncateToBFloat((float)value) : Numbers.ToBFloat((float)value),
            };
        };
    }

    private Func<double, double>? IntegralRounding()
    {
        if (Has("rni")) return value => Math.Round(value, MidpointRounding.ToEven);
        if (Has("rzi")) return Math.Truncate;
        if (Has("rmi")) return Math.Floor;
        return Has("rpi") ? Math.Ceiling : null;
    }
}
