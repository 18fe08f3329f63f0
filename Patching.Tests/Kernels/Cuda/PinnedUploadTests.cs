using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>Uploads: that they arrive in order, and that no buffer is overwritten before it has been read, on a device that does everything as late as it may.</summary>
[TestFixture]
internal sealed class PinnedUploadTests
{
    private const int Large = PinnedUpload.LandingBytes / sizeof(int);

    [Test]
    public void EveryStepSeesItsOwnValues([Values] DeviceKind kind, [Values(5, Large)] int count, [Values] bool deferred)
    {
        using StandInDriver? driver = kind == DeviceKind.Cuda ? StandInDriver.Visible(new StandInGpu { Deferred = deferred }) : null;
        using (Device device = Device.Open(kind, 1))
        {
            const int steps = 7;
            Tensor input = default;
            Tensor[] kept = new Tensor[steps];
            using Arena arena = Arena.Allocate(device, "test", layout =>
            {
                input = layout.Take("input", ElementType.Int32, count);
                for (int i = 0; i < steps; i++) kept[i] = layout.Take($"kept {i}", ElementType.Int32, count);
            });
            using PinnedUpload upload = new(device, input);
            int[] values = new int[count];
            for (int i = 0; i < steps; i++)
            {
                Fill(values, i);
                upload.Upload<int>(values);
                kept[i].CopyFrom(input);
            }
            Array.Clear(values);
            device.Synchronize();
            for (int i = 0; i < steps; i++)
            {
                Fill(values, i);
                Assert.That(Contents(kept[i]), Is.EqualTo(values), $"step {i}");
            }
        }
        if (driver is not null) Assert.That(driver.Leaks, Is.Empty);
    }

    [Test]
    public void NothingWaitsUntilTheThirdUpload([Values(5, Large)] int count)
    {
        using StandInDriver driver = StandInDriver.Visible(new StandInGpu { Deferred = true });
        using Device device = Device.Open(DeviceKind.Cuda);
        Tensor input = default;
        using Arena arena = Arena.Allocate(device, "test", layout => input = layout.Take("input", ElementType.Int32, count));
        using PinnedUpload upload = new(device, input);
        device.Synchronize();
        driver.Clear();
        upload.Upload<int>(new int[count]);
        upload.Upload<int>(new int[count]);
        Assert.That(driver.Waits, Is.Zero);
        upload.Upload<int>(new int[count]);
        Assert.That(driver.Waits, Is.EqualTo(1));
    }

    [Test]
    public void LargeUploadsRunBesideTheKernels()
    {
        using StandInDriver driver = StandInDriver.Visible();
        using Device device = Device.Open(DeviceKind.Cuda);
        Tensor input = default;
        using Arena arena = Arena.Allocate(device, "test", layout => input = layout.Take("input", ElementType.UInt8, PinnedUpload.LandingBytes));
        using PinnedUpload upload = new(device, input);
        driver.Clear();
        upload.Upload<byte>(new byte[PinnedUpload.LandingBytes]);
        Assert.That(driver.Calls.Select(call => call.ToString()), Is.EqualTo(new[]
        {
            "cuEventSynchronize",
            "cuStreamWaitEvent stream 2",
            "cuMemcpyAsync page-locked to device, 65536 bytes, stream 2",
            "cuEventRecord stream 2",
            "cuStreamWaitEvent stream 1",
            "cuMemcpyAsync device to device, 65536 bytes, stream 1",
            "cuEventRecord stream 1",
        }));
    }

    [Test]
    public void APartIsEnoughAndTheRestStays([Values] DeviceKind kind)
    {
        using StandInDriver? driver = kind == DeviceKind.Cuda ? StandInDriver.Visible() : null;
        using Device device = Device.Open(kind, 1);
        Tensor labels = default;
        using Arena arena = Arena.Allocate(device, "test", layout => labels = layout.Take("labels", ElementType.Int32, 4));
        using PinnedUpload upload = new(device, labels);
        upload.Upload<int>([1, 2, 3, 4]);
        upload.Upload<int>([7, 8]);
        int[] values = new int[4];
        labels.CopyTo(values);
        Assert.That(values, Is.EqualTo(new[] { 7, 8, 3, 4 }));
        Assert.That(() => upload.Upload<byte>([1]), Throws.ArgumentException);
        Assert.That(() => upload.Upload<int>(new int[5]), Throws.ArgumentException);
    }

    private static void Fill(int[] values, int step)
    {
        for (int i = 0; i < values.Length; i++) values[i] = 17 * step + i;
    }

    private static int[] Contents(Tensor tensor)
    {
        int[] values = new int[tensor.Count];
        tensor.CopyTo(values);
        return values;
    }
}
