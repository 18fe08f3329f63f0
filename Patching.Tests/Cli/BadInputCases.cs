using System.Text;
using NUnit.Framework;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary>A way to get it wrong.</summary>
/// <param name="Name">What is wrong.</param>
/// <param name="Mentions">What the error has to name; <c>{root}</c> is the world's folder.</param>
/// <param name="Arrange">Damages the world and gives the command.</param>
internal sealed record BadInput(string Name, string Mentions, Func<TinyWorld, string[]> Arrange)
{
    public override string ToString() => Name;
}

/// <summary>The table of <see cref="BadInputTests"/>.</summary>
internal static class BadInputCases
{
    public static IEnumerable<BadInput> All() => [.. Flags(), .. WeightFiles(), .. ModelFolders(), .. DataSets(), .. Outputs(), .. States(), .. OtherCommands(), .. Reports()];

    private static IEnumerable<BadInput> Flags()
    {
        (string Flag, string Value)[] impossible =
        [
            ("--alpha", "2"), ("--alpha", "-0.1"), ("--alpha", "x"), ("--alpha", "nan"), ("--alpha", "0,5"), ("--epochs", "-1"), ("--epochs", "1.5"),
            ("--epochs", "99999999999"), ("--lr", "nan"), ("--lr", "-1"), ("--lr", "0,001"), ("--lr", "1e300"), ("--lr", "fast"), ("--wd", "-1"), ("--wd", "inf"),
            ("--ls", "1"), ("--ls", "-0.1"), ("--batch-size", "0"), ("--batch-size", "2147483647"), ("--batch-size", ""), ("--threads", "-1"), ("--threads", "1000000"),
            ("--workers", "0"), ("--workers", "1000000"), ("--seed", "x"), ("--seed", "1e3"), ("--warmup_length", "-1"), ("--warmup_length", "many"), ("--clip-norm", "0"),
            ("--clip-norm", "nan"), ("--device", "tpu"), ("--precision", "fp16"), ("--precision", "bf16"), ("--activation", "relu"), ("--frobnicate", "1"),
            ("--shots", "0"), ("--shots", "-3"), ("--shots", "few"), ("--shots", "1.5"), ("--cache", ""),
        ];
        foreach ((string flag, string value) in impossible) yield return new($"{flag} '{value}'", flag, world => world.Patch(flag, value));
        yield return new("the same alpha twice", "--alpha", world => world.Patch("--alpha", "0.5", "0.50"));
        yield return new("alpha without number", "--alpha", world => world.Patch("--alpha"));
        yield return new("warm-up not shorter than the run", "--warmup_length", world => Without(world.Patch(), "--warmup_length"));
        yield return new("no model", "--model", world => Without(world.Patch(), "--model"));
        yield return new("no training data", "--train-dataset", world => Without(world.Patch(), "--train-dataset"));
        yield return new("nothing to evaluate", "--eval-datasets", world => Without(world.Patch(), "--eval-datasets"));
        yield return new("only commas to evaluate", "--eval-datasets", world => Replace(world.Patch(), "--eval-datasets", " , ,"));
        yield return new("two models", "--model", world => world.Patch("--model", "other"));
        yield return new("label smoothing without labels", "--ls", world => world.Patch("--train-text", "--ls", "0.1"));
        yield return new("a batch larger than the pairs", "--batch-size", world => world.Patch("--train-text", "--batch-size", "64"));
        yield return new("a ResNet to train with texts", "--train-text", world =>
        {
            TinyWorld.WriteModel(world["rn"], TinyWorld.ResNetConfig, tokenizer: world.Model);
            return Replace(world.Patch("--train-text"), "--model", world["rn"]);
        });
        yield return new("a text tower to train where there is none", "text tower", world =>
        {
            TinyWorld.WriteModel(world["mute"], TinyWorld.MakeConfig(visionWidth: 16, withText: false));
            return Replace(world.Patch("--train-text"), "--model", world["mute"]);
        });
        yield return new("unknown command", "pacth", _ => ["pacth"]);
        yield return new("no command", "command", _ => []);
        yield return new("argument too many", "surplus", world => world.Patch("surplus"));
        yield return new("CUDA without a GPU", "--device cuda", world =>
        {
            if (Patching.Kernels.Device.CudaIsAvailable()) Assert.Ignore("there is a GPU here");
            return world.Patch("--device", "cuda");
        });
        yield return new("an evaluation in a precision the processor does not have", "--precision bf16", world => world.Evaluate(world.Model, "--precision", "bf16"));
        yield return new("a classification in it", "--precision bf16", world => [.. Classify(world), "--precision", "bf16"]);
        yield return new("the simulator in it", "--precision bf16", world => world.Patch("--device", "simulator", "--precision", "bf16"));
        yield return new("fine-tune without --save", "--save", world => ["finetune", .. Without(world.Patch(), "--save")[1..]]);
        yield return new("epochs to evaluate, nothing to evaluate on", "--eval-every-epoch", world =>
            ["finetune", .. Without(world.Patch("--eval-every-epoch"), "--eval-datasets")[1..]]);
    }

