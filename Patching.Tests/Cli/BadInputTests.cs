using NUnit.Framework;

namespace Patching.Tests.Cli;

/// <summary>
/// What users get wrong, through the real command line: exit code 2, one line that names the file or flag, no results, and not a file changed.
/// </summary>
internal sealed class BadInputTests
{
    [TestCaseSource(typeof(BadInputCases), nameof(BadInputCases.All))]
    public void IsRefusedInOneLine(BadInput input)
    {
        using TinyWorld world = new();
        string[] args = input.Arrange(world);
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        string[] folders = Directory.GetDirectories(world.Root, "*", SearchOption.AllDirectories);

        Outcome outcome = TinyWorld.Run(args);

        Assert.That(outcome.Code, Is.EqualTo(2), outcome.Error);
        Assert.That(outcome.Output, Is.Empty);
        string[] talk = [.. outcome.ErrorLines.Where(line => line.StartsWith("patching: ", StringComparison.Ordinal))];
        Assert.That(talk, Has.Length.EqualTo(1), outcome.Error);
        Assert.That(outcome.ErrorLines, Has.Length.EqualTo(1), outcome.Error);
        string mention = input.Mentions.Replace("{root}", world.Root, StringComparison.Ordinal);
        Assert.That(talk[0], Does.Contain(mention));
        Assert.That(talk[0], Does.Not.Contain("System.").And.Not.Contain("   at "));
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before), "files");
        Assert.That(Directory.GetDirectories(world.Root, "*", SearchOption.AllDirectories), Is.EquivalentTo(folders), "folders");
    }
}
