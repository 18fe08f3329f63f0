using NUnit.Framework;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Merging;
using static Patching.Tests.Model.Merging.MergeTable;

namespace Patching.Tests.Model.Merging;

/// <summary>Every merge method against a restatement in double precision and cases that can be checked by hand.</summary>
internal sealed class MergeMethodTests
{
    private static readonly MergeInput Base = Tuned(0), One = Tuned(1), Two = Tuned(2), Three = Tuned(3);

    [Test]
    public void TheMeanIsTheWeightedMean()
    {
        Dictionary<string, float[]> merged = Merge(LinearCombination.Mean([1, 2, 5]), One, Two, Three);
        AssertElements(merged, (spec, i) => (V(spec, 1)[i] * 1.0 + V(spec, 2)[i] * 2.0 + V(spec, 3)[i] * 5.0) / 8, relative: 1e-7);
    }

    [Test]
    public void TasksAddAndNegate()
    {
        Dictionary<string, float[]> merged = Merge(LinearCombination.Tasks([0.4, -0.3]), Base, One, Two);
        AssertElements(merged, (spec, i) => Z(spec, i) + 0.4 * (V(spec, 1)[i] - Z(spec, i)) - 0.3 * (V(spec, 2)[i] - Z(spec, i)), relative: 1e-7);
    }

    [Test]
    public void AnalogiesAddTheDifference()
    {
        Dictionary<string, float[]> merged = Merge(LinearCombination.Analogy(0.7), Base, One, Two, Three);
        AssertElements(merged, (spec, i) => Z(spec, i) + 0.7 * ((V(spec, 3)[i] - Z(spec, i)) + ((double)V(spec, 2)[i] - V(spec, 1)[i])), relative: 1e-7);
    }

    [Test]
    public void SlerpGoesAlongTheArc([Values(0.1, 0.5, 0.8)] double t)
    {
        Dictionary<string, float[]> merged = Merge(new SphericalInterpolation(t), One, Two);
        Dictionary<string, (double, double)> factors = Table.ToDictionary(spec => spec.Name, spec => Arc(V(spec, 1), V(spec, 2), t));
        AssertElements(merged, (spec, i) => factors[spec.Name].Item1 * V(spec, 1)[i] + factors[spec.Name].Item2 * V(spec, 2)[i], relative: 1e-6);
    }

    [Test]
    public void SlerpByHand()
    {
        // A quarter of a circle: halfway are equal parts of 1/sqrt(2); lengths do not change the angle. Opposite and zero tensors go straight.
        (double a, double b) = SphericalInterpolation.Weights([1, 0], [0, 3], 0.5);
        Assert.That((a, b), Is.EqualTo((Math.Sqrt(0.5), Math.Sqrt(0.5))).Using<(double, double)>((x, y) => Math.Abs(x.Item1 - y.Item1) + Math.Abs(x.Item2 - y.Item2) < 1e-12));
        Assert.That(SphericalInterpolation.Weights([1, 0], [-2, 0], 0.25), Is.EqualTo((0.75, 0.25)));
        Assert.That(SphericalInterpolation.Weights([0, 0], [1, 0], 0.25), Is.EqualTo((0.75, 0.25)));
    }

    [TestCase(0.2, 1.0, 2)]
    [TestCase(0.05, 0.7, 3)]
    [TestCase(1.0, 1.0, 3)]
    public void TiesTrimsElectsAndMerges(double density, double scale, int tasks)
    {
        MergeInput[] models = [.. Enumerable.Range(1, tasks).Select(Tuned)];
        Dictionary<string, float[]> merged = Merge(new TiesMerge(density, scale), [Base, .. models]);
        ParameterSpec[] changed = [.. Table.Where(spec => spec.Name != "frozen")];
        double[] thresholds =
        [
            .. Enumerable.Range(1, tasks).Select(task =>
            {
                double[] sorted = [.. changed.SelectMany(spec => V(spec, task).Zip(V(spec, 0), (x, z) => (double)Math.Abs(x - z))).OrderDescending()];
                return sorted[(int)Math.Ceiling(density * sorted.Length) - 1];
            }),
        ];
        AssertElements(merged, (spec, i) =>
        {
            double[] taus = [.. Enumerable.Range(1, tasks).Select(t => (double)(V(spec, t)[i] - V(spec, 0)[i])).Select((tau, t) => Math.Abs(tau) >= thresholds[t] ? tau : 0)];
            int sign = Math.Sign(taus.Sum());
            double[] agreeing = [.. taus.Where(tau => tau != 0 && Math.Sign(tau) == sign)];
            return Z(spec, i) + (sign == 0 ? 0 : scale * agreeing.Average());
        }, relative: 1e-7);
    }