    private static IEnumerable<BadInput> WeightFiles()
    {
        yield return Weights("cut after the header", file => file[..(file.Length / 2)]);
        yield return Weights("cut by one byte", file => file[..^1]);
        yield return Weights("too long by one byte", file => [.. file, 0]);
        yield return Weights("cut within the header", file => file[..100]);
        yield return Weights("empty", _ => []);
        yield return Weights("three bytes", _ => [1, 2, 3]);
        yield return Weights("header longer than the file", file => [.. BitConverter.GetBytes((ulong)file.Length), .. file.AsSpan(8)]);
        yield return Weights("header of 2^63 bytes", file => [.. BitConverter.GetBytes(1UL << 63), .. file.AsSpan(8)]);
        yield return Weights("header is no JSON", file => Change(file, "{\"", "[\""));
        yield return Weights("offsets beyond the end", file => Change(file, "\"data_offsets\":[0,", "\"data_offsets\":[9,"));
        yield return Weights("unknown element type", file => Change(file, "\"F32\"", "\"F33\""));
        yield return Weights("wrong shape", file => Change(file, "\"shape\":[16,3,8,8]", "\"shape\":[16,8,3,8]"));
        yield return Weights("missing tensor", file => Change(file, "vision_model.post_layernorm.bias", "vision_model.post_layernorm.bins"));
        yield return Weights("a text file", _ => Encoding.UTF8.GetBytes("version https://git-lfs.example/spec/v1\noid sha256:0\n"));
        yield return new("NaN in a weight of the image tower", "NaN", world => Nan(world, image: true));
        yield return new("NaN in a weight of the text tower", "NaN", world => Nan(world, image: false));
        yield return new("no weights", "{root}/model", world => Delete(world, "model.safetensors"));
        yield return new("no such model", "{root}/nothing", world => Replace(world.Patch(), "--model", world["nothing"]));
        yield return new("model without a name", "--model", world => Replace(world.Patch(), "--model", ""));
        yield return new("model is another file", "vocab.json", world => Replace(world.Patch(), "--model", world["model", "vocab.json"]));
        yield return new("model is a folder of images", "{root}/colours", world => Replace(world.Patch(), "--model", world.Colours));
    }

