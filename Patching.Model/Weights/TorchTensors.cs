namespace Patching.Model.Weights;

/// <summary>
/// Finds the named tensors in what a PyTorch file holds: a state dict, a training checkpoint with a state dict in it, a whole module, or a
/// TorchScript module. Names are those that <c>state_dict()</c> would give, without the prefixes that wrappers add.
/// </summary>
internal sealed class TorchTensors
{
    private const int DeepestModule = 64;

    /// <summary>Where training programs keep the state dict, best first.</summary>
    private static readonly string[] StateDictKeys = ["state_dict", "model_state_dict", "model", "module", "net"];

    /// <summary>What wrappers put before every name: DataParallel, torch.compile, the original's ImageEncoder and
    /// ImageClassifier.</summary>
    private static readonly string[] Prefixes = ["module.", "_orig_mod.", "model.", "image_encoder."];

    private readonly string _path;
    private readonly Dictionary<string, TorchTensor> _tensors = new(StringComparer.Ordinal);
    private readonly HashSet<PythonObject> _visited = new(ReferenceEqualityComparer.Instance);
    private readonly SortedSet<string> _activations = new(StringComparer.Ordinal);
    private readonly List<string> _notes = [];

    private TorchTensors(string path) => _path = path;

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, TorchTensor> Tensors => _tensors;

    /// <summary>What was left out or renamed, a sentence each.</summary>
    public IReadOnlyList<string> Notes => _notes;

    /// <summary>
    /// The activation, where the file holds modules and their classes say it: QuickGELU is a class of OpenAI's code, GELU one of PyTorch's.
    /// </summary>
    public string? Activation => _activations.Count == 1 ? _activations.Min : null;

    /// <summary>Finds the tensors.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="root">What its pickle holds.</param>
    /// <exception cref="InputException">There are none, or one name stands for two.</exception>
    public static TorchTensors Find(string path, object? root)
    {
        var found = new TorchTensors(path);
        bool isModule = found.Enter(root, 0);
        if (found._tensors.Count == 0) throw new InputException($"{path}: holds a module without tensors; give a model");
        isModule |= found.StripPrefixes();
        if (isModule) found.DropTextRemains();
        return found;
    }

    /// <returns>Whether a whole module was found rather than a state dict.</returns>
    private bool Enter(object? value, int depth)
    {
        switch (value)
        {
            case PythonObject module:
                Walk("", module, 0);
                return true;
            case Dictionary<string, object?> entries when entries.Values.Any(entry => entry is TorchTensor):
                foreach ((string name, object? entry) in entries)
                    if (entry is TorchTensor tensor) Add(name, tensor);
                NoteSkipped(entries.Where(entry => entry.Value is not TorchTensor).Select(entry => entry.Key));
                return false;
            case Dictionary<string, object?> entries when depth < StateDictKeys.Length:
                string key = StateDictKeys.FirstOrDefault(
                    key => entries.GetValueOrDefault(key) is Dictionary<string, object?> or PythonObject)
                    ?? throw new InputException($"{_path}: holds no tensors under names; its entries are: {Few(entries.Keys)}");
                _notes.Add($"taken from its entry '{key}'");
                NoteSkipped(entries.Keys.Where(other => other != key));
                return Enter(entries[key], depth + 1);
            default:
                throw new InputException($"{_path}: holds no tensors under names; give a state dict or a module");
        }
    }

    /// <summary>
    /// The tensors of a module and those below it. Python's modules keep parameters, buffers and submodules in three dictionaries, those of
    /// TorchScript keep all of them among their attributes. A module that occurs twice counts at its first place.
    /// </summary>
    private void Walk(string prefix, PythonObject module, int depth)
    {
        if (depth > DeepestModule) throw new InputException($"{_path}: its modules are nested more than {DeepestModule} deep");
        if (module.Type.Name is "QuickGELU" or "GELU") _activations.Add(module.Type.Name == "GELU" ? "gelu" : "quick_gelu");
        if (!_visited.Add(module)) return;
        object? state = module.State is object?[] and [var attributes, ..] ? attributes : module.State;
        if (state is not Dictionary<string, object?> members) return;
        bool isPython = members.ContainsKey("_parameters") && members.ContainsKey("_modules");
        IEnumerable<KeyValuePair<string, object?>> parts = isPython ? Members(members, "_parameters", "_buffers", "_modules") : members;
        foreach ((string name, object? value) in parts)
        {
            if (value is TorchTensor tensor) Add(prefix + name, tensor);
            else if (value is PythonObject inner) Walk($"{prefix}{name}.", inner, depth + 1);
        }
    }

    private static IEnumerable<KeyValuePair<string, object?>> Members(Dictionary<string, object?> module, params string[] kinds) =>
        kinds.SelectMany(kind => module.GetValueOrDefault(kind) as IEnumerable<KeyValuePair<string, object?>> ?? []);

    private void Add(string name, TorchTensor tensor)
    {
        if (!_tensors.TryAdd(name, tensor)) throw new InputException($"{_path}: two tensors have the name '{HostileText.Show(name)}'");
    }

    /// <returns>Whether the prefix of the original's image encoder was among them.</returns>
    private bool StripPrefixes()
    {
        bool isEncoder = false;
        while (Prefixes.FirstOrDefault(Applies) is { } prefix)
        {
            isEncoder |= prefix == "model.";
            (string Name, TorchTensor Tensor)[] all = [.. _tensors.Select(pair => (pair.Key, pair.Value))];
            _tensors.Clear();
            foreach ((string name, TorchTensor tensor) in all)
                if (name.StartsWith(prefix, StringComparison.Ordinal)) Add(name[prefix.Length..], tensor);
            _notes.Add($"'{prefix}' was removed from the names");
            NoteSkipped(all.Select(pair => pair.Name).Where(name => !name.StartsWith(prefix, StringComparison.Ordinal)));
        }
        return isEncoder;
    }

    /// <summary>Whether every name has the prefix; the original's classifier has a head beside its image encoder.</summary>
    private bool Applies(string prefix) => _tensors.Keys.All(
        name => (name.StartsWith(prefix, StringComparison.Ordinal) && name.Length > prefix.Length)
            || (prefix == "image_encoder." && name.StartsWith("classification_head.", StringComparison.Ordinal)))
        && _tensors.Keys.Any(name => name.StartsWith(prefix, StringComparison.Ordinal));

    /// <summary>The original's image encoder deletes the blocks of the text tower and leaves the rest of it, which is of no use
    /// alone.</summary>
    private void DropTextRemains()
    {
        bool hasBlocks = _tensors.Keys.Any(name => name.StartsWith("transformer.", StringComparison.Ordinal));
        if (hasBlocks || !_tensors.Keys.Any(OpenAiNames.IsTypical)) return;
        string[] remains = [.. _tensors.Keys.Where(OpenAiNames.IsText).Append("logit_scale").Where(_tensors.ContainsKey)];
        foreach (string name in remains) _tensors.Remove(name);
        NoteSkipped(remains);
    }

    private void NoteSkipped(IEnumerable<string> names)
    {
        string[] skipped = [.. names];
        if (skipped.Length > 0) _notes.Add($"not used: {Few(skipped)}");
    }

    private static string Few(IReadOnlyCollection<string> names)
    {
        string first = string.Join(", ", names.Take(8).Select(HostileText.Show));
        return names.Count == 0 ? "none" : names.Count > 8 ? $"{first} and {names.Count - 8} more" : first;
    }
}
