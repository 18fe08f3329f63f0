using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>The reference models: written by other programs, described in the shared folder's README.</summary>
internal sealed class GoldenCheckpointTests
{
    [TestCase("golden/tiny")]
    [TestCase("standin")]
    public void Both_namings_give_the_same_model(string model)
    {
        using ClipCheckpoint huggingFace = ClipCheckpoint.Open(Repository.Shared([.. model.Split('/'), "hf"]));
        using ClipCheckpoint openAi = ClipCheckpoint.Open(Repository.Shared([.. model.Split('/'), "openai.safetensors"]));
        Assert.That((huggingFace.Naming, openAi.Naming), Is.EqualTo((CheckpointNaming.HuggingFace, CheckpointNaming.OpenAi)));
        Assert.That(openAi.Preprocess, Is.EqualTo(huggingFace.Preprocess));
        // Shapes cannot tell the two rules apart; they agree on every text, because end-of-text has the largest id.
        Assert.That(huggingFace.Config.Text!.Pooling, Is.EqualTo(TextPooling.FirstEndOfText));
        TextConfig text = huggingFace.Config.Text with { Pooling = TextPooling.ArgMaxId };
        Assert.That(openAi.Config, Is.EqualTo(huggingFace.Config with { Text = text }));
        foreach (ParameterSpec spec in ParameterTable.All(huggingFace.Config))
        {
            ReadOnlySpan<byte> a = MemoryMarshal.AsBytes<float>(TinyModel.Read(huggingFace, spec)),
                b = MemoryMarshal.AsBytes<float>(TinyModel.Read(openAi, spec));
            Assert.That(a.SequenceEqual(b), spec.Name);
        }
    }

    [TestCase("tiny", "hf")]
    [TestCase("tiny", "openai.safetensors")]
    [TestCase("medium-vision", "hf")]
    public void Values_have_the_recorded_hashes(string model, string file)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(Repository.Shared("golden", model, file));
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Repository.Shared("golden", model, "golden.json")));
        int compared = 0;
        foreach (ParameterSpec spec in ParameterTable.All(checkpoint.Config))
        {
            if (!golden.RootElement.GetProperty("sha256_f32le").TryGetProperty(spec.Name, out JsonElement hash)) continue;
            float[] values = TinyModel.Read(checkpoint, spec);
            // The hashes are of OpenAI's layout.
            if (OpenAiNames.Stored(spec)[0].Transposed) values = Transpose(values, spec.Shape[0], spec.Shape[1]);
            Assert.That(Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes<float>(values))), Is.EqualTo(hash.GetString()),
                spec.Name);
            compared++;
        }
        Assert.That(compared, Is.EqualTo(model == "tiny" ? 4 : 2));
    }

    [Test]
    public void Vision_only_model_is_read()
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(Repository.Shared("golden", "medium-vision", "hf"));
        var expected = new ClipConfig(96, new VisionConfig(64, 16, 192, 4, 3, 768), null, ActivationKind.QuickGelu, 1e-5f);
        Assert.That(checkpoint.Config, Is.EqualTo(expected));
        Assert.That(checkpoint.TokenizerDirectory, Is.Null);
        foreach (ParameterSpec spec in ParameterTable.Vision(checkpoint.Config))
            Assert.That(TinyModel.Read(checkpoint, spec).Max(MathF.Abs), Is.Positive, spec.Name);
    }

    [Test]
    public void Model_directory_names_its_tokenizer()
    {
        string directory = Repository.Shared("standin", "hf");
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(directory);
        Assert.That(checkpoint.TokenizerDirectory, Is.EqualTo(Path.GetFullPath(directory)));
        using ClipCheckpoint file = ClipCheckpoint.Open(Path.Combine(directory, "model.safetensors"));
        Assert.That(file.Config, Is.EqualTo(checkpoint.Config));
        Assert.That(file.TokenizerDirectory, Is.EqualTo(checkpoint.TokenizerDirectory));
    }

    [Test]
    public void Round_trip_through_both_namings_keeps_every_byte()
    {
        using var folder = new TemporaryFolder();
        // The weights are exact in F16, so nothing may be lost.
        Copy(Repository.Shared("golden", "medium-vision", "hf"), folder["a"], CheckpointNaming.HuggingFace);
        Copy(folder["a"], folder["b"], CheckpointNaming.OpenAi);
        Copy(folder["b"], folder["c"], CheckpointNaming.HuggingFace);
        byte[] first = File.ReadAllBytes(folder["a", "model.safetensors"]), last = File.ReadAllBytes(folder["c", "model.safetensors"]);
        Assert.That(last.AsSpan().SequenceEqual(first));
        using ClipCheckpoint before = ClipCheckpoint.Open(Repository.Shared("golden", "medium-vision", "hf")),
            after = ClipCheckpoint.Open(folder["c"]);
        Assert.That(after.Config, Is.EqualTo(before.Config));
        foreach (ParameterSpec spec in ParameterTable.All(before.Config))
            Assert.That(TinyModel.Read(after, spec).SequenceEqual(TinyModel.Read(before, spec)), spec.Name);
    }

    private static void Copy(string from, string to, CheckpointNaming naming)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(from);
        CheckpointWriter.Save(to, checkpoint.Config, checkpoint.Preprocess, checkpoint.Read, naming, SafetensorsType.F16);
    }

    private static float[] Transpose(float[] values, int rows, int columns)
    {
        float[] transposed = new float[values.Length];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) transposed[c * rows + r] = values[r * columns + c];
        return transposed;
    }
}