    private static IEnumerable<BadInput> ModelFolders()
    {
        yield return new("config.json is no JSON", "config.json", world => Write(world, "config.json", "{ \"model_type\": "));
        yield return new("config.json is a list", "config.json", world => Write(world, "config.json", "[]"));
        yield return new("config.json of another kind of model", "config.json", world => Write(world, "config.json", "{\"model_type\": \"bert\"}"));
        yield return new("config.json with an impossible size", "config.json", world => Edit(world, "config.json", "\"patch_size\": 8", "\"patch_size\": 7"));
        yield return new("config.json of a larger model", "model.safetensors", world => Edit(world, "config.json", "\"image_size\": 16", "\"image_size\": 32"));
        yield return new("config.json with an unknown activation", "hidden_act", world => Edit(world, "config.json", "\"quick_gelu\"", "\"relu\""));
        yield return new("preprocessor_config.json of another size", "preprocessor_config.json", world => Edit(world, "preprocessor_config.json", "\"height\": 16", "\"height\": 32"));
        yield return new("no tokenizer", "{root}/model", world => Delete(world, "vocab.json"));
        yield return new("tokenizer is no JSON", "vocab.json", world => Write(world, "vocab.json", "{\"a\": "));
        yield return new("tokenizer of a larger vocabulary", "tokenizer", world =>
        {
            Directory.Delete(world.Model, recursive: true);
            TinyWorld.WriteModel(world.Model, TinyWorld.Config with { Text = TinyWorld.Config.Text! with { VocabularySize = 400, EndOfTextId = 399 } }, tokenizer: Tokenizer(world));
            return world.Patch();
        });
        yield return new("tokenizer with another end token", "tokenizer", world => Edit(world, "config.json", "\"eos_token_id\": 2", "\"eos_token_id\": 300"));
        yield return new("tokenizer folder does not exist", "{root}/words", world => world.Patch("--tokenizer", world["words"]));
        yield return new("model without text tower", "{root}/vision", world =>
        {
            TinyWorld.WriteModel(world["vision"], TinyWorld.MakeConfig(visionWidth: 16, withText: false), tokenizer: world.Model);
            return Replace(world.Patch(), "--model", world["vision"]);
        });
        yield return new("load of another architecture", "--load", world =>
        {
            TinyWorld.WriteModel(world["wide"], TinyWorld.MakeConfig(visionWidth: 32));
            return world.Patch("--load", world["wide"]);
        });
        yield return new("load of nothing", "{root}/nothing", world => world.Patch("--load", world["nothing"]));
    }

    private static IEnumerable<BadInput> DataSets()
    {
        yield return new("unknown data set", "MNIST?", world => Replace(world.Patch(), "--train-dataset", "MNITS"));
        yield return new("one of two data sets unknown", "Imagenat", world => Replace(world.Patch(), "--eval-datasets", world.Dataset + ",Imagenat"));
        yield return new("data set that is not there", "MNIST: nothing of it is in {root}/data", world => Replace(world.Patch("--data-location", world["data"]), "--train-dataset", "MNIST"));
        yield return new("folder: without a path", "folder:", world => Replace(world.Patch(), "--train-dataset", "folder:"));
        yield return new("folder that does not exist", "{root}/nothing", world => Replace(world.Patch(), "--train-dataset", "folder:" + world["nothing"]));
        yield return new("folder that is empty", "{root}/nothing", world =>
        {
            Directory.CreateDirectory(world["nothing"]);
            return Replace(world.Patch(), "--eval-datasets", "folder:" + world["nothing"]);
        });
        yield return new("no train folder", "{root}/colours/train", world =>
        {
            Directory.Delete(world["colours", "train"], recursive: true);
            return world.Patch();
        });
        yield return new("a class only in the test images", "yellow", world =>
        {
            Directory.Move(world["colours", "test", "red"], world["colours", "test", "yellow"]);
            return world.Patch();
        });
        yield return new("a class without training images", "blue", world =>
        {
            foreach (string file in Directory.GetFiles(world["colours", "train", "blue"])) File.Delete(file);
            return world.Patch();
        });
        yield return new("MNIST files that are something else", "train-images-idx3-ubyte", world =>
        {
            foreach (string file in (string[])["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
            {
                Directory.CreateDirectory(world["MNIST", "raw"]);
                File.WriteAllText(world["MNIST", "raw", file], "<html>404</html>");
            }
            return Replace(world.Patch("--data-location", world.Root), "--train-dataset", "MNIST");
        });
        yield return new("unreadable test image", "{root}/colours/test/red/02.png", world =>
        {
            File.WriteAllBytes(world["colours", "test", "red", "02.png"], [1, 2, 3]);
            return world.Evaluate(world.Model);
        });
        yield return new("no test image can be read", "none of its 15 images", world =>
        {
            foreach (string file in Directory.GetFiles(world["colours", "test"], "*", SearchOption.AllDirectories)) File.WriteAllText(file, "");
            return world.Evaluate(world.Model, "--skip-bad-images");
        });
    }

    private static IEnumerable<BadInput> Outputs()
    {
        yield return new("--save is a file", "--save", world => Replace(world.Patch(), "--save", world.Weights));
        yield return new("--save below a file", "--save", world => Replace(world.Patch(), "--save", world["model", "vocab.json", "below"]));
        yield return new("--save is empty", "--save", world => Replace(world.Patch(), "--save", ""));
        yield return new("--results-db is a folder", "--results-db", world => world.Patch("--results-db", world.Root));
        yield return new("--results-db below a file", "--results-db", world => world.Patch("--results-db", world["model", "vocab.json", "results.jsonl"]));
        yield return new("--save where nothing can be written", "--save", world => OnLinux(() => Replace(world.Patch(), "--save", "/proc/patching")));
        yield return new("--results-db where nothing can be written", "--results-db", world => OnLinux(() => world.Evaluate(world.Model, "--results-db", "/proc/patching/r.jsonl")));
        yield return new("alpha's folder is taken", "{root}/save/alpha=0.5", world =>
        {
            TinyWorld.Copy(world.Colours, world["save", "alpha=0.5"]);
            return world.Patch("--alpha", "0.5");
        });
        yield return new("alpha's folder holds something else, even to overwrite", "{root}/save/alpha=0.5", world =>
        {
            TinyWorld.Copy(world.Colours, world["save", "alpha=0.5"]);
            return world.Patch("--alpha", "0.5", "--overwrite");
        });
        yield return new("a file in the place of alpha's folder", "{root}/save/alpha=0.5", world =>
        {
            Directory.CreateDirectory(world.Save);
            File.WriteAllText(world["save", "alpha=0.5"], "");
            return world.Patch("--alpha", "0.5");
        });
    }

    private static IEnumerable<BadInput> States()
    {
        yield return State("cut", file => file[..^7]);
        yield return State("noise", file => [.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 7919 >> 3))]);
        yield return State("settings that are no JSON", file => Change(file, "{\\u0022train_dataset", "{{u0022train_dataset"));
        yield return State("more steps than the run has", file => Change(file, "\"steps_done\":\"18\"", "\"steps_done\":\"19\""));
        yield return State("steps that are no number", file => Change(file, "\"steps_done\":\"18\"", "\"steps_done\":\"-8\""));
        yield return State("a tensor is missing", file => Change(file, "parameters.visual.proj", "parameters.visual.porj"));
        yield return State("NaN", file =>
        {
            // The last parameter is well before the moments.
            file.AsSpan(file.Length / 4, 4).Fill(0xFF);
            return file;
        });
        yield return State("of another kind", _ => File.ReadAllBytes(Repository.Fixture("numeric", "interp.safetensors")));
    }

