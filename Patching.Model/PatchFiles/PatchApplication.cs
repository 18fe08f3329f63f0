using System.Collections.Immutable;
using Patching.Model.Clip;
using Patching.Model.Merging;
using Patching.Model.Weights;

namespace Patching.Model.PatchFiles;

/// <summary>Applies patches to models, takes them back, and makes one of several. Whatever is written has been checked against the hashes that the patches state.</summary>
public static class PatchApplication
{
    /// <summary>Writes the model that a patch makes of its base.</summary>
    /// <param name="zero">The base.</param>
    /// <param name="patch">The patch.</param>
    /// <param name="alpha">How much of it, <c>fl(fl((1 - alpha) theta_0) + fl(alpha theta_1))</c> as <c>interpolate</c> computes it; 1 is all, exactly.</param>
    /// <param name="output">Where to.</param>
    /// <exception cref="InputException">The model is not the patch's base; nothing is left.</exception>
    public static void Apply(ClipCheckpoint zero, PatchFile patch, double alpha, MergeOutput output)
    {
        patch.RequireFits(ParameterTable.All(zero.Config));
        using WeightHash before = new(zero.Config), after = new(zero.Config);
        Write(zero, output, Metadata("applied_patch", patch, alpha, output), (spec, values) =>
        {
            zero.Read(spec, values);
            before.Add(spec, values);
            if (patch.Change(spec) is { } change) ApplyPart(change, alpha, values);
            after.Add(spec, values);
        }, () =>
        {
            string found = before.Finish();
            if (found != patch.Base) throw Refusal(zero, found, patch, patch.Base, "was made for");
            if (alpha == 1 && after.Finish() != patch.Tuned) throw new InputException($"{patch.Path}: does not give the model it states; the patch is damaged");
        });
    }

    /// <summary>Writes the base that a patch was applied to. Bits come back from an exact patch; a lossy one leaves rounding in the last place.</summary>
    /// <param name="one">The patched model.</param>
    /// <param name="patch">The patch.</param>
    /// <param name="output">Where to.</param>
    /// <exception cref="InputException">The model is not what the patch makes of its base; nothing is left.</exception>
    public static void Revert(ClipCheckpoint one, PatchFile patch, MergeOutput output)
    {
        patch.RequireFits(ParameterTable.All(one.Config));
        using WeightHash before = new(one.Config), after = new(one.Config);
        Write(one, output, Metadata("reverted_patch", patch, 1, output), (spec, values) =>
        {
            one.Read(spec, values);
            before.Add(spec, values);
            patch.Change(spec)?.Revert(values);
            after.Add(spec, values);
        }, () =>
        {
            string found = before.Finish();
            if (found != patch.Tuned) throw Refusal(one, found, patch, patch.Tuned, "makes");
            if (patch.Kind == PatchKind.Exact && after.Finish() != patch.Base) throw new InputException($"{patch.Path}: does not give back the base it states; the patch is damaged");
        });
    }

    /// <summary>
    /// Makes one exact patch of several. Patches of the same base are added, <c>theta_0 + sum s_i (theta_i - theta_0)</c>, in an order that does not depend on the one they are given in;
    /// patches each made for what the one before gives are applied one after the other.
    /// </summary>
    /// <param name="zero">The base of the first patch.</param>
    /// <param name="patches">The patches.</param>
    /// <param name="scales">Factor of each, where they are added.</param>
    /// <param name="path">The file to be created.</param>
    /// <param name="metadata">Texts for the header.</param>
    /// <param name="overwrite">Whether an existing file may be replaced.</param>
    /// <exception cref="InputException">The patches do not fit together or to the model.</exception>
    public static PatchSummary Compose(
        ClipCheckpoint zero, IReadOnlyList<PatchFile> patches, IReadOnlyList<double> scales, string path, IReadOnlyDictionary<string, string> metadata, bool overwrite)
    {
        foreach (PatchFile patch in patches) patch.RequireFits(ParameterTable.All(zero.Config));
        string found = WeightHash.Of(zero);
        if (patches[0].Base != found) throw Refusal(zero, found, patches[0], patches[0].Base, "was made for");
        ParameterSource composed;
        if (patches.All(patch => patch.Base == patches[0].Base))
            composed = Sum(zero, patches, scales);
        else
        {
            for (int i = 1; i < patches.Count; i++)
                if (patches[i].Base != patches[i - 1].Tuned)
                    throw new InputException($"{patches[i].Path}: was made neither for the base of {patches[0].Path} nor for what {patches[i - 1].Path} gives; compose patches of one base, or a chain");
            if (scales.Any(scale => scale != 1)) throw new InputException("--scale: patches of a chain cannot be scaled, because each needs exactly what the one before gives");
            composed = (spec, values) =>
            {
                zero.Read(spec, values);
                foreach (PatchFile patch in patches) patch.Change(spec)?.Apply(values);
            };
        }
        return PatchDiff.Write(zero, composed, path, PatchKind.Exact, 0, metadata, overwrite);
    }

    private static ParameterSource Sum(ClipCheckpoint zero, IReadOnlyList<PatchFile> patches, IReadOnlyList<double> scales)
    {
        int[] order = [.. Enumerable.Range(0, patches.Count).OrderBy(i => patches[i].Tuned, StringComparer.Ordinal).ThenBy(i => scales[i])];
        MergeInput[] models =
        [
            new MergeInput(zero.Path, patches[0].Base, zero.Read),
            .. order.Select(i => new MergeInput(patches[i].Path, patches[i].Tuned, (spec, values) =>
            {
                zero.Read(spec, values);
                patches[i].Change(spec)?.Apply(values);
            })),
        ];
        return new MergedParameters(ParameterTable.All(zero.Config), models, LinearCombination.Tasks([.. order.Select(i => scales[i])])).Read;
    }

    private static void ApplyPart(TensorChange change, double alpha, Span<float> values)
    {
        if (alpha == 0) return;
        if (alpha == 1)
        {
            change.Apply(values);
            return;
        }
        float[] tuned = values.ToArray();
        change.Apply(tuned);
        float weight0 = (float)(1 - alpha), weight1 = (float)alpha;
        for (int i = 0; i < tuned.Length; i++) values[i] = weight0 * values[i] + weight1 * tuned[i];
    }

    // The check comes with the last parameter, before the file gets its name.
    private static void Write(ClipCheckpoint like, MergeOutput output, Dictionary<string, string> metadata, ParameterSource make, Action check)
    {
        ImmutableArray<ParameterSpec> table = ParameterTable.All(like.Config);
        ModelMerge.Write(like, (spec, values) =>
        {
            make(spec, values.AsSpan(0, spec.Length));
            if (spec.Equals(table[^1])) check();
        }, output, metadata);
    }

    private static Dictionary<string, string> Metadata(string key, PatchFile patch, double alpha, MergeOutput output) => new()
    {
        [key] = $"{patch.Base} -> {patch.Tuned}",
        ["alpha"] = PatchFile.Number(alpha),
        ["command"] = output.Command,
    };

    private static InputException Refusal(ClipCheckpoint model, string found, PatchFile patch, string wanted, string verb) =>
        new($"{model.Path}: is model {found[..12]}, but {patch.Path} {verb} {wanted[..Math.Min(12, wanted.Length)]}; give the model that it belongs to");
}
