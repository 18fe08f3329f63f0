using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The input layer of a vision transformer (Dosovitskiy et al. 2021). A convolution whose stride is its kernel size p is a matrix product
/// over unfolded patches: <see cref="Unfold"/> lays each patch out as one row, a GEMM with the convolution's weight [C, 3 p p] embeds it,
/// and <see cref="Assemble"/> puts the class token in front and adds the positions. With an image size of S pixels there are P = (S / p)^2
/// patches in row-major order and T = P + 1 tokens; pixels at the right and bottom that do not fill a patch are left out, as the
/// convolution leaves them out.
/// </summary>
public static partial class PatchEmbedding
{
    /// <summary>
    /// Writes the patches of a batch of images, one per row, columns in the order of a convolution's weight (channel, y, x). Pixels are
    /// normalised through a table: a byte has 256 values, so <c>(value / 255 - mean) / std</c> is computed once per value, not once per
    /// pixel.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="patches">[B P, 3 p p], written.</param>
    /// <param name="images">Bytes, [B, S, S, 3].</param>
    /// <param name="table">[3, 256], the normalised value of each channel's pixel values.</param>
    /// <param name="patchSize">p.</param>
    public static void Unfold(Device device, Tensor patches, Tensor images, Tensor table, int patchSize)
    {
        if (images.Shape.Rank != 4) throw new ArgumentException($"images: expected [batch, size, size, 3], got {images}");
        int batch = images.Shape[0], size = images.Shape[1];
        Require.Shape(images, "images", batch, size, size, 3);
        if (patchSize < 1 || patchSize > size) throw new ArgumentException($"patch size {patchSize} for images of {size} pixels");
        int grid = size / patchSize;
        Require.Matrix(patches, "patches", checked(batch * grid * grid), 3 * patchSize * patchSize);
        Require.Count(table, "table", 3 * 256);
        if (patches.Type == ElementType.BFloat16) Require.Cuda(device, "PatchEmbedding.Unfold");
        if (device.Kind == DeviceKind.Cuda)
        {
            UnfoldCuda(device, patches, images, table, size, patchSize);
            return;
        }
        if (device.IsHost)
            UnfoldHost(device.Threads, patches, images, table, batch, size, patchSize);
        else
            device.Load(a =>
                a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<byte>, ArrayView<float>, int, int>(UnfoldKernel))(
                Require.Extent(patches.Count), patches.Floats, images.Bytes, table.Floats, size, patchSize);
    }

    /// <summary>Writes the token sequence: the class token, then the patches, each plus its position.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="tokens">[B T, C], written.</param>
    /// <param name="patchEmbeddings">[B P, C].</param>
    /// <param name="classToken">[C].</param>
    /// <param name="positions">[T, C].</param>
    /// <param name="batch">B.</param>
    public static void Assemble(Device device, Tensor tokens, Tensor patchEmbeddings, Tensor classToken, Tensor positions, int batch)
    {
        int length = RequireSequence(tokens, patchEmbeddings, classToken, positions, batch);
        if (patchEmbeddings.Type == ElementType.BFloat16) Require.Cuda(device, "PatchEmbedding.Assemble");
        if (device.Kind == DeviceKind.Cuda)
        {
            AssembleCuda(device, tokens, patchEmbeddings, classToken, positions, length);
            return;
        }
        if (device.IsHost)
            AssembleHost(device.Threads, tokens, patchEmbeddings, classToken, positions, batch, length);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int>(AssembleKernel))(
                Require.Extent(tokens.Count), tokens.Floats, patchEmbeddings.Floats, classToken.Floats, positions.Floats, length,
                tokens.Columns);
    }

    /// <summary>
    /// Writes the gradient of the patch embeddings; accumulates the gradients of the class token and of the positions, images in order.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dpatchEmbeddings">[B P, C], written.</param>
    /// <param name="dclassToken">[C], accumulated into.</param>
    /// <param name="dpositions">[T, C], accumulated into.</param>
    /// <param name="dtokens">[B T, C].</param>
    /// <param name="batch">B.</param>
    public static void AssembleBackward(
        Device device, Tensor dpatchEmbeddings, Tensor dclassToken, Tensor dpositions, Tensor dtokens, int batch)
    {
        int length = RequireSequence(dtokens, dpatchEmbeddings, dclassToken, dpositions, batch);
        if (dtokens.Type == ElementType.BFloat16 || dpatchEmbeddings.Type == ElementType.BFloat16)
            Require.Cuda(device, "PatchEmbedding.AssembleBackward");
        if (device.Kind == DeviceKind.Cuda)
        {
            AssembleBackwardCuda(device, dpatchEmbeddings, dclassToken, dpositions, dtokens, batch, length);
            return;
        }
        if (device.IsHost)
            AssembleBackwardHost(device.Threads, dpatchEmbeddings, dclassToken, dpositions, dtokens, batch, length);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int>(AssembleBackwardKernel))(
                Require.Extent(dpositions.Count), dpatchEmbeddings.Floats, dclassToken.Floats, dpositions.Floats, dtokens.Floats, batch,
                length, dtokens.Columns);
    }

    /// <summary>Checks that the four shapes belong together and returns T.</summary>
    private static int RequireSequence(Tensor tokens, Tensor patchEmbeddings, Tensor classToken, Tensor positions, int batch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        int length = positions.Rows, width = positions.Columns;
        if (length < 2) throw new ArgumentException($"positions: expected a class token and at least one patch, got {positions}");
        Require.Matrix(tokens, "tokens", checked(batch * length), width);
        Require.Matrix(patchEmbeddings, "patch embeddings", batch * (length - 1), width);
        Require.Count(classToken, "class token", width);
        return length;
    }
}