    [Test]
    public void TiesByHand()
    {
        // Task vectors (4, -1, 2) and (-3, -2, 0.5) of six numbers; half of each stays: (4, 0, 2) and (-3, -2, 0). Signs +, -, +; means 4, -2, 2.
        ParameterSpec spec = new("w", [3]);
        MergeInput zero = Fixed(1, 1, 1), a = Fixed(5, 0, 3), b = Fixed(-2, -1, 1.5f);
        float[] values = new float[3];
        new MergedParameters([spec], [zero, a, b], new TiesMerge(0.5, 1)).Read(spec, values);
        Assert.That(values, Is.EqualTo([5f, -1f, 3f]));
    }

    [Test]
    public void DareKeepsTheExpectationAndDependsOnNothingButTheSeed()
    {
        const double drop = 0.75;
        ParameterSpec spec = Table[2];
        float[] once = Merge(new DareMerge(drop, [1], 3), Base, One)[spec.Name];
        int kept = 0;
        for (int i = 0; i < spec.Length; i++)
        {
            double tau = (double)V(spec, 1)[i] - V(spec, 0)[i];
            float whole = (float)(V(spec, 0)[i] + tau / (1 - drop));
            if (once[i] == whole) kept++;
            else Assert.That(once[i], Is.EqualTo(V(spec, 0)[i]), $"element {i} is dropped or enlarged");
        }
        // Five standard deviations of a binomial count.
        Assert.That((double)kept, Is.EqualTo(spec.Length * (1 - drop)).Within(5 * Math.Sqrt(spec.Length * drop * (1 - drop))));
        Assert.That(Merge(new DareMerge(drop, [1], 3), Base, One)[spec.Name], Is.EqualTo(once), "the same seed");
        Assert.That(Merge(new DareMerge(drop, [1], 4), Base, One)[spec.Name], Is.Not.EqualTo(once), "another seed");
        float[] other = Merge(new DareMerge(drop, [1], 3), Base, Two)[spec.Name];
        int both = Enumerable.Range(0, spec.Length).Count(i => once[i] != V(spec, 0)[i] && other[i] != V(spec, 0)[i]);
        Assert.That((double)both, Is.EqualTo(spec.Length / 16.0).Within(5 * Math.Sqrt(spec.Length / 16.0)), "models are dropped independently");
        float[] sum = Merge(new DareMerge(drop, [1, 0.5], 3), Base, One, Two)[spec.Name];
        for (int i = 0; i < spec.Length; i += 97)
            Assert.That(sum[i], Is.EqualTo(once[i] + 0.5 * ((double)other[i] - V(spec, 0)[i])).Within(1e-5), "tasks add up");
    }

    [Test]
    public void DareThatDropsNothingIsTaskArithmetic()
    {
        Dictionary<string, float[]> dare = Merge(new DareMerge(0, [0.4, -0.3], 1), Base, One, Two), tasks = Merge(LinearCombination.Tasks([0.4, -0.3]), Base, One, Two);
        foreach (ParameterSpec spec in Table) Assert.That(dare[spec.Name], Is.EqualTo(tasks[spec.Name]).Within(1).Ulps, spec.Name);
    }

    [Test]
    public void EndsAreExactToTheBit()
    {
        (MergeMethod Method, MergeInput[] Models, MergeInput Expected)[] ends =
        [
            (LinearCombination.Mean([1, 0]), [One, Two], One), (LinearCombination.Mean([0, 3]), [One, Two], Two),
            (LinearCombination.Tasks([0]), [Base, One], Base), (LinearCombination.Tasks([1]), [Base, One], One), (LinearCombination.Tasks([0, 1]), [Base, One, Two], Two),
            (new SphericalInterpolation(0), [One, Two], One), (new SphericalInterpolation(1), [One, Two], Two),
            (LinearCombination.Analogy(0), [Base, One, Two, Three], Base), (new TiesMerge(0.2, 0), [Base, One, Two], Base), (new DareMerge(0.5, [0, 0], 1), [Base, One, Two], Base),
            (LayerCoefficients.Of(["visual.stem", "visual.0", "text.stem"], [1, 1, 1]).Method(), [Base, One], One),
        ];
        foreach ((MergeMethod method, MergeInput[] models, MergeInput expected) in ends)
        {
            Dictionary<string, float[]> merged = Merge(method, models);
            foreach (ParameterSpec spec in Table)
            {
                float[] values = new float[spec.Length];
                expected.Read(spec, values);
                Assert.That(merged[spec.Name].Select(BitConverter.SingleToInt32Bits), Is.EqualTo(values.Select(BitConverter.SingleToInt32Bits)), $"{method.Description}: {spec.Name}");
            }
        }
    }

