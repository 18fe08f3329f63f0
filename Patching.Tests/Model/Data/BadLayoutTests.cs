using System.IO.Compression;
using System.Text;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

/// <summary>Data sets with something wrong in them: one line that names the file, and nothing else.</summary>
internal sealed class BadLayoutTests
{
    private sealed record Bad(string What, string Name, DatasetSplit Split, Action<TemporaryFolder> Write, string File, string Message)
    {
        public override string ToString() => $"{Name} {What}";
    }

    private static IEnumerable<TestCaseData> All() => ((Bad[])[.. Lists(), .. Matlab(), .. Binaries(), .. Archives(), .. Tables(),
        .. Annotations()])
        .Select(one => new TestCaseData(one.Name, one.Split, one.Write, one.File, one.Message).SetArgDisplayNames(one.ToString()));

    [TestCaseSource(nameof(All))]
    public void IsSaidInOneLine(string name, DatasetSplit split, Action<TemporaryFolder> write, string file, string message)
    {
        using var root = new TemporaryFolder();
        write(root);
        InputException? error = Assert.Throws<InputException>(() => DatasetCatalog.Open(name.Replace("{root}", root.Path), split,
            root.Path));
        TestContext.Out.WriteLine(error!.Message);
        Assert.That(error.Message, Does.Contain(file.Replace("{root}", root.Path)).And.Contains(message).And.Not.Contains("\n"));
    }

