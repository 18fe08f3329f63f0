namespace Patching.Kernels;

/// <summary>
/// Memory that will be needed after a tile and is asked for while the tile is computed. Requests are spread evenly over its loop: in a
/// burst they would occupy the few slots for outstanding lines that the panels need.
/// </summary>
internal unsafe struct TileRequests
{
    /// <summary>Addresses of cache lines that the next tile will write to.</summary>
    public float** Lines;

    /// <summary>How many.</summary>
    public long Count;

    /// <summary>Memory that later tiles will read, wanted in the second-level cache; an address must be given even if nothing is wanted.</summary>
    public byte* Stream;

    /// <summary>Bytes of it per turn of the loop, two steps of the sum, 0 if nothing is wanted.</summary>
    public long StreamStep;
}
