using NUnit.Framework;
using Patching.Model.Clip;
using Patching.Model.PatchFiles;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary><c>patching diff, apply, revert, compose</c>: what comes back is what was there, to the bit.</summary>
internal sealed class PatchFileCommandTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld()
    {
        world = new TinyWorld();
        // Tuned models as patching makes them: the text tower and the first block's matrices stay; one number changes only its sign of zero.
        for (int seed = 2; seed <= 3; seed++) WriteTuned($"m{seed}", seed);
    }

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void ApplyMakesTheTunedModelAndRevertTheBaseToTheBit()
    {
        TinyWorld.Do("diff", world.Model, world["m2"], "-o", world["p"]);
        TinyWorld.Do("apply", world.Model, world["p"], "-o", world["applied"]);
        TinyWorld.Do("revert", world["applied"], world["p"], "-o", world["reverted"]);
        Assert.That(Bits("applied"), Is.EqualTo(Bits("m2")));
        Assert.That(Bits("reverted"), Is.EqualTo(Bits("model")));
        using SafetensorsFile patch = SafetensorsFile.Open(world["p"]);
        Assert.That(patch.Tensors.Keys, Has.None.StartWith("token_embedding").And.None.StartWith("transformer"), "what did not change is not kept");
        Assert.That(Data("reverted"), Is.EqualTo(Data("model")), "the bytes of the tensors in the file");
    }

    [Test]
    public void APatchRefusesEveryOtherModel()
    {
        TinyWorld.Do("diff", world.Model, world["m2"], "-o", world["p"]);
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        foreach (string[] command in (string[][])[["apply", world["m2"], world["p"], "-o", world["x"]], ["apply", world["m3"], world["p"], "-o", world["x"]], ["revert", world.Model, world["p"], "-o", world["x"]]])
        {
            Outcome refused = TinyWorld.Run(command);
            Assert.That((refused.Code, refused.Output, refused.ErrorLines.Length), Is.EqualTo((2, "", 1)));
            Assert.That(refused.Error, Does.Contain("give the model that it belongs to"));
        }
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before), "nothing is left");
        // The same model in other clothes is the same model.
        TinyWorld.Do("convert", world.Model, world["file.safetensors"]);
        TinyWorld.Do("apply", world["file.safetensors"], world["p"], "-o", world["applied"]);
        Assert.That(Bits("applied"), Is.EqualTo(Bits("m2")));
    }

    [Test]
    public void PartOfAPatchIsTheInterpolation()
    {
        TinyWorld.Do("diff", world.Model, world["m2"], "-o", world["p"]);
        TinyWorld.Do("apply", world.Model, world["p"], "-o", world["some"], "--alpha", "0.3");
        TinyWorld.Do("interpolate", world.Model, world["m2"], "--alpha", "0.3", "--save", world["line"], "--device", "cpu");
        Assert.That(Bits("some"), Is.EqualTo(Bits(Path.Combine("line", "alpha=0.3"))));
    }

    [TestCase("bf16", 1.0 / 256)]
    [TestCase("low-rank", 1.0)]
    public void LossyPatchesStateTheirError(string kind, double most)
    {
        TinyWorld.Do(["diff", world.Model, world["m2"], "-o", world["p"], "--kind", kind, .. kind == "low-rank" ? (string[])["--rank", "4"] : []]);
        TinyWorld.Do("apply", world.Model, world["p"], "-o", world["applied"]);
        float[] zero = Floats("model"), one = Floats("m2"), applied = Floats("applied");
        double difference = Math.Sqrt(one.Zip(zero, (a, b) => Math.Pow((double)a - b, 2)).Sum()), error = Math.Sqrt(one.Zip(applied, (a, b) => Math.Pow((double)a - b, 2)).Sum());
        using (PatchFile patch = PatchFile.Open(world["p"]))
            Assert.That(double.Parse(patch.Metadata["patch_relative_error"], System.Globalization.CultureInfo.InvariantCulture), Is.EqualTo(error / difference).Within(1e-9));
        Assert.That(error / difference, Is.GreaterThan(0).And.LessThan(most));
        Outcome reverted = TinyWorld.Do("revert", world["applied"], world["p"], "-o", world["reverted"]);
        Assert.That(reverted.Error, Does.Contain("not exact"));
        float[] back = Floats("reverted");
        // Two roundings of numbers of this size.
        for (int i = 0; i < back.Length; i++)
            Assert.That(Math.Abs((double)back[i] - zero[i]), Is.LessThanOrEqualTo(1.2e-7 * (Math.Abs(zero[i]) + Math.Abs(applied[i]))), $"element {i}");
    }

    [Test]
    public void PatchesOfOneBaseAddUpInAnyOrder()
    {
        TinyWorld.Do("diff", world.Model, world["m2"], "-o", world["p2"]);
        TinyWorld.Do("diff", world.Model, world["m3"], "-o", world["p3"]);
        TinyWorld.Do("compose", world.Model, world["p2"], world["p3"], "--scale", "0.5", "0.25", "-o", world["a"]);
        TinyWorld.Do("compose", world.Model, world["p3"], world["p2"], "--scale", "0.25", "0.5", "-o", world["b"]);
        Assert.That(TinyWorld.WithoutCommand(world["b"]), Is.EqualTo(TinyWorld.WithoutCommand(world["a"])));
        TinyWorld.Do("apply", world.Model, world["a"], "-o", world["both"]);
        float[] zero = Floats("model"), two = Floats("m2"), three = Floats("m3"), both = Floats("both");
        for (int i = 0; i < both.Length; i++)
            Assert.That(both[i], Is.EqualTo(zero[i] + 0.5 * ((double)two[i] - zero[i]) + 0.25 * ((double)three[i] - zero[i])).Within(1e-6), $"element {i}");
    }

    [Test]
    public void AChainOfPatchesGivesItsLastModel()
    {
        TinyWorld.Do("diff", world.Model, world["m2"], "-o", world["p2"]);
        TinyWorld.Do("diff", world["m2"], world["m3"], "-o", world["p23"]);
        TinyWorld.Do("compose", world.Model, world["p2"], world["p23"], "-o", world["chain"]);
        TinyWorld.Do("apply", world.Model, world["chain"], "-o", world["end"]);
        Assert.That(Bits("end"), Is.EqualTo(Bits("m3")));
        Outcome wrong = TinyWorld.Run(["compose", world.Model, world["p23"], world["p2"], "-o", world["x"]]);
        Assert.That((wrong.Code, File.Exists(world["x"])), Is.EqualTo((2, false)), wrong.Error);
        Assert.That(TinyWorld.Run(["compose", world.Model, world["p2"], world["p23"], "--scale", "0.5", "-o", world["x"]]).Error, Does.Contain("--scale"));
    }

    [Test]
    public void DamagedPatchesAreRefused([Values("bits", "cut", "no patch")] string damage)
    {
        TinyWorld.Do("diff", world.Model, world["m2"], "-o", world["p"]);
        byte[] file = File.ReadAllBytes(world["p"]);
        if (damage == "bits") file[^1] ^= 1;
        else if (damage == "cut") file = file[..^4];
        else file = File.ReadAllBytes(world.Weights);
        File.WriteAllBytes(world["p"], file);
        Outcome refused = TinyWorld.Run(["apply", world.Model, world["p"], "-o", world["x"]]);
        Assert.That((refused.Code, refused.Output, refused.ErrorLines.Length, Directory.Exists(world["x"])), Is.EqualTo((2, "", 1, false)));
        Assert.That(refused.Error, Does.Contain(world["p"]));
    }

    [Test]
    public void FactorsOfAMatrixOfSmallRankAreTheMatrix()
    {
        const int rows = 37, columns = 23, rank = 3;
        Random random = new(1);
        double[] left = [.. Enumerable.Range(0, rows * rank).Select(_ => random.NextDouble() - 0.5)], right = [.. Enumerable.Range(0, columns * rank).Select(_ => random.NextDouble() - 0.5)];
        float[] matrix = new float[rows * columns], product = new float[rows * columns];
        for (int i = 0; i < matrix.Length; i++)
            for (int j = 0; j < rank; j++) matrix[i] += (float)(left[i / columns * rank + j] * right[i % columns * rank + j]);
        foreach (int asked in (int[])[rank, rank + 2])
        {
            (float[] l, float[] r) = LowRankFactors.Of(matrix, rows, columns, asked);
            LowRankFactors.Multiply(l, r, asked, product);
            for (int i = 0; i < matrix.Length; i++) Assert.That(product[i], Is.EqualTo(matrix[i]).Within(1e-6), $"rank {asked}, element {i}");
        }
        // The best of rank 1 of a diagonal matrix keeps its largest number.
        (float[] l1, float[] r1) = LowRankFactors.Of([3, 0, 0, 0, -5, 0, 0, 0, 1], 3, 3, 1);
        LowRankFactors.Multiply(l1, r1, 1, product.AsSpan(0, 9));
        Assert.That(product[..9], Is.EqualTo([0, 0, 0, 0, -5, 0, 0, 0, 0]).Within(1e-5f));
    }

    private void WriteTuned(string name, int seed)
    {
        TinyWorld.WriteModel(world["other"], TinyWorld.Config, seed);
        using ClipCheckpoint zero = ClipCheckpoint.Open(world.Model), other = ClipCheckpoint.Open(world["other"]);
        CheckpointWriter.Save(world[name], zero.Config, zero.Preprocess, (spec, values) =>
        {
            bool tuned = spec.Name.StartsWith("visual.", StringComparison.Ordinal) && !spec.Name.Contains("mlp.c_fc", StringComparison.Ordinal);
            (tuned ? other : zero).Read(spec, values);
            if (spec.Name == "visual.ln_post.bias") values[0] = -0.0f;
        });
        Directory.Delete(world["other"], recursive: true);
    }

    private float[] Floats(string model)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(world[model]);
        return
        [
            .. ParameterTable.All(checkpoint.Config).SelectMany(spec =>
            {
                float[] values = new float[spec.Length];
                checkpoint.Read(spec, values);
                return values;
            }),
        ];
    }

    private int[] Bits(string model) => [.. Floats(model).Select(BitConverter.SingleToInt32Bits)];

    private byte[] Data(string model)
    {
        byte[] file = File.ReadAllBytes(world[model, "model.safetensors"]);
        return file[(8 + (int)BitConverter.ToInt64(file))..];
    }
}
