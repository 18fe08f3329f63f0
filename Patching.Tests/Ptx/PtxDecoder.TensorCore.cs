namespace Patching.Tests.Ptx;

/// <content>Matrix instructions of a warp.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeTensorCore() => _parts[0] switch
    {
        "ldmatrix" => DecodeLoadMatrix(),
        "stmatrix" => DecodeStoreMatrix(),
        _ => DecodeMma(),
    };

    private MatrixAccess DecodeLoadMatrix()
    {
        Expect(2);
        Register[] results = [.. Vector(_operands[0]).Select(text => Write(text, PtxType.B32))];
        return MatrixAccess(results, _operands[1], load: true);
    }

    private MatrixAccess DecodeStoreMatrix()
    {
        Expect(2);
        Register[] values = [.. Vector(_operands[1]).Select(text => Read(text, PtxType.B32))];
        return MatrixAccess(values, _operands[0], load: false);
    }

    private MatrixAccess MatrixAccess(Register[] registers, string address, bool load)
    {
        Allow("sync", "aligned", "m8n8", "x1", "x2", "x4", "trans", "shared", "shared::cta");
        int count = Has("x4") ? 4 : Has("x2") ? 2 : Has("x1") ? 1 : throw Unsupported();
        if (!Has("sync") || !Has("aligned") || !Has("m8n8") || LastType() != PtxType.B16 || registers.Length != count) throw Unsupported();
        (Register register, long offset) = Address(address, Space());
        return new MatrixAccess(register, offset, registers, Has("trans"), load);
    }

    private Mma DecodeMma()
    {
        if (!Has("sync") || !Has("aligned") || !Has("row") || !Has("col")) throw Unsupported();
        Expect(4);
        PtxType[] types = [.. _parts.Skip(1).Select(PtxTypes.Parse).Where(type => type != PtxType.None)];
        if (types is not [PtxType.F32, PtxType.BF16 or PtxType.F16 or PtxType.TF32, _, PtxType.F32] || types[1] != types[2]) throw Unsupported();
        PtxType element = types[1];
        int k = (_parts.FirstOrDefault(part => part.StartsWith("m16n8k", StringComparison.Ordinal)), element) switch
        {
            ("m16n8k16", PtxType.BF16 or PtxType.F16) => 16,
            ("m16n8k8", _) => 8,
            ("m16n8k4", PtxType.TF32) => 4,
            _ => throw Unsupported(),
        };
        Register[] a = Fragment(1, k * 16 / 32 * element.Size() / 4, PtxType.B32, write: false);
        Register[] b = Fragment(2, k * 8 / 32 * element.Size() / 4, PtxType.B32, write: false);
        Register[] c = Fragment(3, 4, PtxType.F32, write: false);
        return new Mma(Fragment(0, 4, PtxType.F32, write: true), a, b, c, k, element);
    }

    private Register[] Fragment(int operand, int count, PtxType type, bool write)
    {
        List<string> parts = Vector(_operands[operand]);
        if (parts.Count != count) throw Fault($"operand {operand} has {parts.Count} registers, {count} expected");
        if (type.Size() != 4) throw Unsupported();
        return [.. parts.Select(text => write ? Write(text, type) : Read(text, type))];
    }
}