    private static IEnumerable<BadInput> OtherCommands()
    {
        yield return new("--cache is a file", "--cache {root}/model/config.json", world => world.Patch("--cache", world["model", "config.json"]));
        yield return new("evaluate: --cache is a file", "--cache {root}/model/config.json", world => world.Evaluate(world.Model, "--cache", world["model", "config.json"]));
        yield return new("typographic: no data set", "--from", world => ["data", "typographic", "--out", world["new"]]);
        yield return new("typographic: unknown data set", "MINST", world => [.. Typographic(world)[..2], "--from", "MINST", "--out", world["new"]]);
        yield return new("typographic: no folder to write to", "--out", world => Typographic(world)[..4]);
        yield return new("typographic: --out is a file", "model.safetensors", world => [.. Typographic(world)[..4], "--out", world.Weights]);
        yield return new("typographic: --out is in use", "is not empty", world => [.. Typographic(world)[..4], "--out", world["model"]]);
        yield return new("typographic: more pictures than images", "--count 16", world => [.. Typographic(world), "--count", "16"]);
        yield return new("typographic: --side 0", "--side 0", world => [.. Typographic(world), "--side", "0"]);
        yield return new("typographic: --split all", "--split 'all'", world => [.. Typographic(world), "--split", "all"]);
        yield return new("data without a verb", "command", _ => ["data"]);
        yield return new("classify: no such image", "{root}/none.png", world => Classify(world, world["none.png"]));
        yield return new("classify: no image at all", "images", world => ["classify", "--model", world.Model, "--labels", "a"]);
        yield return new("classify: not an image", "model.safetensors", world => Classify(world, world.Weights));
        yield return new("classify: a folder", "{root}/colours", world => Classify(world, world.Colours));
        yield return new("classify: template without a place", "--template", world => [.. Classify(world), "--template", "a photo"]);
        yield return new("classify: no labels", "--labels", world => ["classify", Red(world), "--model", world.Model, "--labels", ","]);
        yield return new("classify: --top 0", "--top", world => [.. Classify(world), "--top", "0"]);
        yield return new("evaluate: model is missing", "{root}/nothing", world => world.Evaluate(world["nothing"]));
        yield return new("evaluate: --batch-size 0", "--batch-size", world => world.Evaluate(world.Model, "--batch-size", "0"));
        yield return new("evaluate: --results-db is a folder", "--results-db", world => world.Evaluate(world.Model, "--results-db", world.Root));
        yield return new("interpolate: one model", "theta1", world => ["interpolate", world.Model, "--save", world.Save]);
        yield return new("interpolate: without --save", "--save", world => ["interpolate", world.Model, world.Model]);
        yield return new("interpolate: --save is a file", "--save", world => ["interpolate", world.Model, world.Model, "--save", world.Weights]);
        yield return new("interpolate: neither a file nor a published name", "patching models list", world => ["interpolate", "ViT-Z", world.Model, "--save", world.Save]);
        yield return new("interpolate: neither a file nor a published name, second", "patching models list", world => ["interpolate", world.Model, "ViT-Z", "--save", world.Save]);
        yield return new("interpolate: other architecture", "{root}/wide", world =>
        {
            TinyWorld.WriteModel(world["wide"], TinyWorld.MakeConfig(visionWidth: 32));
            return ["interpolate", world.Model, world["wide"], "--save", world.Save];
        });
        yield return new("interpolate: NaN in a weight", "NaN", world => ["interpolate", Nan(world, image: false)[2], world.Model, "--save", world.Save]);
        yield return new("info: no such model", "{root}/nothing", world => ["info", "--model", world["nothing"]]);
        yield return new("info: --batch-size 0", "--batch-size", world => ["info", "--model", world.Model, "--batch-size", "0"]);
    }

