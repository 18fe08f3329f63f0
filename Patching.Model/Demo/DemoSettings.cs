namespace Patching.Model.Demo;

/// <summary>What <c>patching demo</c> was asked to do.</summary>
/// <param name="Output">Folder that gets everything.</param>
/// <param name="Seed">Seed of pictures, weights and order.</param>
/// <param name="Quick">A run of seconds that shows every step but learns little: for tests.</param>
public sealed record DemoSettings(string Output, int Seed, bool Quick)
{
    /// <summary>Side of the pictures.</summary>
    public int ImageSize => 32;

    /// <summary>Pictures with captions.</summary>
    public int Pairs => Quick ? 256 : 16000;

    /// <summary>Pictures of the patching task to train on.</summary>
    public int Training => Quick ? 200 : 3000;

    /// <summary>Pictures to test on, per task, and as many to validate on.</summary>
    public int Test => Quick ? 100 : 1000;

    /// <summary>Passes over the captioned pictures.</summary>
    public int PretrainEpochs => Quick ? 1 : 10;

    /// <summary>Passes over the patching task.</summary>
    public int FinetuneEpochs => Quick ? 1 : 20;
}
