using NUnit.Framework;

namespace Patching.Tests.Cli;

/// <summary>Runs after the last test of the command line.</summary>
[SetUpFixture]
internal sealed class TinyWorldCleanup
{
    [OneTimeTearDown]
    public void Remove() => TinyWorld.RemoveTemplate();
}
