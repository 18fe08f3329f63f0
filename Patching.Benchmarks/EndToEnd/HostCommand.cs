namespace Patching.Benchmarks.EndToEnd;

/// <summary>The command <c>host</c>: the engine on the processor, against the ceilings of the machine and, where built with them, its
/// peers.</summary>
internal static class HostCommand
{
    /// <summary>Measures and reports.</summary>
    public static int Run(string[] args)
    {
        HostOptions options;
        try
        {
            options = HostOptions.Parse(args);
        }
        catch (ArgumentException error)
        {
            Console.Error.WriteLine(error.Message);
            Console.Error.WriteLine(HostOptions.Usage);
            return 2;
        }
        HostReport report = new(options);
        report.Peak = Measured(PeakGroup(options), options);
        if (options.Work.Contains(HostOptions.Memory))
        {
            report.Optimizer = Measured(WholeModelGroup(options, WorkerJob.Optimizer, [StreamPattern.Read, StreamPattern.Update]), options);
            report.Interpolation = Measured(
                WholeModelGroup(options, WorkerJob.Interpolate, [StreamPattern.Triad, StreamPattern.TriadPastCaches]), options);
        }
        foreach (BenchmarkModel model in options.Models)
        {
            foreach (string work in new[] { WorkerJob.Inference, WorkerJob.Step }.Where(options.Work.Contains))
            {
                foreach (int batch in options.BatchesOf(model, work))
                {
                    report.Add(new ModelRow(model, work, batch, Measured(ModelGroup(options, model, work, batch), options)));
                    // A run takes long; what has been measured outlives an interruption.
                    if (options.Output is not null) File.WriteAllText(options.Output, report.ToMarkdown());
                }
            }
        }
        report.PeakAtTheEnd = Measured(PeakGroup(options), options);
        string text = report.ToMarkdown();
        Console.WriteLine(text);
        if (options.Output is { } path) File.WriteAllText(path, text);
        return 0;
    }

    private static MeasurementGroup Measured(MeasurementGroup group, HostOptions options)
    {
        group.Measure(options);
        return group;
    }

    private static MeasurementGroup ModelGroup(HostOptions options, BenchmarkModel model, string work, int batch)
    {
        WorkerJob job = new("ours", work, model.Name, batch, options.Classes, options.Threads);
        List<Contender> contenders = [.. Contender.For(job, options)];
        if (work == WorkerJob.Inference) contenders.Insert(1, Contender.Own(Contender.ForwardOnlyName, job with { Work = WorkerJob.Features }));
        return new MeasurementGroup($"{model.Name} {work}, batch {batch}", contenders);
    }

    private static MeasurementGroup PeakGroup(HostOptions options) =>
        new("fp32 multiply-add peak", [Contender.Own(WorkerJob.FusedMultiplyAdd, MachineJob(options, WorkerJob.FusedMultiplyAdd))]);

    /// <summary>An operation over all parameters in turns with the patterns of memory that bound it.</summary>
    private static MeasurementGroup WholeModelGroup(HostOptions options, string work, IEnumerable<StreamPattern> patterns)
    {
        WorkerJob job = MachineJob(options, work);
        IEnumerable<Contender> streams = patterns.Select(pattern => Contender.Own(pattern.Description, job with { Work = pattern.Name }));
        return new MeasurementGroup($"{job.Model} {work}", [.. Contender.For(job, options), .. streams]);
    }

    private static WorkerJob MachineJob(HostOptions options, string work) =>
        new("machine", work, options.Models[0].Name, Batch: 1, options.Classes, options.Threads);
}
