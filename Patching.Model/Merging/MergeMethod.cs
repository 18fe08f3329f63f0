using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Merging;

/// <summary>
/// A way to make one model of several, parameter by parameter, so that a few tensors are in memory whatever the size of the models. Arithmetic is in double precision and
/// every result is rounded once. A parameter that has the same bits in all models keeps them under every method and is never given to it.
/// </summary>
public abstract class MergeMethod
{
    /// <summary>Elements that are computed in one go. Random numbers and partial sums are cut by it too, so results do not depend on the number of threads.</summary>
    internal const int PieceLength = 1 << 14;

    /// <summary>The method and its numbers, recorded in the model that is written.</summary>
    public abstract string Description { get; }

    /// <summary>Looks at all models before the first parameter is merged; most methods need not.</summary>
    /// <param name="table">The parameters.</param>
    /// <param name="inputs">The models, in the order in which <see cref="Merge"/> gets them.</param>
    public virtual void Prepare(ImmutableArray<ParameterSpec> table, IReadOnlyList<MergeInput> inputs)
    {
    }

    /// <summary>Merges one parameter.</summary>
    /// <param name="spec">The parameter, of length n.</param>
    /// <param name="inputs">Its values in each model: the first n elements of each array.</param>
    /// <param name="result">Its first n elements are written.</param>
    public abstract void Merge(ParameterSpec spec, float[][] inputs, float[] result);

    /// <summary>Calls <paramref name="work"/> for [first, end) of every piece of [0, length) on all cores; pieces begin at multiples of <see cref="PieceLength"/>.</summary>
    private protected static void ForPieces(int length, Action<int, int> work) => Parallel.For(
        0, (length + PieceLength - 1) / PieceLength, piece => work(piece * PieceLength, Math.Min(length, (piece + 1) * PieceLength)));
}
