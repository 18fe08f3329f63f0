using System.Reflection;
using BenchmarkDotNet.Running;
using Patching.Benchmarks.EndToEnd;
using Patching.Benchmarks.Gpu;
using Patching.Benchmarks.Images;
using Patching.Benchmarks.Kernels;

namespace Patching.Benchmarks;

/// <summary>Entry point: kernels one by one, the whole engine against its peers, or a worker process of the latter.</summary>
internal static class Program
{
    private const string Usage = """
        usage:
          kernels [BenchmarkDotNet arguments]   kernels one by one, e.g. kernels --filter '*Gemm*'
          gemm [rounds]                         every linear layer of real models as % of peak, one table
          host [options]                        inference and fine-tuning on the processor, against peers when built with -p:Peers=true
          load [rounds]                         from a checkpoint on disk to the device, beside a plain read of the file
          data [options]                        from image files to batches, beside Pillow and torchvision
          alphas FOLDER [rounds] [images]       eleven alphas on image files in one pass, beside one after the other
          merge [rounds]                        interpolating and merging checkpoints, beside a plain copy of a file
          gpu [options]                         kernels, accuracy and the whole engine on a GPU, beside PyTorch
        """;

    private static int Main(string[] args)
    {
        string[] rest = args.Length > 0 ? args[1..] : [];
        switch (args.FirstOrDefault())
        {
            case "kernels":
                BenchmarkSwitcher.FromAssembly(Assembly.GetExecutingAssembly()).Run(rest);
                return 0;
            case "gemm":
                return GemmTable.Run(rest);
            case "host":
                return HostCommand.Run(rest);
            case "load":
                return LoadCommand.Run(rest);
            case "data":
                return DataCommand.Run(rest);
            case "alphas":
                return AlphaCommand.Run(rest);
            case "merge":
                return MergeCommand.Run(rest);
            case "gpu":
                return GpuCommand.Run(rest);
            case "gpu-report":
                return GpuCommand.Report(rest);
            case WorkerJob.Verb:
                return WorkerLoop.Run(WorkerJob.Parse(rest));
            default:
                Console.Error.WriteLine(Usage);
                Console.Error.WriteLine(HostOptions.Usage);
                Console.Error.WriteLine(DataOptions.Usage);
                Console.Error.WriteLine(GpuOptions.Usage);
                return 2;
        }
    }
}
