using Patching.Model.Images;

namespace Patching.Model.PatchFiles;

/// <summary>
/// The best approximation of a matrix by one of rank r, <c>D ~ left right^T</c>, by randomised subspace iteration (Halko, Martinsson and Tropp 2011): a few more random directions than
/// needed, two power iterations, and the small symmetric eigenproblem by Jacobi rotations. Double precision; the random directions are the same every time.
/// </summary>
internal static class LowRankFactors
{
    private const int Oversampling = 8;
    private const int PowerIterations = 2;

    /// <summary>Factors a matrix.</summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="rows">m.</param>
    /// <param name="columns">n.</param>
    /// <param name="rank">r, at most the smaller of both.</param>
    /// <returns>left [m, r] with orthonormal columns, right [n, r].</returns>
    public static (float[] Left, float[] Right) Of(float[] matrix, int rows, int columns, int rank)
    {
        int k = Math.Min(rank + Oversampling, Math.Min(rows, columns));
        double[] z = new double[columns * k];
        SampleRandom random = SampleRandom.ForSample(0, 0, (long)rows << 32 | (uint)columns);
        for (int i = 0; i < z.Length; i++) z[i] = random.NextDouble() - 0.5;
        double[] q = Times(matrix, rows, columns, z, k);
        Orthonormalise(q, rows, k);
        for (int iteration = 0; iteration < PowerIterations; iteration++)
        {
            z = TransposedTimes(matrix, rows, columns, q, k);
            Orthonormalise(z, columns, k);
            q = Times(matrix, rows, columns, z, k);
            Orthonormalise(q, rows, k);
        }
        double[] b = TransposedTimes(matrix, rows, columns, q, k);
        double[] directions = LargestEigenvectors(Gram(b, columns, k), k, rank);
        return (Project(q, rows, directions, k, rank), Project(b, columns, directions, k, rank));
    }

    /// <summary>Element (i, j) of left right^T is the dot product of rows i and j; writes all of them.</summary>
    public static void Multiply(float[] left, float[] right, int rank, Span<float> matrix)
    {
        int columns = right.Length / rank;
        for (int i = 0; i < matrix.Length; i++)
        {
            ReadOnlySpan<float> l = left.AsSpan(i / columns * rank, rank), r = right.AsSpan(i % columns * rank, rank);
            double sum = 0;
            for (int j = 0; j < rank; j++) sum += (double)l[j] * r[j];
            matrix[i] = (float)sum;
        }
    }

    // [m, n] x [n, k].
    private static double[] Times(float[] matrix, int rows, int columns, double[] z, int k)
    {
        double[] product = new double[rows * k];
        Parallel.For(0, rows, i =>
        {
            Span<double> row = product.AsSpan(i * k, k);
            for (int j = 0; j < columns; j++) Add(row, matrix[i * columns + j], z.AsSpan(j * k, k));
        });
        return product;
    }

    // [m, n]^T x [m, k].
    private static double[] TransposedTimes(float[] matrix, int rows, int columns, double[] q, int k)
    {
        const int block = 32;
        double[] product = new double[columns * k];
        Parallel.For(0, (columns + block - 1) / block, part =>
        {
            int end = Math.Min(columns, (part + 1) * block);
            for (int i = 0; i < rows; i++)
            {
                for (int j = part * block; j < end; j++) Add(product.AsSpan(j * k, k), matrix[i * columns + j], q.AsSpan(i * k, k));
            }
        });
        return product;
    }

    private static void Add(Span<double> sum, double factor, ReadOnlySpan<double> term)
    {
        for (int j = 0; j < sum.Length; j++) sum[j] += factor * term[j];
    }

    // Modified Gram-Schmidt, twice, which is as good as orthogonal; a column that is nothing but rounding becomes zero.
    private static void Orthonormalise(double[] matrix, int rows, int k)
    {
        for (int column = 0; column < k; column++)
        {
            double before = Norm(matrix, rows, k, column);
            for (int pass = 0; pass < 2; pass++)
            {
                for (int other = 0; other < column; other++)
                {
                    double dot = 0;
                    for (int i = 0; i < rows; i++) dot += matrix[i * k + column] * matrix[i * k + other];
                    for (int i = 0; i < rows; i++) matrix[i * k + column] -= dot * matrix[i * k + other];
                }
            }
            double norm = Norm(matrix, rows, k, column), factor = norm > before * 1e-13 ? 1 / norm : 0;
            for (int i = 0; i < rows; i++) matrix[i * k + column] *= factor;
        }
    }

    private static double Norm(double[] matrix, int rows, int k, int column)
    {
        double sum = 0;
        for (int i = 0; i < rows; i++) sum += matrix[i * k + column] * matrix[i * k + column];
        return Math.Sqrt(sum);
    }

    private static double[] Gram(double[] b, int rows, int k)
    {
        double[] gram = new double[k * k];
        for (int i = 0; i < rows; i++)
        {
            for (int r = 0; r < k; r++) Add(gram.AsSpan(r * k, k), b[i * k + r], b.AsSpan(i * k, k));
        }
        return gram;
    }

    // Cyclic Jacobi: every rotation makes one pair of off-diagonal elements zero; the rotations together are the eigenvectors.
    private static double[] LargestEigenvectors(double[] a, int k, int wanted)
    {
        double[] vectors = new double[k * k];
        for (int i = 0; i < k; i++) vectors[i * k + i] = 1;
        for (int sweep = 0; sweep < 30; sweep++)
        {
            for (int p = 0; p < k; p++)
            {
                for (int q = p + 1; q < k; q++)
                {
                    double apq = a[p * k + q];
                    if (Math.Abs(apq) <= 1e-300) continue;
                    double theta = (a[q * k + q] - a[p * k + p]) / (2 * apq);
                    double t = (theta >= 0 ? 1 : -1) / (Math.Abs(theta) + Math.Sqrt(theta * theta + 1)), c = 1 / Math.Sqrt(t * t + 1), s = t * c;
                    for (int i = 0; i < k; i++) (a[i * k + p], a[i * k + q]) = (c * a[i * k + p] - s * a[i * k + q], s * a[i * k + p] + c * a[i * k + q]);
                    for (int i = 0; i < k; i++) (a[p * k + i], a[q * k + i]) = (c * a[p * k + i] - s * a[q * k + i], s * a[p * k + i] + c * a[q * k + i]);
                    for (int i = 0; i < k; i++)
                        (vectors[i * k + p], vectors[i * k + q]) = (c * vectors[i * k + p] - s * vectors[i * k + q], s * vectors[i * k + p] + c * vectors[i * k + q]);
                }
            }
        }
        int[] order = [.. Enumerable.Range(0, k).OrderByDescending(i => a[i * k + i]).Take(wanted)];
        double[] largest = new double[k * wanted];
        for (int i = 0; i < k; i++)
        {
            for (int j = 0; j < wanted; j++) largest[i * wanted + j] = vectors[i * k + order[j]];
        }
        return largest;
    }

    private static float[] Project(double[] matrix, int rows, double[] directions, int k, int rank)
    {
        float[] projected = new float[rows * rank];
        double[] row = new double[rank];
        for (int i = 0; i < rows; i++)
        {
            Array.Clear(row);
            for (int j = 0; j < k; j++) Add(row, matrix[i * k + j], directions.AsSpan(j * rank, rank));
            for (int j = 0; j < rank; j++) projected[i * rank + j] = (float)row[j];
        }
        return projected;
    }
}
