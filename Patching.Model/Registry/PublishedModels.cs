using System.Collections.Immutable;

namespace Patching.Model.Registry;

/// <summary>
/// The models that <c>--model</c> knows by name: OpenAI's as the original names them, open_clip's as <c>ARCHITECTURE:PRETRAINED</c>. OpenAI's
/// addresses contain the SHA-256 of the file; the others come with the <c>open_clip_config.json</c> that says architecture, activation and
/// preprocessing. All use CLIP's one vocabulary.
/// </summary>
public static class PublishedModels
{
    private const string OpenAiHost = "https://openaipublic.azureedge.net/clip/models";
    private const string Hub = "https://huggingface.co";
    private const string HubWeights = "open_clip_pytorch_model.bin";

    private static readonly ImmutableArray<PublishedFile> Vocabulary =
    [
        new("vocab.json", HubFile("openai/clip-vit-base-patch32", "vocab.json"), "5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363"),
        new("merges.txt", HubFile("openai/clip-vit-base-patch32", "merges.txt"), "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a"),
    ];

    /// <summary>Every known model.</summary>
    public static ImmutableArray<PublishedModel> All { get; } =
    [
        OpenAi("ViT-B/32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "ViT-B-32.pt"),
        OpenAi("ViT-B/16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", "ViT-B-16.pt"),
        OpenAi("ViT-L/14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", "ViT-L-14.pt"),
        OpenAi("ViT-L/14@336px", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", "ViT-L-14-336px.pt"),
        OpenAi("RN50", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", "RN50.pt"),
        OpenAi("RN101", "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599", "RN101.pt"),
        OpenAi("RN50x4", "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd", "RN50x4.pt"),
        OpenAi("RN50x16", "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa", "RN50x16.pt"),
        OpenAi("RN50x64", "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c", "RN50x64.pt"),
        OpenClip("ViT-B-32:laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "LAION-2B"),
        OpenClip("ViT-B-16:laion2b_s34b_b88k", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "LAION-2B"),
        OpenClip("ViT-L-14:laion2b_s32b_b82k", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", "LAION-2B"),
        OpenClip("ViT-H-14:laion2b_s32b_b79k", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "LAION-2B"),
        OpenClip("ViT-B-32:datacomp_xl_s13b_b90k", "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K", "DataComp-1B"),
        OpenClip("ViT-B-16:datacomp_xl_s13b_b90k", "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", "DataComp-1B"),
        OpenClip("ViT-L-14:datacomp_xl_s13b_b90k", "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", "DataComp-1B"),
        OpenClip("ViT-B-16-quickgelu:dfn2b", "apple/DFN2B-CLIP-ViT-B-16", "DFN-2B"),
        OpenClip("ViT-L-14-quickgelu:dfn2b", "apple/DFN2B-CLIP-ViT-L-14", "DFN-2B"),
        OpenClip("ViT-H-14-quickgelu:dfn5b", "apple/DFN5B-CLIP-ViT-H-14", "DFN-5B"),
        OpenClip("ViT-H-14-378-quickgelu:dfn5b", "apple/DFN5B-CLIP-ViT-H-14-378", "DFN-5B"),
    ];

    /// <summary>Finds a model by its name: letter case does not matter, and <c>-</c>, <c>/</c> and <c>:</c> are the same; open_clip's also by the
    /// repository they are in.</summary>
    /// <returns>Null where no model is called so.</returns>
    public static PublishedModel? Find(string name)
    {
        string wanted = Plain(name);
        return All.FirstOrDefault(model =>
            Plain(model.Name) == wanted || Plain(model.Name).Replace("@", "-", StringComparison.Ordinal) == wanted
            || model.Files[0].Address.AbsolutePath.StartsWith($"/{name.Trim('/')}/", StringComparison.OrdinalIgnoreCase));
    }

    private static string Plain(string name) => name.ToLowerInvariant().Replace('/', '-').Replace(':', '-');

    private static PublishedModel OpenAi(string name, string sha256, string file) => new(
        name, "OpenAI, WebImageText", file, OpensAsFolder: false,
        [new PublishedFile(file, new Uri($"{OpenAiHost}/{sha256}/{file}"), sha256), .. Vocabulary]);

    private static PublishedModel OpenClip(string name, string repository, string data) => new(
        name, $"open_clip, {data}; {repository}", HubWeights, OpensAsFolder: true,
        [
            new PublishedFile(HubWeights, HubFile(repository, HubWeights), null),
            new PublishedFile("open_clip_config.json", HubFile(repository, "open_clip_config.json"), null),
            .. Vocabulary,
        ]);

    private static Uri HubFile(string repository, string file) => new($"{Hub}/{repository}/resolve/main/{file}");
}
