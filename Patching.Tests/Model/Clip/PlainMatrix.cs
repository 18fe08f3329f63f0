namespace Patching.Tests.Model.Clip;

/// <summary>A matrix of doubles with just the operations that <see cref="PlainTower"/> is written in.</summary>
internal sealed class PlainMatrix(int rows, int columns, double[] values)
{
    public PlainMatrix(int rows, int columns)
        : this(rows, columns, new double[rows * columns])
    {
    }

    public int Rows => rows;

    public int Columns => columns;

    public double[] Values => values;

    public double this[int row, int column]
    {
        get => values[row * columns + column];
        set => values[row * columns + column] = value;
    }

    public static PlainMatrix operator +(PlainMatrix a, PlainMatrix b) => new(a.Rows, a.Columns, [.. a.Values.Zip(b.Values, (x, y) => x + y)]);

    /// <summary>a bT.</summary>
    public static PlainMatrix TimesTransposed(PlainMatrix a, PlainMatrix b)
    {
        PlainMatrix result = new(a.Rows, b.Rows);
        for (int i = 0; i < a.Rows; i++)
            for (int j = 0; j < b.Rows; j++)
            {
                double sum = 0;
                for (int k = 0; k < a.Columns; k++) sum += a[i, k] * b[j, k];
                result[i, j] = sum;
            }
        return result;
    }

    public PlainMatrix Transposed()
    {
        PlainMatrix result = new(columns, rows);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) result[j, i] = this[i, j];
        return result;
    }

    public PlainMatrix Select(Func<double, double> function) => new(rows, columns, [.. values.Select(function)]);

    public PlainMatrix Zip(PlainMatrix other, Func<double, double, double> function) => new(rows, columns, [.. values.Zip(other.Values, function)]);

    /// <summary>Some columns of every row.</summary>
    public PlainMatrix Slice(int first, int count)
    {
        PlainMatrix result = new(rows, count);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < count; j++) result[i, j] = this[i, first + j];
        return result;
    }

    public double[] Row(int row) => values[(row * columns)..((row + 1) * columns)];
}
