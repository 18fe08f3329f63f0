using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The geometry of kernels over flat memory: neighbouring threads take neighbouring pieces (four or eight elements, what one access moves), a thread's next piece is a
/// group's width further on, and the few elements that make up no piece (or all, where a tensor starts at an odd address) are taken one by one. There are as many
/// groups as the memory needs; indices are 32 bits wide, as the shapes of tensors are.
/// </summary>
internal static class FlatLaunch
{
    /// <summary>How many pieces of so many elements one access each can move.</summary>
    public static int Pieces(long count, int pieceLength, bool isAligned) => isAligned ? checked((int)(count / pieceLength)) : 0;

    /// <summary>As many groups as it takes for each to move so many elements.</summary>
    public static KernelConfig Groups(long count, int elementsPerGroup, int threads) =>
        new(checked((int)Math.Max(1, (count + elementsPerGroup - 1) / elementsPerGroup)), threads);

    /// <summary>The first of this thread's pieces; each next one is a group's width further on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int FirstPiece(int piecesPerThread) => Grid.IdxX * (Group.DimX * piecesPerThread) + Group.IdxX;

    /// <summary>The first of this thread's elements behind those in pieces; each next one is <see cref="AllThreads"/> further on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int FirstLoose(int inPieces) => inPieces + Grid.IdxX * Group.DimX + Group.IdxX;

    /// <summary>Threads of the launch.</summary>
    public static int AllThreads => Grid.DimX * Group.DimX;
}
