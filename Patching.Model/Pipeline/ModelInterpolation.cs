using System.Globalization;
using System.Security.Cryptography;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Merging;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <summary>Interpolates two model files: all towers, tensor by tensor, so memory holds a few tensors at a time whatever the size of the models.</summary>
public static class ModelInterpolation
{
    /// <summary>
    /// Writes <c>theta = (1 - alpha) theta0 + alpha theta1</c> for every alpha as <c>DIRECTORY/alpha=A</c>. Tensors that are equal in both models, such as a frozen text tower, keep their bits.
    /// </summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="zeroPath">theta0: a model directory or a safetensors file; its preprocessing and tokenizer go into the results.</param>
    /// <param name="onePath">theta1, of the same architecture.</param>
    /// <param name="alphas">Weights of theta1.</param>
    /// <param name="directory">Where the models go.</param>
    /// <param name="activation">The non-linearity, where the user states it.</param>
    /// <param name="command">The command line, for the metadata.</param>
    /// <param name="overwrite">Whether existing models may be replaced.</param>
    /// <param name="progress">Called with models done and to do.</param>
    /// <returns>The directories written.</returns>
    /// <exception cref="InputException">The models cannot be used or do not fit together.</exception>
    public static IReadOnlyList<string> Run(
        Device device, string zeroPath, string onePath, IReadOnlyList<double> alphas, string directory, ActivationKind? activation, string command, bool overwrite,
        Action<string, long, long>? progress = null)
    {
        using ClipCheckpoint zero = ClipCheckpoint.Open(zeroPath, activation), one = ClipCheckpoint.Open(onePath, activation);
        ModelComparison.RequireSame(zero, one);
        PatchSettings.CheckFolder("--save", directory);
        foreach (double alpha in alphas) CheckpointWriter.RequireReplaceable(Path.Combine(directory, PatchedModels.DirectoryName(alpha)), overwrite);
        // Each hash reads a whole file, and is not needed before the first model is complete. On threads of their own they leave those of the pool to the blending.
        Task<string> hashOfZero = Alone(() => zero.Sha256), hashOfOne = Alone(() => one.Sha256);
        using Blender blender = new(device, ParameterTable.All(zero.Config).Max(spec => spec.Length));
        List<string> written = [];
        foreach (double alpha in alphas)
        {
            string target = Path.Combine(directory, PatchedModels.DirectoryName(alpha));
            Dictionary<string, string> Metadata(string ofZero, string ofOne) => new()
            {
                ["alpha"] = alpha.ToString("R", CultureInfo.InvariantCulture),
                ["base_model_sha256"] = ofZero,
                ["finetuned_model_sha256"] = ofOne,
                ["command"] = command,
            };
            MergeOutput output = new(target, Command: command, Overwrite: overwrite);
            string unknown = new('0', 2 * SHA256.HashSizeInBytes);
            ModelMerge.Write(
                zero, (spec, values) => blender.Blend(zero, one, spec, alpha, values.AsSpan(0, spec.Length)), output, Metadata(unknown, unknown),
                () => Metadata(hashOfZero.GetAwaiter().GetResult(), hashOfOne.GetAwaiter().GetResult()));
            written.Add(target);
            progress?.Invoke("interpolate", written.Count, alphas.Count);
        }
        return written;
    }

    private static Task<string> Alone(Func<string> work) => Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Blends parameter by parameter: on the processor where they lie, on other devices in buffers as long as the longest parameter.</summary>
    private sealed class Blender : IDisposable
    {
        private readonly Device device;
        private readonly Arena? arena;
        private readonly float[] other;
        private Tensor zero;
        private Tensor one;

        public Blender(Device device, int longest)
        {
            this.device = device;
            other = new float[longest];
            if (!device.IsHost) arena = Arena.Allocate(device, "interpolation", a => (zero, one) = (a.Take("theta0", longest), a.Take("theta1", longest)));
        }

        public void Blend(ClipCheckpoint zeroFile, ClipCheckpoint oneFile, ParameterSpec spec, double alpha, Span<float> values)
        {
            Span<float> ofOne = other.AsSpan(0, spec.Length);
            zeroFile.Read(spec, values);
            oneFile.Read(spec, ofOne);
            if (values.SequenceEqual(ofOne)) return;
            if (arena is null)
            {
                Interpolation.InPlace(values, ofOne, alpha);
                return;
            }
            Tensor a = zero.Prefix(spec.Length), b = one.Prefix(spec.Length);
            a.CopyFrom(values);
            b.CopyFrom(ofOne);
            Interpolation.Forward(device, a, a, b, alpha);
            a.CopyTo(values);
        }

        public void Dispose() => arena?.Dispose();
    }
}
