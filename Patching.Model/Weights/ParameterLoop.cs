using System.Collections.Immutable;
using System.Runtime.ExceptionServices;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>Work on every parameter of a model that does not depend on the others: reading, checking.</summary>
internal static class ParameterLoop
{
    /// <summary>Does it on all cores.</summary>
    /// <exception cref="Exception">What the work on a parameter threw; of several the one that comes first in the table, whichever was
    /// first in time.</exception>
    public static void Run(ImmutableArray<ParameterSpec> table, Action<ParameterSpec> work)
    {
        var failures = new Exception?[table.Length];
        Parallel.For(0, table.Length, i =>
        {
            try
            {
                work(table[i]);
            }
            catch (Exception error)
            {
                failures[i] = error;
            }
        });
        if (failures.FirstOrDefault(failure => failure is not null) is { } first) ExceptionDispatchInfo.Throw(first);
    }
}
