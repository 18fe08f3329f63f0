using System.Globalization;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Training;

namespace Patching.Tests.Training;

internal sealed class CosineScheduleTests
{
    // The reference was made with NumPy, whose vectorised cosine is off by one unit in the last place for some angles near pi; .NET's is not. Half such a unit,
    // times the base rate, is the only difference allowed.
    private const double CosineUnit = 1.0 / (1L << 53);

    [Test]
    public void EqualsTheOriginalToTheLastBitOfTheCosine()
    {
        using JsonDocument numeric = JsonDocument.Parse(File.ReadAllText(Repository.Shared("golden", "numeric", "numeric.json")));
        foreach (JsonElement run in numeric.RootElement.GetProperty("cosine_lr").EnumerateArray())
        {
            CosineSchedule schedule = new(run.GetProperty("base").GetDouble(), run.GetProperty("warmup").GetInt64(), run.GetProperty("steps").GetInt64());
            foreach (JsonProperty at in run.GetProperty("lr_at").EnumerateObject())
                Assert.That(schedule.At(long.Parse(at.Name, CultureInfo.InvariantCulture)), Is.EqualTo(at.Value.GetDouble()).Within(CosineUnit * schedule.BaseRate), $"{schedule} step {at.Name}");
        }
    }

    [TestCase(0, 2e-8)]
    [TestCase(499, 1e-5)]
    [TestCase(500, 1e-5)]
    [TestCase(1172, 7.068623021650521e-06)]
    [TestCase(2344, 7.248479386157137e-12)]
    public void WarmsUpThenFallsAlongACosine(long step, double rate) =>
        Assert.That(new CosineSchedule(1e-5, 500, 2345).At(step), Is.EqualTo(rate).Within(CosineUnit * 1e-5));
}
