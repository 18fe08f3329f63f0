namespace Patching.Kernels;

/// <summary>Which of a GPU's matrix instructions multiply bfloat16 matrices.</summary>
public enum TensorCores
{
    /// <summary>Whichever should be faster for a product, of those the GPU has.</summary>
    Best,

    /// <summary>Those of a warp, on every GPU since compute capability 8.0.</summary>
    MmaSync,

    /// <summary>Those of four warps that read from shared memory, on compute capability 9.0; products that it cannot take use the others.</summary>
    Wgmma,
}