    [Test]
    public void WhatIsTheSameInAllModelsKeepsItsBitsUnderEveryMethod()
    {
        ParameterSpec spec = new("w", [4]);
        MergeInput same = new("same", "1", (_, values) => new float[] { -0.0f, 1e-40f, 3.1f, -7 }.CopyTo(values));
        foreach (MergeMethod method in (MergeMethod[])[LinearCombination.Mean([0.3, 0.9]), new SphericalInterpolation(0.3), new TiesMerge(0.5, 0.7), new DareMerge(0.5, [2], 1), LinearCombination.Tasks([-0.7])])
        {
            float[] values = new float[4];
            new MergedParameters([spec], [same, same], method).Read(spec, values);
            Assert.That(values.Select(BitConverter.SingleToInt32Bits), Is.EqualTo(new float[] { -0.0f, 1e-40f, 3.1f, -7 }.Select(BitConverter.SingleToInt32Bits)), method.Description);
        }
    }

    [Test]
    public void LayersHaveTheirOwnCoefficients()
    {
        ClipConfig config = Weights.TinyModel.Config;
        Assert.That(LayerCoefficients.Layers(config), Is.EqualTo(["visual.stem", "visual.0", "visual.1", "visual.head", "text.stem", "text.0", "text.head"]));
        string[] layers = [.. ParameterTable.All(config).Select(LayerCoefficients.LayerOf).Distinct()];
        Assert.That(layers, Is.EqualTo(LayerCoefficients.Layers(config)), "every parameter belongs to one");
        MergeMethod lines = LayerCoefficients.Create(config, 0.2, 0.5, ["visual.stem=0", "visual.head=1"]).Method();
        Dictionary<string, double> expected = new() { ["visual.stem"] = 0, ["visual.0"] = 0.2, ["visual.1"] = 0.7, ["visual.head"] = 1, ["text.0"] = 0.2 };
        foreach (ParameterSpec spec in ParameterTable.All(config).Where(spec => expected.ContainsKey(LayerCoefficients.LayerOf(spec))))
        {
            float[] merged = new float[spec.Length];
            lines.Merge(spec, [new float[spec.Length], [.. Enumerable.Repeat(1f, spec.Length)]], merged);
            Assert.That(merged, Has.All.EqualTo((float)expected[LayerCoefficients.LayerOf(spec)]), spec.Name);
        }
        Assert.That(() => LayerCoefficients.Create(config, 0.5, 0, ["visual.7=1"]), Throws.TypeOf<InputException>().With.Message.Contains("visual.7").And.Message.Contains("visual.head"));
    }

    [Test]
    public void TheThresholdIsTheExactOrderStatistic()
    {
        float[] taus = [0, 1e-42f, -1e-42f, 0.5f, -0.5f, 0.25f, 3, -8, float.Epsilon];
        ParameterSpec spec = new("w", [9]);
        MergeInput zero = new("zero", "0", (_, values) => values.Clear()), one = new("one", "1", (_, values) => taus.CopyTo(values));
        float[] sorted = [.. taus.Select(Math.Abs).OrderDescending()];
        for (int keep = 1; keep <= taus.Length; keep++)
            Assert.That(MagnitudeThreshold.Find([spec], zero, one, keep / 9.0 - 1e-9), Is.EqualTo(sorted[keep - 1]), $"{keep} of 9");
    }

    private static MergeInput Fixed(params float[] numbers) => new("fixed", string.Join(',', numbers), (_, values) => numbers.CopyTo(values));

    private static (double, double) Arc(float[] a, float[] b, double t)
    {
        // Another way to the angle: from the lengths of sum and difference of the unit vectors.
        double na = Math.Sqrt(a.Sum(x => (double)x * x)), nb = Math.Sqrt(b.Sum(x => (double)x * x));
        double difference = Math.Sqrt(a.Zip(b, (x, y) => Math.Pow(x / na - y / nb, 2)).Sum()), sum = Math.Sqrt(a.Zip(b, (x, y) => Math.Pow(x / na + y / nb, 2)).Sum());
        double angle = 2 * Math.Atan2(difference, sum);
        return angle is < 1e-6 or > Math.PI - 1e-6 ? (1 - t, t) : (Math.Sin((1 - t) * angle) / Math.Sin(angle), Math.Sin(t * angle) / Math.Sin(angle));
    }

    private static readonly Dictionary<(string, int), float[]> Cache = [];

    private static float[] V(ParameterSpec spec, int model)
    {
        if (!Cache.TryGetValue((spec.Name, model), out float[]? values)) Cache[(spec.Name, model)] = values = Values(spec, model);
        return values;
    }

    private static double Z(ParameterSpec spec, int i) => V(spec, 0)[i];

    private static void AssertElements(Dictionary<string, float[]> merged, Func<ParameterSpec, int, double> exact, double relative)
    {
        foreach (ParameterSpec spec in Table)
        {
            for (int i = 0; i < spec.Length; i++)
            {
                double expected = exact(spec, i);
                // Half a unit in the last place from the one rounding, and what double precision leaves of cancellation.
                bool isNear = Math.Abs(merged[spec.Name][i] - expected) <= relative * Math.Abs(expected) + 1e-14;
                if (!isNear) Assert.Fail($"{spec.Name}[{i}]: {merged[spec.Name][i]:R} instead of {expected:R}");
            }
        }
    }
}
