namespace Patching.Tests.Ptx;

/// <content>Instructions of sm_90a.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeHopper() => throw Unsupported();

    private Operation DecodeBulkCopy() => throw Unsupported();

    private Operation DecodeCopyArrival() => throw Unsupported();
}
