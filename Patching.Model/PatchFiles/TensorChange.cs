using System.Runtime.InteropServices;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.PatchFiles;

/// <summary>How a patch keeps what changed.</summary>
public enum PatchKind
{
    /// <summary>The bits that differ: exact both ways.</summary>
    Exact,

    /// <summary>The difference rounded to bfloat16: half the size.</summary>
    BFloat16,

    /// <summary>The difference of every matrix as a product of two thin ones, everything else exact: a few percent of the size.</summary>
    LowRank,
}

/// <summary>
/// What a patch holds about one parameter. Exact: <c>bits(theta_1) xor bits(theta_0)</c>, so that applying and reverting are the same operation and nothing is rounded anywhere. Lossy:
/// a difference d, with <c>theta_1 = fl(theta_0 + d)</c>.
/// </summary>
internal abstract record TensorChange
{
    /// <summary>Whether <see cref="Revert"/> gives back the bits.</summary>
    public abstract bool IsExact { get; }

    /// <summary>Turns the base's values into the tuned ones.</summary>
    public abstract void Apply(Span<float> values);

    /// <summary>Turns the tuned values into the base's.</summary>
    public abstract void Revert(Span<float> values);

    /// <summary>The tensors that keep it in a file.</summary>
    public abstract IEnumerable<SafetensorsTensor> Tensors(ParameterSpec spec);

    /// <summary>Writes them.</summary>
    public abstract void Write(SafetensorsWriter writer);

    /// <summary>What changed; null where nothing did.</summary>
    /// <param name="spec">The parameter.</param>
    /// <param name="zero">Its values in the base.</param>
    /// <param name="one">Its values in the tuned model.</param>
    /// <param name="kind">How to keep it.</param>
    /// <param name="rank">Rank of low-rank changes.</param>
    public static TensorChange? Between(ParameterSpec spec, ReadOnlySpan<float> zero, ReadOnlySpan<float> one, PatchKind kind, int rank)
    {
        ReadOnlySpan<uint> bits0 = MemoryMarshal.Cast<float, uint>(zero), bits1 = MemoryMarshal.Cast<float, uint>(one);
        if (bits0.SequenceEqual(bits1)) return null;
        (int rows, int columns) = Matrix(spec);
        bool factors = kind == PatchKind.LowRank && rank < (long)rows * columns / (rows + columns);
        if (kind == PatchKind.Exact || (kind == PatchKind.LowRank && !factors))
        {
            uint[] flipped = new uint[spec.Length];
            for (int i = 0; i < flipped.Length; i++) flipped[i] = bits0[i] ^ bits1[i];
            return new FlippedBits(flipped);
        }
        float[] difference = new float[spec.Length];
        for (int i = 0; i < difference.Length; i++) difference[i] = one[i] - zero[i];
        if (!factors) return new RoundedDifference(RoundToBFloat16(difference));
        (float[] left, float[] right) = LowRankFactors.Of(difference, rows, columns, rank);
        return new FactoredDifference(left, right, rank);
    }

    /// <summary>The change of a parameter in a patch file; null where it holds none.</summary>
    /// <exception cref="InputException">What it holds does not fit the parameter.</exception>
    public static TensorChange? Read(SafetensorsFile file, ParameterSpec spec)
    {
        long[] shape = [.. spec.Shape.Select(size => (long)size)];
        if (file.Tensors.TryGetValue(spec.Name, out TensorEntry? whole))
        {
            if (!whole.Shape.SequenceEqual(shape)) throw Wrong(file, spec);
            if (whole.DType == SafetensorsType.U32) return new FlippedBits(ReadBits(file, whole));
            if (whole.DType == SafetensorsType.BF16) return new RoundedDifference(ReadFloats(file, spec.Name, spec.Length));
            throw Wrong(file, spec);
        }
        if (!file.Tensors.TryGetValue(Left(spec), out TensorEntry? left)) return null;
        (int rows, int columns) = Matrix(spec);
        bool fits = file.Tensors.TryGetValue(Right(spec), out TensorEntry? right) && left.Shape.Length == 2 && left.Shape[0] == rows && left.Shape[1] > 0
            && right.Shape.SequenceEqual([columns, left.Shape[1]]) && left.DType == SafetensorsType.F32 && right.DType == SafetensorsType.F32;
        if (!fits) throw Wrong(file, spec);
        int rank = (int)left.Shape[1];
        return new FactoredDifference(ReadFloats(file, Left(spec), rows * rank), ReadFloats(file, Right(spec), columns * rank), rank);
    }

