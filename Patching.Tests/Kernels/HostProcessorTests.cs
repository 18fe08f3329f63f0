using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>What the processor says of itself, beside what the system says of it.</summary>
internal sealed class HostProcessorTests
{
    private const string Processors = "/sys/devices/system/cpu";

    [Test]
    public void TheSecondLevelCacheIsAsLargeAsTheSystemSays()
    {
        if (!Directory.Exists(Processors)) Assert.Ignore("this system does not list its caches");
        // A processor may have cores of two kinds.
        string[] sizes =
        [
            .. from core in Directory.GetDirectories(Processors, "cpu*")
               where Directory.Exists(Path.Combine(core, "cache"))
               from cache in Directory.GetDirectories(Path.Combine(core, "cache"), "index*")
               where Read(cache, "level") == "2"
               select Read(cache, "size"),
        ];
        if (sizes.Length == 0) Assert.Ignore("this system lists no second-level cache");
        Assert.That(sizes, Has.Member($"{HostProcessor.SecondLevelBytes >> 10}K"));
    }

    [Test]
    public void TheMakerIsTheOneTheSystemNames()
    {
        const string file = "/proc/cpuinfo";
        string? vendor = File.Exists(file) ? File.ReadLines(file).FirstOrDefault(l => l.StartsWith("vendor_id")) : null;
        if (vendor == null) Assert.Ignore("this system does not name the processor's maker");
        Assert.That(HostProcessor.IsIntel, Is.EqualTo(vendor!.EndsWith("GenuineIntel")));
    }

    private static string Read(string directory, string file) => File.ReadAllText(Path.Combine(directory, file)).Trim();
}
