namespace Patching.Kernels;

/// <content>The CUDA kernels.</content>
public static partial class PatchEmbedding
{
    private static void UnfoldCuda(Device device, Tensor patches, Tensor images, Tensor table, int size, int patchSize) => throw new NotSupportedException("on its way");

    private static void AssembleCuda(Device device, Tensor tokens, Tensor patchEmbeddings, Tensor classToken, Tensor positions, int length) => throw new NotSupportedException("on its way");

    private static void AssembleBackwardCuda(Device device, Tensor dpatchEmbeddings, Tensor dclassToken, Tensor dpositions, Tensor dtokens, int batch, int length) => throw new NotSupportedException("on its way");
}
