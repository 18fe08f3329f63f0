namespace Patching.Model.Images;

/// <summary>
/// One axis of a resampling: a run of source samples is stretched or shrunk to <see cref="OutputLength"/> samples, of which only a window
/// is computed. Samples outside the run are never looked at, so the result is that of cropping first and resizing afterwards.
/// </summary>
/// <param name="SourceStart">First source sample of the crop.</param>
/// <param name="SourceLength">Number of source samples in the crop, at least 1.</param>
/// <param name="OutputLength">Length of the whole resized axis, at least 1. It may exceed 2^31 for a very long, thin image: only the window
/// is stored.</param>
/// <param name="WindowStart">First output sample wanted.</param>
/// <param name="WindowLength">Number of output samples wanted, at least 1.</param>
public readonly record struct ResampleAxis(int SourceStart, int SourceLength, long OutputLength, long WindowStart, int WindowLength)
{
    /// <summary>True when the resized axis is the source axis, sample by sample; Pillow then skips the pass.</summary>
    public bool IsIdentity => OutputLength == SourceLength;

    /// <summary>Throws unless the crop lies inside <paramref name="available"/> source samples and the window inside the output.</summary>
    internal void Validate(int available, string axis)
    {
        bool cropFits = SourceStart >= 0 && SourceLength >= 1 && SourceStart <= available - SourceLength;
        bool windowFits = OutputLength >= 1 && WindowStart >= 0 && WindowLength >= 1 && WindowStart <= OutputLength - WindowLength;
        if (!cropFits || !windowFits) throw new ArgumentOutOfRangeException(axis, $"{this} does not fit {available} source samples");
    }
}

/// <summary>
/// The filter weights of one axis, as Pillow computes them for 8-bit images (<c>precompute_coeffs</c> and <c>normalize_coeffs_8bpc</c> in
/// its Resample.c). With <c>s = source / output</c> and <c>f = max(s, 1)</c>, output sample i is centred at <c>c = (i + 1/2) s</c>, sees
/// the source samples <c>[int(c - 2f + 1/2), int(c + 2f + 1/2))</c> that exist, and weights sample j by <c>k((j - c + 1/2) / f)</c>, where
/// k is Keys' cubic with a = -1/2 (Keys 1981, "Cubic convolution interpolation for digital image processing"). Weights are divided by their
/// sum in double precision, then rounded half away from zero to multiples of 2^-22.
/// </summary>
internal sealed class BicubicWeights
{
    /// <summary>
    /// Weights are stored as integers in units of 2^-22: 32 bits less 8 for the sample and 2 for the negative lobes' overshoot.
    /// </summary>
    public const int FractionBits = 22;

    private const double FilterRadius = 2.0;

    private readonly int[] _first;
    private readonly int[] _count;
    private readonly int[] _values;
    private readonly int _stride;

    /// <summary>Computes the weights of the window of <paramref name="axis"/>.</summary>
    public BicubicWeights(in ResampleAxis axis)
    {
        Axis = axis;
        double scale = (double)axis.SourceLength / axis.OutputLength;
        double stretch = Math.Max(scale, 1.0);
        double support = FilterRadius * stretch;
        _stride = 2 * (int)Math.Ceiling(support) + 1;
        _first = new int[axis.WindowLength];
        _count = new int[axis.WindowLength];
        _values = new int[checked(axis.WindowLength * _stride)];
        double[] exact = new double[_stride];
        for (int i = 0; i < axis.WindowLength; i++)
        {
            double center = (axis.WindowStart + i + 0.5) * scale;
            int first = Math.Max(0, (int)(center - support + 0.5));
            int end = Math.Min(axis.SourceLength, (int)(center + support + 0.5));
            _first[i] = first;
            _count[i] = end - first;
            Evaluate(exact.AsSpan(0, end - first), first, center, 1.0 / stretch);
            Quantize(exact.AsSpan(0, end - first), _values.AsSpan(i * _stride));
        }
    }

    /// <summary>The axis these weights belong to.</summary>
    public ResampleAxis Axis { get; }

    /// <summary>
    /// First source sample any output of the window sees, counted from the crop's start. Windows move to the right with i.
    /// </summary>
    public int FirstSource => _first[0];

    /// <summary>One past the last source sample any output of the window sees.</summary>
    public int EndSource => _first[^1] + _count[^1];

    /// <summary>First source sample that output <paramref name="i"/> of the window sees, counted from the crop's start.</summary>
    public int First(int i) => _first[i];

    /// <summary>
    /// The weights of output <paramref name="i"/>, in units of 2^-22, for the source samples from <see cref="First"/> on.
    /// </summary>
    public ReadOnlySpan<int> Of(int i) => _values.AsSpan(i * _stride, _count[i]);

    private static void Evaluate(Span<double> weights, int first, double center, double inverseStretch)
    {
        double sum = 0;
        for (int j = 0; j < weights.Length; j++)
        {
            weights[j] = Cubic((j + first - center + 0.5) * inverseStretch);
            sum += weights[j];
        }
        if (sum == 0) return;
        for (int j = 0; j < weights.Length; j++) weights[j] /= sum;
    }

    private static void Quantize(ReadOnlySpan<double> exact, Span<int> rounded)
    {
        for (int j = 0; j < exact.Length; j++)
            rounded[j] = (int)(exact[j] * (1 << FractionBits) + (exact[j] < 0 ? -0.5 : 0.5));
    }

    // The order of operations is Pillow's: another one would differ in the last bit of the double and, rarely, of the rounded weight.
    private static double Cubic(double x)
    {
        const double a = -0.5;
        x = Math.Abs(x);
        if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
        if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
        return 0.0;
    }
}
