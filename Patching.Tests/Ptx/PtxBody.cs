using System.Globalization;

namespace Patching.Tests.Ptx;

/// <summary>Reads one <c>.entry</c> and decodes its body.</summary>
internal sealed class PtxBody
{
    private const int MaxStaticSharedBytes = 48 * 1024;

    private readonly List<(PtxStatement Statement, PtxScope Scope)> _statements = [];
    private readonly List<PtxVariable> _shared;
    private readonly string _target;
    private readonly List<PtxParameter> _parameters = [];
    private readonly Dim3? _maxThreads;
    private int _parameterBytes;

    /// <summary>Reads everything after <c>.entry</c>.</summary>
    public PtxBody(PtxSource source, List<PtxVariable> moduleShared, string target)
    {
        _target = target;
        _shared = [.. moduleShared];
        Name = source.Until('(');
        source.Expect('(');
        foreach (string declaration in PtxSource.Split(source.Until(')'))) AddParameter(declaration, source.Line);
        source.Expect(')');
        string directives = source.Until('{');
        _maxThreads = MaxThreads(directives);
        source.Expect('{');
        ReadBlock(source, new PtxScope(null));
    }

    /// <summary>Name of the kernel.</summary>
    public string Name { get; }

    /// <summary>Decodes the statements.</summary>
    public PtxEntry Build()
    {
        Dictionary<string, int> addresses = [];
        int sharedBytes = 0;
        int dynamicAlignment = 1;
        foreach (PtxVariable variable in _shared.Where(variable => variable.Bytes > 0))
        {
            sharedBytes = Align(sharedBytes, variable.Alignment);
            addresses.Add(variable.Name, sharedBytes);
            sharedBytes += variable.Bytes;
        }
        foreach (PtxVariable variable in _shared.Where(variable => variable.Bytes == 0)) dynamicAlignment = Math.Max(dynamicAlignment, variable.Alignment);
        int dynamicStart = Align(sharedBytes, dynamicAlignment);
        foreach (PtxVariable variable in _shared.Where(variable => variable.Bytes == 0)) addresses.TryAdd(variable.Name, dynamicStart);
        bool dynamic = _shared.Any(variable => variable.Bytes == 0);
        if (sharedBytes > MaxStaticSharedBytes)
            throw new PtxFault($"{Name}: {sharedBytes} bytes of static shared memory are declared, {MaxStaticSharedBytes} are allowed");

        PtxDecoder decoder = new(Name, _parameters.ToDictionary(parameter => parameter.Name), addresses);
        Operation[] code = decoder.Decode(_statements);
        return new PtxEntry
        {
            Name = Name,
            Target = _target,
            Parameters = _parameters,
            ParameterBytes = _parameterBytes,
            MaxThreads = _maxThreads,
            StaticSharedBytes = dynamic ? dynamicStart : sharedBytes,
            UsesDynamicShared = dynamic,
            Code = code,
            Registers = decoder.Registers,
            Granule = decoder.Granule,
        };
    }

    private void ReadBlock(PtxSource source, PtxScope scope)
    {
        while (source.Peek != '}')
        {
            if (source.Peek == '{')
            {
                source.Expect('{');
                ReadBlock(source, new PtxScope(scope));
            }
            else if (source.TakeLabel() is { } label)
            {
                ReadLabelled(source, scope, label);
            }
            else
            {
                ReadStatement(source.TakeStatement(), scope);
            }
        }
        source.Expect('}');
    }

    private void ReadLabelled(PtxSource source, PtxScope scope, string label)
    {
        if (source.Take(".branchtargets")) scope.Tables[label] = [.. PtxSource.Split(source.TakeStatement().Text)];
        else if (!scope.Labels.TryAdd(label, _statements.Count)) throw new PtxFault($"{Name}: PTX line {source.Line}: label {label} is defined twice");
    }

    private void ReadStatement(PtxStatement statement, PtxScope scope)
    {
        string text = statement.Text;
        if (text.Length == 0) return;
        if (text.StartsWith(".reg ", StringComparison.Ordinal))
        {
            string[] words = text.Split(' ', 3);
            PtxType type = PtxTypes.Parse(words[1][1..]);
            if (type == PtxType.None) throw new PtxFault($"{Name}: PTX line {statement.Line}: unknown type in: {text}");
            scope.Declare(type, words[2]);
        }
        else if (text.StartsWith(".shared ", StringComparison.Ordinal))
        {
            _shared.Add(PtxVariable.Parse(statement with { Text = text[8..] }));
        }
        else if (text.StartsWith(".extern .shared ", StringComparison.Ordinal))
        {
            _shared.Add(PtxVariable.Parse(statement with { Text = text[16..] }));
        }
        else if (text[0] != '.')
        {
            _statements.Add((statement, scope));
        }
        else if (!text.StartsWith(".pragma", StringComparison.Ordinal) && !text.StartsWith(".loc", StringComparison.Ordinal))
        {
            throw new PtxFault($"{Name}: PTX line {statement.Line}: directive not supported: {text}");
        }
    }

    private void AddParameter(string declaration, int line)
    {
        const string prefix = ".param ";
        if (!declaration.StartsWith(prefix, StringComparison.Ordinal)) throw new PtxFault($"{Name}: PTX line {line}: not a parameter: {declaration}");
        PtxVariable variable = PtxVariable.Parse(new PtxStatement(declaration[prefix.Length..], line));
        _parameterBytes = Align(_parameterBytes, variable.Alignment);
        _parameters.Add(new PtxParameter(variable.Name, variable.Bytes, variable.Alignment, _parameterBytes));
        _parameterBytes += variable.Bytes;
    }

    private static Dim3? MaxThreads(string directives)
    {
        int start = directives.IndexOf(".maxntid", StringComparison.Ordinal);
        if (start < 0) return null;
        string list = directives[(start + 8)..];
        int end = list.IndexOf('.', StringComparison.Ordinal);
        int[] extent = [.. (end < 0 ? list : list[..end]).Split(',').Select(word => int.Parse(word, CultureInfo.InvariantCulture))];
        return new Dim3(extent[0], extent.Length > 1 ? extent[1] : 1, extent.Length > 2 ? extent[2] : 1);
    }

    private static int Align(int offset, int alignment) => (offset + alignment - 1) / alignment * alignment;
}