    private static Bad[] Lists() =>
    [
        new("class unknown", "DTD", DatasetSplit.Test, root => Dtd(root, "dotty/1.jpg\n"), "labels/test1.txt",
            "line 1 names 'dotty/1.jpg'"),
        new("path upwards", "DTD", DatasetSplit.Test, root => Dtd(root, "banded/1.jpg\n..\\..\\etc\\banded\\1.jpg\n"), "labels/test1.txt",
            "line 2 names"),
        new("list without images", "DTD", DatasetSplit.Test, root => Dtd(root, "\n\n"), "dtd/images", "holds no evaluation images"),
        new("list missing", "DTD", DatasetSplit.Train, root => Dtd(root, "banded/1.jpg\n"), "{root}/dtd", "no labels/train1.txt in"),
        new("no class", "Food101", DatasetSplit.Train, root =>
        {
            LayoutCases.Images(root, "food-101/images/apple_pie/1.jpg");
            LayoutCases.Text(root, "food-101/meta/train.txt", "apple_pie\n");
        }, "meta/train.txt", "line 1 names 'apple_pie'"),
        new("no partition", "SUN397", DatasetSplit.Train, root => LayoutCases.Images(root, "SUN397/a/abbey/1.jpg"), "{root}/SUN397",
            "no Training_01.txt in"),
        new("no images", "RESISC45", DatasetSplit.Train, root => LayoutCases.Text(root, "resisc45/resisc45-train.txt", "a.jpg\n"),
            "{root}/resisc45", "NWPU-RESISC45"),
        new("none of the images", "RESISC45", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "resisc45/NWPU-RESISC45/airplane/1.jpg");
            LayoutCases.Text(root, "resisc45/resisc45-test.txt", "2.jpg\n");
        }, "NWPU-RESISC45", "holds no evaluation images"),
        new("no classes", "EuroSAT", DatasetSplit.Train, root => LayoutCases.Images(root, "EuroSAT_splits/train/Moon/1.jpg"),
            "EuroSAT_splits/train", "holds no training images"),
        new("no training images", "ImageNetV2", DatasetSplit.Train, root => LayoutCases.Images(root, "imagenetv2/0/1.jpg"), "ImageNetV2",
            "can only be evaluated"),
    ];

    private static Bad[] Matlab() =>
    [
        Cars("no structures", MatWriter.Text("annotations", "x"), "'annotations' is char"),
        Cars("no field", MatWriter.Structs("annotations", [1, 1], ["class"], MatWriter.Number("", 1)), "no field 'fname'"),
        Cars("no labels", MatWriter.Structs("annotations", [1, 1], ["fname"], MatWriter.Text("", "1.jpg")), "has no labels"),
        Cars("class 0",
            MatWriter.Structs("annotations", [1, 1], ["fname", "class"], MatWriter.Text("", "1.jpg"), MatWriter.Number("", 0)),
            "classes 1 to 196"),
        Cars("class 197",
            MatWriter.Structs("annotations", [1, 1], ["fname", "class"], MatWriter.Text("", "1.jpg"), MatWriter.Number("", 197)),
            "has class 197"),
        Cars("path",
            MatWriter.Structs("annotations", [1, 1], ["fname", "class"], MatWriter.Text("", "../1.jpg"), MatWriter.Number("", 1)),
            "'../1.jpg'"),
        Cars("name a number",
            MatWriter.Structs("annotations", [1, 1], ["fname", "class"], MatWriter.Number("", 3), MatWriter.Number("", 1)),
            "text is expected"),
        new("few class names", "Cars", DatasetSplit.Test, root =>
        {
            WriteCars(
                root, MatWriter.Structs("annotations", [1, 1], ["fname", "class"], MatWriter.Text("", "1.jpg"), MatWriter.Number("", 1)));
            LayoutCases.Bytes(root, "stanford_cars/devkit/cars_meta.mat",
                new MatWriter().Add(MatWriter.Cells("class_names", [1, 1], MatWriter.Text("", "a"))).ToArray());
        }, "cars_meta.mat", "names 1 classes"),
        new("version 7.3", "SVHN", DatasetSplit.Test,
            root => LayoutCases.Bytes(root, "svhn/test_32x32.mat", new MatWriter("MATLAB 7.3 MAT-file").ToArray()
            .Concat(new byte[9]).ToArray()), "test_32x32.mat", "'-v7'"),
        Svhn("wrong shape", [30, 32, 3, 1], 30 * 32 * 3, 1, "X is uint8 [30, 32, 3, 1]"),
        Svhn("labels missing", [32, 32, 3, 2], 2 * 3072, 1, "1 labels for 2 images"),
        Svhn("label 11", [32, 32, 3, 1], 3072, 1, "label 0 is 11", digit: 11),
        new("number unknown", "ImageNet", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "imagenet/val/ILSVRC2012_val_00000001.JPEG");
            LayoutCases.Text(root, "imagenet/data/ILSVRC2012_validation_ground_truth.txt", "1001\n");
            LayoutCases.Bytes(root, "imagenet/data/meta.mat",
                new MatWriter().Add(MatWriter.Structs("synsets", [1, 1], ["ILSVRC2012_ID", "WNID"],
                MatWriter.Number("", 7), MatWriter.Text("", "n01443537"))).ToArray());
        }, "ground_truth.txt", "line 1 is '1001'"),
        new("flat without labels", "ImageNet", DatasetSplit.Test,
            root => LayoutCases.Images(root, "imagenet/val/ILSVRC2012_val_00000001.JPEG"),
            "imagenet/val", "of the devkit"),
    ];

    private static Bad[] Binaries() =>
    [
        new("ragged", "CIFAR10", DatasetSplit.Test,
            root => LayoutCases.Bytes(root, "cifar-10-batches-bin/test_batch.bin", new byte[3074]), "test_batch.bin", "3074 bytes"),
        new("empty", "CIFAR100", DatasetSplit.Test, root => LayoutCases.Bytes(root, "cifar-100-binary/test.bin", []), "test.bin",
            "holds no images"),
        new("coarse labels only", "CIFAR100", DatasetSplit.Test,
            root => LayoutCases.Bytes(root, "cifar-100-python/test", PickleWriter.Batch(1)), "cifar-100-python/test",
            "no list 'fine_labels'"),
        new("label 0", "STL10", DatasetSplit.Test, root =>
        {
            LayoutCases.Bytes(root, "stl10/test_X.bin", new byte[27648]);
            LayoutCases.Bytes(root, "stl10/test_y.bin", [0]);
        }, "test_X.bin", "label 0 is -1"),
        new("cut short", "STL10", DatasetSplit.Test, root =>
        {
            LayoutCases.Bytes(root, "stl10/test_X.bin", new byte[27648 / 2]);
            LayoutCases.Bytes(root, "stl10/test_y.bin", [1]);
        }, "test_X.bin", "1 labels for 0.5 images"),
        new("no labels", "STL10", DatasetSplit.Test, root => LayoutCases.Bytes(root, "stl10/test_X.bin", new byte[27648]), "{root}/stl10",
            "no test_y.bin in"),
        new("short row", "MNIST", DatasetSplit.Test, root => LayoutCases.Text(root, "MNIST/mnist_test.csv", "label,a\n1,2,3\n"),
            "mnist_test.csv", "line 2 is not a label"),
        new("class 10", "MNIST", DatasetSplit.Test,
            root => LayoutCases.Text(root, "MNIST/mnist_test.csv", "10" + string.Concat(Enumerable.Repeat(",0", 784))), "mnist_test.csv",
            "label 10"),
    ];

    private static Bad[] Archives() =>
    [
        new("zip of nothing", "DTD", DatasetSplit.Test, root => LayoutCases.Bytes(root, "dtd.zip", [1, 2, 3]), "dtd.zip", "cut short"),
        new("tar of nothing", "DTD", DatasetSplit.Test,
            root => LayoutCases.Bytes(root, "dtd/dtd.tar", Encoding.ASCII.GetBytes(new string('x', 1024))), "dtd.tar", "is damaged"),
        new("gzip of nothing", "DTD", DatasetSplit.Test, root => LayoutCases.Bytes(root, "dtd.tar.gz", [1, 2, 3]), "dtd.tar.gz",
            "is damaged"),
        new("cut tar.gz", "DTD", DatasetSplit.Test, root =>
        {
            byte[] random = new byte[4000];
            new Random(1).NextBytes(random);
            LayoutCases.Bytes(root, "dtd.tgz", SyntheticFiles.Gzip(random)[..2000]);
        }, "dtd.tgz", "damaged"),
        new("zip that leads away", "DTD", DatasetSplit.Test, root =>
        {
            using ZipArchive zip = ZipFile.Open(root.File("dtd.zip"), ZipArchiveMode.Create);
            zip.CreateEntry("../../etc/passwd");
        }, "dtd.zip", "leads out of the archive"),
        new("folder in place of an archive", "folder:{root}/x.txt", DatasetSplit.Test, root => LayoutCases.Text(root, "x.txt", "x"),
            "x.txt", "neither a folder nor an archive"),
    ];

    private static Bad[] Tables() =>
    [
        new("no columns", "csv:{root}/t.csv", DatasetSplit.Test, root => LayoutCases.Text(root, "t.csv", "a,b\n1,2\n"), "t.csv",
            "does not name a column path"),
        new("no file", "csv:{root}/t.csv", DatasetSplit.Test, _ => { }, "t.csv", "no such file"),
        new("empty", "csv:{root}/t.csv", DatasetSplit.Test, root => LayoutCases.Text(root, "t.csv", ""), "t.csv", "is empty"),
        new("no rows", "csv:{root}/t.csv", DatasetSplit.Test, root => LayoutCases.Text(root, "t.csv", "path,label\n"), "t.csv",
            "names no images"),
        new("short row", "csv:{root}/t.csv", DatasetSplit.Test,
            root => LayoutCases.Text(root, "t.csv", "path,label\na.jpg,cat\n\nb.jpg\n"), "t.csv", "line 4 has 1 cells"),
        new("open quote", "csv:{root}/t.csv", DatasetSplit.Test, root => LayoutCases.Text(root, "t.csv", "path,label\n\"a.jpg,cat\n"),
            "t.csv", "line 2 opens a quote"),
        new("no label", "csv:{root}/t.csv", DatasetSplit.Test, root => LayoutCases.Text(root, "t.csv", "path,label\na.jpg,\n"), "t.csv",
            "line 2 has no label"),
        new("no path", "csv:{root}/t.csv", DatasetSplit.Test, root => LayoutCases.Text(root, "t.csv", "path,label\n,cat\n"), "t.csv",
            "line 2 names no image"),
        new("odd split", "csv:{root}/t.csv", DatasetSplit.Test,
            root => LayoutCases.Text(root, "t.csv", "path,label,split\na.jpg,cat,dev\n"), "t.csv", "split 'dev'"),
        new("no such split", "csv:{root}/t.csv", DatasetSplit.Train,
            root => LayoutCases.Text(root, "t.csv", "path,label,split\na.jpg,cat,test\n"), "t.csv", "marks no images for training"),
        new("class not in the list", "csv:{root}/t.csv", DatasetSplit.Test, root =>
        {
            LayoutCases.Text(root, "t.csv", "path,label\na.jpg,cat\n");
            LayoutCases.Text(root, "t.classes.txt", "dog\n");
        }, "t.csv", "label 'cat', which is none of the 1 classes"),
        new("class twice", "csv:{root}/t.csv", DatasetSplit.Test, root =>
        {
            LayoutCases.Text(root, "t.csv", "path,label\na.jpg,cat\n");
            LayoutCases.Text(root, "classes.txt", "cat\ncat\n");
        }, "classes.txt", "line 2 names the class 'cat' again"),
        new("template without a place", "folder:{root}/x", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "x/test/cat/1.jpg");
            LayoutCases.Text(root, "x/templates.txt", "a photo of {}.\na photo.\n");
        }, "templates.txt", "line 2 has no place"),
        new("too few class names", "folder:{root}/x", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "x/test/cat/1.jpg", "x/test/dog/1.jpg");
            LayoutCases.Text(root, "x/classes.txt", "a cat\n");
        }, "classes.txt", "names 1 classes, there are 2"),
        new("class unknown", "EuroSAT", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "eurosat/Forest/1.jpg");
            LayoutCases.Text(root, "eurosat/test.csv", "Filename,ClassName\nForest/1.jpg,Moon\n");
        }, "test.csv", "line 2 has the class 'Moon'"),
        new("synset unknown", "ImageNet", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "imagenet/val/ILSVRC2012_val_00000001.JPEG");
            LayoutCases.Text(root, "imagenet/LOC_val_solution.csv",
                "ImageId,PredictionString\nILSVRC2012_val_00000001,n00000001 1 2 3 4\n");
        }, "LOC_val_solution.csv", "line 2 has the class 'n00000001'"),
        new("name without a word", "typographic:{root}/x", DatasetSplit.Test, root => LayoutCases.Images(root, "x/label=cat.png"),
            "label=cat.png", "is not called"),
        new("nothing", "typographic:{root}/x", DatasetSplit.Test, root => root.Folder("x"), "{root}/x", "holds no images"),
        new("flat for training", "typographic:{root}/x", DatasetSplit.Train, root => LayoutCases.Images(root, "x/label=a_text=b.png"),
            "{root}/x", "training needs"),
        new("word not in the list", "typographic:{root}/x", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "x/label=a_text=b.png");
            LayoutCases.Text(root, "x/classes.txt", "a\n");
        }, "label=a_text=b.png", "'b' is none of the 1 classes"),
    ];

    private static Bad[] Annotations() =>
    [
        Kitti("short line", "Car 0 0\n", "000004.txt", "line 1 is no object"),
        Kitti("behind the camera", "Car 0 0 0 1 2 3 4 5 6 7 0 0 -500 0\n", "000004.txt", "-500 m away"),
        Kitti("line that is not there", null, "train_rand.txt", "number 1 is '99'"),
        new("no devkit", "KITTI", DatasetSplit.Test, root =>
        {
            LayoutCases.Images(root, "kitti/raw/training/image_2/000000.png");
            LayoutCases.Text(root, "kitti/raw/training/label_2/000000.txt", "");
        }, "{root}/kitti", "no mapping/train_rand.txt of the devkit"),
        new("no JSON", "MTSD", DatasetSplit.Test, root => Mtsd(root, "{"), "annotations/p.json", "is no annotation"),
        new("no objects", "MTSD", DatasetSplit.Test, root => Mtsd(root, """{"ispano":false}"""), "annotations/p.json", "is no annotation"),
        new("no signs", "MTSD", DatasetSplit.Test, root => Mtsd(root, """{"ispano":true}"""), "mtsd/images", "no annotated evaluation"),
    ];

    private static void Dtd(TemporaryFolder root, string list)
    {
        LayoutCases.Images(root, "dtd/images/banded/1.jpg");
        LayoutCases.Text(root, "dtd/labels/test1.txt", list);
    }

    private static Bad Cars(string what, byte[] annotations, string message) =>
        new(what, "Cars", DatasetSplit.Test, root => WriteCars(root, annotations), "cars_test_annos_withlabels.mat", message);

    private static void WriteCars(TemporaryFolder root, byte[] annotations)
    {
        LayoutCases.Images(root, "stanford_cars/cars_test/1.jpg");
        LayoutCases.Bytes(root, "stanford_cars/cars_test_annos_withlabels.mat", new MatWriter().Add(annotations).ToArray());
    }

    private static Bad Svhn(string what, int[] shape, int bytes, int labels, string message, byte digit = 1) => new(what, "SVHN",
        DatasetSplit.Test,
        root => LayoutCases.Bytes(root, "svhn/test_32x32.mat", new MatWriter().Add(MatWriter.Bytes("X", shape, new byte[bytes]))
            .Add(MatWriter.Bytes("y", [labels, 1], Enumerable.Repeat(digit, labels).ToArray())).ToArray()), "test_32x32.mat", message);

    // Two drives of one photo each: the first in ordinal order would be drawn or not, so both are broken.
    private static Bad Kitti(string what, string? label, string file, string message) => new(what, "KITTI", DatasetSplit.Test, root =>
    {
        LayoutCases.Images(root, "kitti/raw/training/image_2/000004.png");
        LayoutCases.Text(root, "kitti/raw/training/label_2/000004.txt", label ?? "");
        LayoutCases.Text(root, "kitti/raw/mapping/train_rand.txt", label is null ? "99" : "1,2,3,4,5,6,7,8,9,10");
        LayoutCases.Text(root, "kitti/raw/mapping/train_mapping.txt",
            string.Concat(Enumerable.Range(0, 10).Select(i => $"date drive_{i} number\n")));
    }, file, message);

    private static void Mtsd(TemporaryFolder root, string annotation)
    {
        LayoutCases.Images(root, "mtsd/images/p.jpg");
        LayoutCases.Text(root, "mtsd/annotations/p.json", annotation);
        LayoutCases.Text(root, "mtsd/splits/train.txt", "");
        LayoutCases.Text(root, "mtsd/splits/val.txt", "p\n");
    }
}
