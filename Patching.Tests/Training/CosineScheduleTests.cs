using System.Globalization;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Training;

namespace Patching.Tests.Training;

internal sealed class CosineScheduleTests
{
    [Test]
    public void EqualsTheOriginalToTheLastBit()
    {
        using JsonDocument numeric = JsonDocument.Parse(File.ReadAllText(Repository.Shared("golden", "numeric", "numeric.json")));
        foreach (JsonElement run in numeric.RootElement.GetProperty("cosine_lr").EnumerateArray())
        {
            CosineSchedule schedule = new(run.GetProperty("base").GetDouble(), run.GetProperty("warmup").GetInt64(), run.GetProperty("steps").GetInt64());
            foreach (JsonProperty at in run.GetProperty("lr_at").EnumerateObject())
                Assert.That(schedule.At(long.Parse(at.Name, CultureInfo.InvariantCulture)), Is.EqualTo(at.Value.GetDouble()), $"{schedule} step {at.Name}");
        }
    }

    [TestCase(0, 2e-8)]
    [TestCase(499, 1e-5)]
    [TestCase(500, 1e-5)]
    [TestCase(1172, 7.068623021650521e-06)]
    [TestCase(2344, 7.248479386157137e-12)]
    public void WarmsUpThenFallsAlongACosine(long step, double rate) =>
        Assert.That(new CosineSchedule(1e-5, 500, 2345).At(step), Is.EqualTo(rate));
}
