namespace Patching.Tests.Ptx;

/// <content>Instructions by which the lanes of a warp exchange values.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeWarp()
    {
        switch (_parts[0])
        {
            case "activemask":
                Expect(1);
                return new Vote(VoteKind.Active, Write(0, PtxType.B32), null, 0, null);
            case "elect":
                Expect(2);
                string[] results = _operands[0].Split('|');
                Register? leader = results[0] == "_" ? null : Write(results[0], PtxType.B32);
                return new Elect(leader, Write(results[1], PtxType.Pred), Read(1, PtxType.B32));
            case "match":
                return DecodeMatch();
            case "vote":
                return DecodeVote();
            default:
                return DecodeShuffle();
        }
    }

    private Shuffle DecodeShuffle()
    {
        if (_parts[1] != "sync") throw Fault("shuffles without .sync are gone since sm_70");
        Expect(5);
        ShuffleMode mode = _parts[2] switch
        {
            "up" => ShuffleMode.Up,
            "down" => ShuffleMode.Down,
            "bfly" => ShuffleMode.Butterfly,
            "idx" => ShuffleMode.Index,
            _ => throw Unsupported(),
        };
        string[] results = _operands[0].Split('|');
        Register a = Read(1, PtxType.B32), b = Read(2, PtxType.U32), c = Read(3, PtxType.U32), members = Read(4, PtxType.B32);
        Register? valid = results.Length > 1 && results[1] != "_" ? Write(results[1], PtxType.Pred) : null;
        return new Shuffle(mode, Write(results[0], PtxType.B32), valid, a, b, c, members);
    }

    private Vote DecodeVote()
    {
        if (_parts[1] != "sync") throw Fault("votes without .sync are gone since sm_70");
        Expect(3);
        VoteKind kind = _parts[2] switch
        {
            "all" => VoteKind.All,
            "any" => VoteKind.Any,
            "uni" => VoteKind.Uniform,
            "ballot" => VoteKind.Ballot,
            _ => throw Unsupported(),
        };
        bool negated = _operands[1][0] == '!';
        Register p = Read(_operands[1].TrimStart('!'), PtxType.Pred), members = Read(2, PtxType.B32);
        return new Vote(kind, Write(0, kind == VoteKind.Ballot ? PtxType.B32 : PtxType.Pred), p, negated ? uint.MaxValue : 0, members);
    }

    private MatchLanes DecodeMatch()
    {
        if (_parts[1] != "any") throw Unsupported();
        Expect(3);
        PtxType type = LastType();
        Register a = Read(1, type), members = Read(2, PtxType.B32);
        return new MatchLanes(Write(0, PtxType.B32), a, type.Size(), members);
    }
}
