using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The geometry of kernels over flat memory: neighbouring threads take neighbouring fours of elements, a thread's next four is a group's width further on, and the
/// few elements that make up no aligned four (or all, where a tensor starts at an odd address) are taken one by one. There are as many groups as the memory needs;
/// indices are 32 bits wide, as the shapes of tensors are.
/// </summary>
internal static class FlatLaunch
{
    /// <summary>How many fours one access each can move.</summary>
    public static int Fours(long count, bool isAligned) => isAligned ? checked((int)(count / 4)) : 0;

    /// <summary>As many groups as it takes for each to move so many fours.</summary>
    public static KernelConfig Groups(long count, int foursPerGroup, int threads) =>
        new(checked((int)Math.Max(1, (count + 4L * foursPerGroup - 1) / (4L * foursPerGroup))), threads);

    /// <summary>The first of this thread's fours; each next one is a group's width further on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int FirstFour(int foursPerThread) => Grid.IdxX * (Group.DimX * foursPerThread) + Group.IdxX;

    /// <summary>The first of this thread's elements among those outside the fours; each next one is <see cref="AllThreads"/> further on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int FirstLoose(int fours) => fours * 4 + Grid.IdxX * Group.DimX + Group.IdxX;

    /// <summary>Threads of the launch.</summary>
    public static int AllThreads => Grid.DimX * Group.DimX;
}
