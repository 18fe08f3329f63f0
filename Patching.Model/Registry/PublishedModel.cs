using System.Collections.Immutable;

namespace Patching.Model.Registry;

/// <summary>A file of a published model.</summary>
/// <param name="Name">Its name in the model's folder.</param>
/// <param name="Address">Where its publisher serves it.</param>
/// <param name="Sha256">Its SHA-256 where the publisher's address or this program's authors vouch for one; else null: the hash of the first
/// download is then written down and holds from there on.</param>
public sealed record PublishedFile(string Name, Uri Address, string? Sha256);

/// <summary>A CLIP that its publisher serves under a fixed name.</summary>
/// <param name="Name">What <c>--model</c> takes, for example <c>ViT-B/32</c> or <c>ViT-B-32:laion2b_s34b_b79k</c>.</param>
/// <param name="Description">Who trained it on what.</param>
/// <param name="Weights">The file with the weights, the first of <see cref="Files"/>.</param>
/// <param name="OpensAsFolder">Whether the folder is opened (it has a config), or the weights' file alone (it says all there is to know).</param>
/// <param name="Files">What is fetched.</param>
public sealed record PublishedModel(
    string Name, string Description, string Weights, bool OpensAsFolder, ImmutableArray<PublishedFile> Files)
{
    /// <summary>The name as that of a folder.</summary>
    public string FolderName => Name.Replace('/', '-').Replace(':', '-');
}