    /// <summary>Names that a patch may hold for a parameter.</summary>
    public static IEnumerable<string> Names(ParameterSpec spec) => [spec.Name, Left(spec), Right(spec)];

    private static string Left(ParameterSpec spec) => $"{spec.Name}.left";

    private static string Right(ParameterSpec spec) => $"{spec.Name}.right";

    // Convolutions are matrices [out, everything else], as the engine reads them.
    private static (int Rows, int Columns) Matrix(ParameterSpec spec) => spec.Shape.Length < 2 ? (spec.Length, 1) : (spec.Shape[0], spec.Length / spec.Shape[0]);

    private static InputException Wrong(SafetensorsFile file, ParameterSpec spec) => new($"{file.Path}: its change of {spec.Name} does not fit {spec}; the patch is damaged");

    private static float[] RoundToBFloat16(float[] values)
    {
        byte[] bytes = new byte[values.Length * 2];
        FloatConversion.FromFloat32(bytes, values, SafetensorsType.BF16);
        FloatConversion.ToFloat32(values, bytes, SafetensorsType.BF16);
        return values;
    }

    private static float[] ReadFloats(SafetensorsFile file, string name, int count)
    {
        float[] values = new float[count];
        file.ReadFloat32(name, values);
        if (FloatConversion.CountNonFinite(values) > 0) throw new InputException($"{file.Path}: tensor '{name}' holds NaN or infinite values; the patch is damaged");
        return values;
    }

    private static uint[] ReadBits(SafetensorsFile file, TensorEntry entry)
    {
        uint[] bits = new uint[entry.Elements];
        file.Copy(entry, 0, MemoryMarshal.AsBytes(bits.AsSpan()));
        return bits;
    }

    private static SafetensorsTensor Whole(ParameterSpec spec, SafetensorsType type) => new(spec.Name, type, [.. spec.Shape.Select(size => (long)size)]);

    internal sealed record FlippedBits(uint[] Bits) : TensorChange
    {
        public override bool IsExact => true;

        public override void Apply(Span<float> values)
        {
            Span<uint> bits = MemoryMarshal.Cast<float, uint>(values);
            for (int i = 0; i < bits.Length; i++) bits[i] ^= Bits[i];
        }

        public override void Revert(Span<float> values) => Apply(values);

        public override IEnumerable<SafetensorsTensor> Tensors(ParameterSpec spec) => [Whole(spec, SafetensorsType.U32)];

        public override void Write(SafetensorsWriter writer) => writer.WriteBits<uint>(Bits);
    }

    internal sealed record RoundedDifference(float[] Difference) : TensorChange
    {
        public override bool IsExact => false;

        public override void Apply(Span<float> values)
        {
            for (int i = 0; i < values.Length; i++) values[i] += Difference[i];
        }

        public override void Revert(Span<float> values)
        {
            for (int i = 0; i < values.Length; i++) values[i] -= Difference[i];
        }

        public override IEnumerable<SafetensorsTensor> Tensors(ParameterSpec spec) => [Whole(spec, SafetensorsType.BF16)];

        public override void Write(SafetensorsWriter writer) => writer.Write(Difference);
    }

    internal sealed record FactoredDifference(float[] LeftFactor, float[] RightFactor, int Rank) : TensorChange
    {
        public override bool IsExact => false;

        public override void Apply(Span<float> values) => Product().Apply(values);

        public override void Revert(Span<float> values) => Product().Revert(values);

        public override IEnumerable<SafetensorsTensor> Tensors(ParameterSpec spec) =>
        [
            new(Left(spec), SafetensorsType.F32, [LeftFactor.Length / Rank, Rank]), new(Right(spec), SafetensorsType.F32, [RightFactor.Length / Rank, Rank]),
        ];

        public override void Write(SafetensorsWriter writer)
        {
            writer.Write(LeftFactor);
            writer.Write(RightFactor);
        }

        private RoundedDifference Product()
        {
            float[] product = new float[LeftFactor.Length / Rank * (RightFactor.Length / Rank)];
            LowRankFactors.Multiply(LeftFactor, RightFactor, Rank, product);
            return new RoundedDifference(product);
        }
    }
}
