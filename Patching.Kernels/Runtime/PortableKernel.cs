using System.Linq.Expressions;
using System.Reflection;
using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// Loads the portable kernels in the place of ILGPU's methods of the same name, which the compiler finds further out. On CUDA the text goes through
/// <see cref="PtxCompiler"/>, as that of the CUDA engine's own kernels does, so that the same mistakes of ILGPU are corrected.
/// </summary>
internal static class PortableKernel
{
    /// <summary>Compiles a kernel with one thread per element and gives a launcher on the device's stream.</summary>
    public static Action<I, A, B> LoadAutoGroupedStreamKernel<I, A, B>(this Accelerator accelerator, Action<I, A, B> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C> LoadAutoGroupedStreamKernel<I, A, B, C>(this Accelerator accelerator, Action<I, A, B, C> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D> LoadAutoGroupedStreamKernel<I, A, B, C, D>(this Accelerator accelerator, Action<I, A, B, C, D> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E> LoadAutoGroupedStreamKernel<I, A, B, C, D, E>(
        this Accelerator accelerator, Action<I, A, B, C, D, E> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E, F> LoadAutoGroupedStreamKernel<I, A, B, C, D, E, F>(
        this Accelerator accelerator, Action<I, A, B, C, D, E, F> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E, F, G> LoadAutoGroupedStreamKernel<I, A, B, C, D, E, F, G>(
        this Accelerator accelerator, Action<I, A, B, C, D, E, F, G> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E, F, G, H> LoadAutoGroupedStreamKernel<I, A, B, C, D, E, F, G, H>(
        this Accelerator accelerator, Action<I, A, B, C, D, E, F, G, H> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E, F, G, H, J> LoadAutoGroupedStreamKernel<I, A, B, C, D, E, F, G, H, J>(
        this Accelerator accelerator, Action<I, A, B, C, D, E, F, G, H, J> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E, F, G, H, J, K> LoadAutoGroupedStreamKernel<I, A, B, C, D, E, F, G, H, J, K>(
        this Accelerator accelerator, Action<I, A, B, C, D, E, F, G, H, J, K> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E, F, G, H, J, K, L> LoadAutoGroupedStreamKernel<I, A, B, C, D, E, F, G, H, J, K, L>(
        this Accelerator accelerator, Action<I, A, B, C, D, E, F, G, H, J, K, L> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    /// <inheritdoc cref="LoadAutoGroupedStreamKernel{I, A, B}"/>
    public static Action<I, A, B, C, D, E, F, G, H, J, K, L, M> LoadAutoGroupedStreamKernel<I, A, B, C, D, E, F, G, H, J, K, L, M>(
        this Accelerator accelerator, Action<I, A, B, C, D, E, F, G, H, J, K, L, M> kernel)
        where I : struct, IIndex => Load(accelerator, kernel);

    // A launcher has the kernel's parameters; ILGPU's has the stream before them.
    private static TKernel Load<TKernel>(Accelerator accelerator, TKernel kernel)
        where TKernel : Delegate
    {
        ParameterExpression[] arguments = [.. kernel.Method.GetParameters().Select(parameter => Expression.Parameter(parameter.ParameterType))];
        Type onStream = Expression.GetActionType([typeof(AcceleratorStream), .. arguments.Select(argument => argument.Type)]);
        Kernel loaded = accelerator is CudaAccelerator cuda ? LoadCuda(cuda, kernel.Method) : accelerator.LoadAutoGroupedKernel(kernel.Method);
        MethodInfo create = typeof(Kernel).GetMethod(nameof(Kernel.CreateLauncherDelegate), 1, Type.EmptyTypes)!.MakeGenericMethod(onStream);
        Expression stream = Expression.Property(Expression.Constant(accelerator), nameof(Accelerator.DefaultStream));
        return Expression.Lambda<TKernel>(Expression.Invoke(Expression.Constant(create.Invoke(loaded, null), onStream), [stream, .. arguments]), arguments).Compile();
    }

    private static Kernel LoadCuda(CudaAccelerator accelerator, MethodInfo kernel)
    {
        PTXCompiledKernel compiled = PtxCompiler.CompilePortable(accelerator.Backend, kernel);
        try
        {
            return accelerator.LoadAutoGroupedKernel(compiled);
        }
        catch (CudaException error)
        {
            throw Device.Refusal(accelerator, $"{kernel.DeclaringType!.Name}.{kernel.Name}", compiled, error);
        }
    }
}
