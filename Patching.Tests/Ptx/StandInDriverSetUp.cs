using NUnit.Framework;
using Patching.Tests.Ptx;

namespace Patching.Tests;

/// <summary>Puts the stand-in driver in the driver's place before the first test, because ILGPU looks for the driver once in the life of a process.</summary>
[SetUpFixture]
internal sealed class StandInDriverSetUp
{
    [OneTimeSetUp]
    public void Install() => StandInDriver.Install();

    [OneTimeTearDown]
    public void Remove() => StandInDriver.RemoveFile();
}
