namespace Patching.Tests.Ptx;

/// <content>Asynchronous copies.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeCopy()
    {
        if (Has("bulk")) return DecodeBulkCopy();
        if (_parts.Length < 2 || _parts[1] != "async") throw Unsupported();
        if (Has("mbarrier")) return DecodeCopyArrival();
        if (Has("commit_group"))
        {
            Expect(0);
            return new CommitCopies();
        }
        if (Has("wait_all"))
        {
            Expect(0);
            return new WaitForCopies(0, all: true);
        }
        if (Has("wait_group"))
        {
            Expect(1);
            return new WaitForCopies((int)Integer(_operands[0]), all: false);
        }
        bool level2 = Has("cg");
        if (level2 == Has("ca")) throw Fault(".ca or .cg expected");
        (Register destination, long destinationOffset) = Address(_operands[0], MemorySpace.Shared);
        (Register source, long sourceOffset) = Address(_operands[1], MemorySpace.Global);
        int bytes = (int)Integer(_operands[2]);
        if (bytes is not (4 or 8 or 16) || (level2 && bytes != 16)) throw Fault($"copies of {bytes} bytes do not exist");
        Register? kept = _operands.Count > 3 ? Read(3, PtxType.U32) : null;
        return new CopyAsync(destination, destinationOffset, source, sourceOffset, bytes, kept);
    }
}