    private static IEnumerable<BadInput> Reports()
    {
        const string good = """{"eval_dataset":"MNIST","alpha":0.5,"top1":0.25,"correct":1,"count":4}""";
        (string Name, string Mentions, string Content)[] files =
        [
            ("empty", "r.jsonl: holds no results", ""), ("only blank lines", "r.jsonl: holds no results", "\n \n"), ("cut off", "line 2", good + "\n" + good[..30]),
            ("no JSON", "line 1", "alpha,accuracy\n"), ("a list", "line 1", "[1]"), ("JSON of something else", "eval_dataset", "{\"step\":10,\"loss\":2.3}"),
            ("no counts", "line 1", """{"eval_dataset":"MNIST","alpha":0.5,"top1":0.25}"""), ("more correct than counted", "5 correct of 4", good.Replace("\"correct\":1", "\"correct\":5")),
            ("counts of another accuracy", "top1 0.25", good.Replace("\"correct\":1", "\"correct\":2")), ("nothing counted", "0 correct of 0", good.Replace("1,", "0,").Replace("4", "0")),
            ("an infinite alpha", "alpha", good.Replace("0.5", "1e999")), ("an alpha in words", "alpha", good.Replace("0.5", "\"half\"")),
            ("half a surrogate", "line 1", good.Replace("MNIST", "\\ud800")), ("only epochs", "r.jsonl: holds no results", good.Replace("\"alpha\":0.5", "\"epoch\":1")),
        ];
        foreach ((string name, string mentions, string content) in files) yield return Report(name, mentions, content);
        yield return new("report: a model", "model.safetensors, line 1", world => ["report", world.Weights, "--out", world["r.html"]]);
        yield return new("report: no such file", "{root}/nothing", world => ["report", world["nothing"], "--out", world["r.html"]]);
        yield return new("report: a folder", "{root}/colours: is a folder", world => ["report", world.Colours, "--out", world["r.html"]]);
        yield return new("report: one of two files is missing", "{root}/nothing", world => [.. Report("", "", good).Arrange(world), world["nothing"]]);
        yield return new("report: nothing to report", "results", _ => ["report", "--out", "r.html"]);
        yield return new("report: a page needs a name", "--out", world => Report("", "", good).Arrange(world)[..2]);
        yield return new("report: --out exists", "--overwrite", world => [.. Report("", "", good).Arrange(world)[..3], world.Weights]);
        yield return new("report: --out is a folder", "--out", world => [.. Report("", "", good).Arrange(world)[..3], world.Colours]);
        yield return new("report: --format pdf", "--format", world => [.. Report("", "", good).Arrange(world), "--format", "pdf"]);
        yield return new("report: --patched of no run", "--patched GTSRB", world => [.. Report("", "", good).Arrange(world), "--patched", "GTSRB"]);
    }

