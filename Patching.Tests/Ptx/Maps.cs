using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>A function of one operand, applied lane by lane. Static, so that the loop over lanes is compiled for each function.</summary>
internal interface IUnary<TA, TR>
{
    /// <summary>The function.</summary>
    static abstract TR Apply(TA a);
}

/// <summary>A function of two operands.</summary>
internal interface IBinary<TA, TB, TR>
{
    /// <summary>The function.</summary>
    static abstract TR Apply(TA a, TB b);
}

/// <summary>A function of three operands.</summary>
internal interface ITernary<TA, TB, TC, TR>
{
    /// <summary>The function.</summary>
    static abstract TR Apply(TA a, TB b, TC c);
}

/// <summary>An instruction that maps one operand.</summary>
internal sealed unsafe class Map1<TA, TR, TF>(Register r, Register a) : Operation
    where TA : unmanaged where TR : unmanaged where TF : IUnary<TA, TR>
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        TA* x = (TA*)(warp.Storage + a.Offset);
        TR* y = (TR*)(warp.Storage + r.Offset);
        if (warp.Active == uint.MaxValue)
        {
            for (int i = 0; i < 32; i++) y[i] = TF.Apply(x[i]);
            return;
        }
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            y[i] = TF.Apply(x[i]);
        }
    }
}

/// <summary>An instruction that maps two operands.</summary>
internal sealed unsafe class Map2<TA, TB, TR, TF>(Register r, Register a, Register b) : Operation
    where TA : unmanaged where TB : unmanaged where TR : unmanaged where TF : IBinary<TA, TB, TR>
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        TA* x = (TA*)(warp.Storage + a.Offset);
        TB* z = (TB*)(warp.Storage + b.Offset);
        TR* y = (TR*)(warp.Storage + r.Offset);
        if (warp.Active == uint.MaxValue)
        {
            for (int i = 0; i < 32; i++) y[i] = TF.Apply(x[i], z[i]);
            return;
        }
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            y[i] = TF.Apply(x[i], z[i]);
        }
    }
}

/// <summary>An instruction that maps three operands.</summary>
internal sealed unsafe class Map3<TA, TB, TC, TR, TF>(Register r, Register a, Register b, Register c) : Operation
    where TA : unmanaged where TB : unmanaged where TC : unmanaged where TR : unmanaged where TF : ITernary<TA, TB, TC, TR>
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        TA* x = (TA*)(warp.Storage + a.Offset);
        TB* z = (TB*)(warp.Storage + b.Offset);
        TC* v = (TC*)(warp.Storage + c.Offset);
        TR* y = (TR*)(warp.Storage + r.Offset);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            y[i] = TF.Apply(x[i], z[i], v[i]);
        }
    }
}

/// <summary>An instruction that maps one operand through bits, for the many conversions that are not worth a type each.</summary>
internal sealed unsafe class MapBits(Register r, int resultSize, Register a, int size, Func<ulong, ulong> function, InstructionClass kind) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => kind;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            Lanes.Write(warp.Storage + r.Offset, i, resultSize, function(Lanes.Read(warp.Storage + a.Offset, i, size)));
        }
    }
}

/// <summary>Two operands through bits.</summary>
internal sealed unsafe class MapBits2(Register r, Register a, Register b, int size, Func<ulong, ulong, ulong> function) : Operation
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int i = BitOperations.TrailingZeroCount(lanes);
            ulong result = function(Lanes.Read(warp.Storage + a.Offset, i, size), Lanes.Read(warp.Storage + b.Offset, i, size));
            Lanes.Write(warp.Storage + r.Offset, i, r.Type.Size(), result);
        }
    }
}

/// <summary>Access to a lane of a register of any size.</summary>
internal static unsafe class Lanes
{
    /// <summary>The lane's bits, zero-extended.</summary>
    public static ulong Read(byte* register, int lane, int size) => size switch
    {
        1 => register[lane],
        2 => ((ushort*)register)[lane],
        4 => ((uint*)register)[lane],
        _ => ((ulong*)register)[lane],
    };

    /// <summary>Replaces the lane's bits.</summary>
    public static void Write(byte* register, int lane, int size, ulong bits)
    {
        switch (size)
        {
            case 1:
                register[lane] = (byte)bits;
                break;
            case 2:
                ((ushort*)register)[lane] = (ushort)bits;
                break;
            case 4:
                ((uint*)register)[lane] = (uint)bits;
                break;
            default:
                ((ulong*)register)[lane] = bits;
                break;
        }
    }
}
