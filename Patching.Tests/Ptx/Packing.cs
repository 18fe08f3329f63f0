using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary><c>mov</c> between a register and its parts, the lowest first.</summary>
internal sealed unsafe class Packing(Register whole, Register[] parts, bool pack, int size) : Operation
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        byte* storage = warp.Storage;
        int wholeSize = size * parts.Length;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            if (pack)
            {
                ulong bits = 0;
                for (int i = 0; i < parts.Length; i++) bits |= Lanes.Read(storage + parts[i].Offset, lane, size) << (8 * size * i);
                Lanes.Write(storage + whole.Offset, lane, wholeSize, bits);
            }
            else
            {
                ulong bits = Lanes.Read(storage + whole.Offset, lane, wholeSize);
                for (int i = 0; i < parts.Length; i++) Lanes.Write(storage + parts[i].Offset, lane, size, bits >> (8 * size * i));
            }
        }
    }
}
