using Patching.Model.Evaluation;
using Patching.Model.Training;

namespace Patching.Model.Pipeline;

/// <summary>What a pipeline tells whoever watches it. All members are optional.</summary>
public sealed class PipelineEvents
{
    /// <summary>A piece of long work moved on: what it is, how much is done, how much there is.</summary>
    public Action<string, long, long>? Progress { get; init; }

    /// <summary>A step of a fine-tune whose numbers were read, and the steps of the whole run.</summary>
    public Action<StepReport, long>? Training { get; init; }

    /// <summary>A step of contrastive training whose numbers were read, and the steps of the whole run.</summary>
    public Action<StepReport, long>? Pretraining { get; init; }

    /// <summary>Scores of one data set are known.</summary>
    public Action<IReadOnlyList<ResultRecord>>? Results { get; init; }

    /// <summary>One line for the user.</summary>
    public Action<string>? Note { get; init; }
}