    private static BadInput Report(string name, string mentions, string content) => new("report: " + name, mentions, world =>
    {
        File.WriteAllText(world["r.jsonl"], content);
        return ["report", world["r.jsonl"], "--out", world["r.html"]];
    });

    private static string[] OnLinux(Func<string[]> arrange)
    {
        if (!Directory.Exists("/proc")) Assert.Ignore("needs a folder that even root cannot write to");
        return arrange();
    }

    private static BadInput Weights(string name, Func<byte[], byte[]> damage) => new("weights: " + name, "{root}/model/model.safetensors", world =>
    {
        File.WriteAllBytes(world.Weights, damage(File.ReadAllBytes(world.Weights)));
        return world.Patch();
    });

    private static BadInput State(string name, Func<byte[], byte[]> damage) => new("training state: " + name, "{root}/save/finetune/training-state.safetensors", world =>
    {
        TinyWorld.Do(world.Patch("--alpha", "1"));
        string state = world["save", "finetune", "training-state.safetensors"];
        File.WriteAllBytes(state, damage(File.ReadAllBytes(state)));
        return world.Patch("--alpha", "1");
    });

    private static string Red(TinyWorld world) => world["colours", "test", "red", "00.png"];

    private static string[] Typographic(TinyWorld world) => ["data", "typographic", "--from", world.Dataset, "--out", world["new"]];

    private static string[] Classify(TinyWorld world, string? image = null) =>
        ["classify", image ?? Red(world), "--model", world.Model, "--labels", "red,blue", "--device", "cpu"];

    private static string[] Without(string[] args, string flag)
    {
        int at = Array.IndexOf(args, flag);
        return [.. args[..at], .. args[(at + 2)..]];
    }

    private static string[] Replace(string[] args, string flag, string value)
    {
        int at = Array.IndexOf(args, flag);
        return [.. args[..(at + 1)], value, .. args[(at + 2)..]];
    }

    private static string[] Delete(TinyWorld world, string file)
    {
        File.Delete(world["model", file]);
        return world.Patch();
    }

    private static string[] Write(TinyWorld world, string file, string content)
    {
        File.WriteAllText(world["model", file], content);
        return world.Patch();
    }

    private static string[] Edit(TinyWorld world, string file, string from, string to)
    {
        string text = File.ReadAllText(world["model", file]);
        Assert.That(text, Does.Contain(from), "the case itself is wrong");
        return Write(world, file, text.Replace(from, to, StringComparison.Ordinal));
    }

    private static byte[] Change(byte[] file, string from, string to)
    {
        int at = file.AsSpan().IndexOf(Encoding.UTF8.GetBytes(from));
        Assert.That(at, Is.GreaterThan(0), "the case itself is wrong");
        Assert.That(to, Has.Length.EqualTo(from.Length), "the case itself is wrong");
        byte[] changed = [.. file];
        Encoding.UTF8.GetBytes(to).CopyTo(changed, at);
        return changed;
    }

    private static string[] Nan(TinyWorld world, bool image)
    {
        long offset;
        using (SafetensorsFile file = SafetensorsFile.Open(world.Weights))
            offset = ((SafetensorsEntry)file.Tensors[image ? "visual_projection.weight" : "text_projection.weight"]).Offset;
        using FileStream stream = File.OpenWrite(world.Weights);
        stream.Position = offset + 8;
        stream.Write([0, 0, 0xC0, 0x7F]);
        return world.Patch();
    }

    private static string Tokenizer(TinyWorld world)
    {
        using Model.Text.TinyVocabulary vocabulary = new Model.Text.TinyVocabulary().Write();
        TinyWorld.Copy(vocabulary.Folder, world["words"]);
        return world["words"];
    }
}
