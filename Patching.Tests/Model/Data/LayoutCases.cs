using System.Globalization;
using NUnit.Framework;

namespace Patching.Tests.Model.Data;

/// <summary>A data set in one of its layouts.</summary>
/// <param name="Name">The data set.</param>
/// <param name="Layout">Which layout.</param>
/// <param name="Write">Writes it.</param>
/// <param name="Train">Expected training images, as "label end-of-path".</param>
/// <param name="Test">Expected evaluation images.</param>
internal sealed record LayoutCase(string Name, string Layout, Action<TemporaryFolder> Write, string[] Train, string[] Test)
{
    public override string ToString() => $"{Name} {Layout}";
}

/// <summary>Small copies of every layout, with what is awkward in each.</summary>
internal static class LayoutCases
{
    private static int colour;

    public static IEnumerable<TestCaseData> All() => Cases().Select(one => new TestCaseData(one).SetArgDisplayNames(one.ToString()));

    /// <summary>Writes image files, each of another colour; what they are called says nothing about their format, as on real
    /// disks.</summary>
    public static void Images(TemporaryFolder root, params string[] paths)
    {
        foreach (string path in paths)
        {
            string file = root.File(path.Split('/'));
            if (!File.Exists(file)) SyntheticFiles.Ppm(file, 3, 2, (byte)Interlocked.Increment(ref colour), (byte)(colour >> 8), 77);
        }
    }

    public static void Text(TemporaryFolder root, string path, string text) => File.WriteAllText(root.File(path.Split('/')), text);

    public static void Bytes(TemporaryFolder root, string path, byte[] bytes) => File.WriteAllBytes(root.File(path.Split('/')), bytes);

    private static IEnumerable<LayoutCase> Cases() => [.. SmallImages(), .. Textures(), .. Land(), .. Signs(), .. Scenes(), .. Streets(),
        .. Objects()];

    private static IEnumerable<LayoutCase> SmallImages()
    {
        byte[] digits = SyntheticFiles.Idx(0x803, [2, 28, 28], [.. Enumerable.Range(0, 2 * 784).Select(i => (byte)(i % 251))]);
        byte[] classes = SyntheticFiles.Idx(0x801, [2], [3, 9]);
        LayoutCase Idx(string name, string layout, string train, string test, string labels, bool gzip) => new(name, layout, root =>
        {
            foreach (string part in (string[])[train, test])
            {
                Bytes(root, part, gzip ? SyntheticFiles.Gzip(digits) : digits);
                Bytes(root, part.Replace("images", "labels").Replace("idx3", "idx1"), gzip ? SyntheticFiles.Gzip(classes) : classes);
            }
        }, [$"3 {labels.Replace("*", "train")}[0]", $"9 {labels.Replace("*", "train")}[1]"],
            [$"3 {labels.Replace("*", "t10k")}[0]", $"9 {labels.Replace("*", "t10k")}[1]"]);
        yield return Idx("MNIST", "original", "MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/t10k-images-idx3-ubyte",
            "raw/*-images-idx3-ubyte", false);
        yield return Idx("FashionMNIST", "publisher", "fashionmnist/train-images-idx3-ubyte.gz", "fashionmnist/t10k-images-idx3-ubyte.gz",
            "fashionmnist/*-images-idx3-ubyte", true);
        yield return Idx("MNIST", "Kaggle", "mnist/train-images.idx3-ubyte", "mnist/t10k-images.idx3-ubyte", "mnist/*-images.idx3-ubyte",
            false);
        string row = string.Join(',', Enumerable.Range(0, 784).Select(i => (i % 200).ToString(CultureInfo.InvariantCulture)));
        yield return new("FashionMNIST", "Kaggle table", root =>
        {
            Text(root, "FashionMNIST/fashion-mnist_train.csv", $"label,pixel1,more\n7,{row}\n");
            Text(root, "FashionMNIST/fashion-mnist_test.csv", $"8,{row}\n0,{row}\n");
        }, ["7 fashion-mnist_train.csv[0]"], ["8 fashion-mnist_test.csv[0]", "0 fashion-mnist_test.csv[1]"]);

        yield return new("CIFAR10", "original", root =>
        {
            Bytes(root, "cifar-10-batches-py/data_batch_2", PickleWriter.Batch(4));
            Bytes(root, "cifar-10-batches-py/test_batch", PickleWriter.Batch(5, 6));
        }, ["4 data_batch_2[0]"], ["5 test_batch[0]", "6 test_batch[1]"]);
        byte[] pixels = PickleWriter.Pixels(1);
        yield return new("CIFAR10", "binary", root =>
        {
            Bytes(root, "cifar-10-batches-bin/data_batch_1.bin", [9, .. pixels]);
            Bytes(root, "cifar-10-batches-bin/test_batch.bin", [1, .. pixels, 2, .. pixels]);
        }, ["9 data_batch_1.bin[0]"], ["1 test_batch.bin[0]", "2 test_batch.bin[1]"]);
        yield return new("CIFAR10", "Kaggle", root => Images(root, "cifar10/train/truck/1.png", "cifar10/test/airplane/2.png"),
            ["9 train/truck/1.png"], ["0 test/airplane/2.png"]);
        byte[] Hundred(params ReadOnlySpan<int> labels) => new PickleWriter().Op('}', '(').Text("data")
            .Array(labels.Length, 3072, PickleWriter.Pixels(labels.Length))
            .Text("fine_labels").Labels(labels).Text("coarse_labels").Labels(labels).Op('u', '.').ToArray();
        yield return new("CIFAR100", "original", root =>
        {
            Bytes(root, "cifar-100-python/train", Hundred(99));
            Bytes(root, "cifar-100-python/test", Hundred(1, 2));
        }, ["99 train[0]"], ["1 test[0]", "2 test[1]"]);
        yield return new("CIFAR100", "binary", root =>
        {
            Bytes(root, "cifar-100-binary/train.bin", [3, 55, .. pixels]);
            Bytes(root, "cifar-100-binary/test.bin", [4, 66, .. pixels]);
        }, ["55 train.bin[0]"], ["66 test.bin[0]"]);
        yield return new("STL10", "original", root =>
        {
            Bytes(root, "stl10/stl10_binary/train_X.bin", new byte[96 * 96 * 3]);
            Bytes(root, "stl10/stl10_binary/train_y.bin", [10]);
            Bytes(root, "stl10/stl10_binary/test_X.bin", new byte[2 * 96 * 96 * 3]);
            Bytes(root, "stl10/stl10_binary/test_y.bin", [1, 2]);
        }, ["9 train_X.bin[0]"], ["0 test_X.bin[0]", "1 test_X.bin[1]"]);
        yield return new("SVHN", "original", root =>
        {
            Bytes(root, "svhn/train_32x32.mat",
                new MatWriter().Add(MatWriter.Bytes("X", [32, 32, 3, 2], new byte[2 * 3072]), compress: true)
                .Add(MatWriter.Bytes("y", [2, 1], [10, 3], 6), compress: true).ToArray());
            Bytes(root, "svhn/test_32x32.mat", new MatWriter().Add(MatWriter.Bytes("X", [32, 32, 3], new byte[3072]))
                .Add(MatWriter.Bytes("y", [1, 1], [1])).ToArray());
        }, ["0 train_32x32.mat[0]", "3 train_32x32.mat[1]"], ["1 test_32x32.mat[0]"]);
    }

    private static IEnumerable<LayoutCase> Textures()
    {
        // Ten of 47 folders keep the 47 classes; an empty class and a mixed-case ending are no trouble.
        yield return new("DTD", "original", root =>
        {
            Images(root, "dtd/train/banded/1.JPG", "dtd/train/polka-dotted/2.jpeg", "dtd/val/zigzagged/3.jpg");
            root.Folder("dtd", "train", "lined");
        }, ["0 train/banded/1.JPG", "30 train/polka-dotted/2.jpeg"], ["46 val/zigzagged/3.jpg"]);
        foreach (string wrapping in (string[])["dtd", "dtd/dtd", "DTD/archive/dtd"])
        {
            yield return new("DTD", "publisher in " + wrapping, root =>
            {
                Images(root, $"{wrapping}/images/zigzagged/z.jpg", $"{wrapping}/images/banded/b.jpg", $"{wrapping}/images/banded/a.jpg",
                    $"{wrapping}/images/lined/l.jpg");
                Text(root, $"{wrapping}/labels/train1.txt", "zigzagged/z.jpg\r\nbanded\\b.jpg\r\n");
                Text(root, $"{wrapping}/labels/val1.txt", "banded/a.jpg\n\n");
                Text(root, $"{wrapping}/labels/test1.txt", "lined/l.jpg\n");
            }, ["0 images/banded/a.jpg", "0 images/banded/b.jpg", "46 images/zigzagged/z.jpg"], ["22 images/lined/l.jpg"]);
        }
        yield return new("Food101", "publisher", root =>
        {
            Images(root, "food-101/images/apple_pie/1.jpg", "food-101/images/waffles/2.jpg");
            Text(root, "food-101/meta/train.txt", "waffles/2\n");
            Text(root, "food-101/meta/test.txt", "apple_pie/1\n");
        }, ["100 images/waffles/2.jpg"], ["0 images/apple_pie/1.jpg"]);
        yield return new("Food101", "Kaggle", root => Images(root, "food101/train/apple_pie/1.jpg", "food101/test/waffles/2.jpg"),
            ["0 train/apple_pie/1.jpg"], ["100 test/waffles/2.jpg"]);
    }

    private static IEnumerable<LayoutCase> Land()
    {
        yield return new("EuroSAT", "original", root => Images(root,
            "EuroSAT_splits/train/AnnualCrop/1.jpg", "EuroSAT_splits/val/SeaLake/2.jpg", "EuroSAT_splits/test/River/3.jpg"),
            ["0 train/AnnualCrop/1.jpg"], ["8 test/River/3.jpg"]);
        yield return new("EuroSAT", "Kaggle", root =>
        {
            Images(root, "eurosat/EuroSAT/Forest/Forest_1.jpg", "eurosat/EuroSAT/River/River_2.jpg");
            Text(root, "eurosat/EuroSAT/train.csv", ",Filename,Label,ClassName\n7,Forest/Forest_1.jpg,1,Forest\n");
            Text(root, "eurosat/EuroSAT/test.csv", ",Filename,Label,ClassName\n0,River/River_2.jpg,8,River\n");
        }, ["1 Forest/Forest_1.jpg"], ["8 River/River_2.jpg"]);
        yield return new("RESISC45", "original", root =>
        {
            Images(root, "resisc45/NWPU-RESISC45/sea_ice/sea_ice_1.jpg", "resisc45/NWPU-RESISC45/airplane/airplane_1.jpg",
                "resisc45/NWPU-RESISC45/airplane/airplane_2.jpg");
            Text(root, "resisc45/resisc45-train.txt", "sea_ice_1.jpg\nairplane_2.jpg\nnot_here.jpg\n");
            Text(root, "resisc45/resisc45-test.txt", "airplane_1.jpg\n");
        }, ["0 airplane/airplane_2.jpg", "35 sea_ice/sea_ice_1.jpg"], ["0 airplane/airplane_1.jpg"]);
        yield return new("RESISC45", "Kaggle",
            root => Images(root, "RESISC45/Dataset/train/train/beach/1.jpg", "RESISC45/Dataset/test/test/wetland/1.jpg"),
            ["4 train/train/beach/1.jpg"], ["44 test/test/wetland/1.jpg"]);
    }

    private static IEnumerable<LayoutCase> Signs()
    {
        yield return new("GTSRB", "original", root =>
        {
            Images(root, "gtsrb/GTSRB/Training/00000/1.ppm", "gtsrb/GTSRB/Training/00042/2.ppm", "gtsrb/GTSRB/Final_Test/Images/00000.ppm");
            Text(root, "gtsrb/GTSRB/Training/00000/GT-00000.csv", "Filename;ClassId\n");
            Text(root, "gtsrb/GT-final_test.csv", "Filename;Width;ClassId\r\n00000.ppm;53;16\r\n");
        }, ["0 00000/1.ppm", "42 00042/2.ppm"], ["16 Images/00000.ppm"]);
        // Folders 2 and 10: their order is that of numbers.
        yield return new("GTSRB", "Kaggle", root =>
        {
            Images(root, "gtsrb/Train/10/a.png", "gtsrb/Train/2/b.png", "gtsrb/Test/00000.png");
            Text(root, "gtsrb/Test.csv", "Width,Height,Roi.X1,ClassId,Path\n53,54,6,16,Test/00000.png\n");
        }, ["2 Train/2/b.png", "10 Train/10/a.png"], ["16 Test/00000.png"]);
        yield return new("MTSD", "original",
            root => Images(root, "mtsd/train/keep-right/1.jpg", "mtsd/train/yield/2.jpg", "mtsd/val/stop/3.jpg"),
            ["0 train/keep-right/1.jpg", "2 train/yield/2.jpg"], ["1 val/stop/3.jpg"]);
        yield return new("MTSD", "publisher", root =>
        {
            foreach (string image in (string[])["p", "q", "r"]) Images(root, $"mtsd/images/{image}.jpg");
            static string Sign(string label, string key, string box) => $$"""{"label":"{{label}}","key":"{{key}}","bbox":{ {{box}} } }""";
            const string Box = "\"xmin\":0.5,\"ymin\":0.4,\"xmax\":2.5,\"ymax\":1.6";
            string signs = $"{Sign("regulatory--yield--g1", "k2", Box)},{Sign("other-sign", "k1", Box)}";
            Text(root, "mtsd/annotations/p.json", $$"""{"ispano":false,"objects":[{{signs}}]}""");
            Text(root, "mtsd/annotations/q.json", $$"""{"ispano":true,"objects":[{{Sign("regulatory--stop--g1", "k3", Box)}}]}""");
            Text(root, "mtsd/annotations/r.json", $$"""{"ispano":false,"objects":[{{Sign("regulatory--keep-right--g2", "k4", Box)}}]}""");
            Text(root, "mtsd/splits/train.txt", "p\nq\n");
            Text(root, "mtsd/splits/val.txt", "r\n");
        }, ["1 images/p.jpg[k2]"], ["0 images/r.jpg[k4]"]);
    }

    private static IEnumerable<LayoutCase> Scenes()
    {
        yield return new("SUN397", "original",
            root => Images(root, "sun397/train/a_abbey/1.jpg", "sun397/val/a_apartment_building_outdoor/2.jpg"),
            ["0 a_abbey/1.jpg"], ["8 a_apartment_building_outdoor/2.jpg"]);
        yield return new("SUN397", "publisher", root =>
        {
            Images(root, "SUN397/SUN397/a/abbey/sun_1.jpg", "SUN397/SUN397/a/apartment_building/outdoor/sun_2.jpg",
                "SUN397/SUN397/y/youth_hostel/sun_3.jpg");
            Text(root, "SUN397/Partitions/Training_01.txt", "/y/youth_hostel/sun_3.jpg\n/a/abbey/sun_1.jpg\n");
            Text(root, "SUN397/Partitions/Testing_01.txt", "/a/apartment_building/outdoor/sun_2.jpg\n");
        }, ["0 SUN397/a/abbey/sun_1.jpg", "396 y/youth_hostel/sun_3.jpg"], ["8 a/apartment_building/outdoor/sun_2.jpg"]);
    }

    private static IEnumerable<LayoutCase> Streets()
    {
        // Ten drives of one photo each, photo i of drive i; numpy's choice with seed 123 takes drive 4 to evaluate.
        foreach ((string layout, string images, string labels, string devkit) in ((string, string, string, string)[])
            [("original", "kitti/raw/training/image_2", "kitti/raw/training/label_2", "kitti/raw"),
            ("Kaggle", "kitti/data_object_image_2/training/image_2", "kitti/data_object_label_2/training/label_2", "kitti/devkit_object")])
        {
            yield return new("KITTI", layout, root =>
            {
                Text(root, $"{devkit}/mapping/train_rand.txt", "10,1,2,3,4,5,6,7,8,9");
                Text(root, $"{devkit}/mapping/train_mapping.txt",
                    string.Concat(Enumerable.Range(0, 10).Select(i => $"2011_09_26 drive_{(i + 1) % 10} 000000000{i}\r\n")));
                for (int i = 0; i < 10; i++)
                {
                    if (i == 0 || i == 4) Images(root, $"{images}/00000{i}.png");
                    Text(root, $"{labels}/00000{i}.txt", "Pedestrian 0 0 0 1 2 3 4 5 6 7 0 0 1.5 0\n"
                        + $"Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 {(i == 4 ? "19.9" : "8")} -1.59\n");
                }
            }, ["0 image_2/000000.png"], ["1 image_2/000004.png"]);
        }
    }

    private static IEnumerable<LayoutCase> Objects()
    {
        byte[] names = MatWriter.Cells("class_names", [1, 196], [.. Enumerable.Range(0, 196).Select(i => MatWriter.Text("", $"Car_{i}"))]);
        static byte[] Annotations(params (string Name, int Class)[] rows) => new MatWriter()
            .Add(MatWriter.Structs("annotations", [1, rows.Length], ["fname", "class"],
            [.. rows.SelectMany(row => (byte[][])[MatWriter.Text("", row.Name), MatWriter.Number("", row.Class)])]), compress: true)
                .ToArray();
        foreach ((string layout, string folder) in ((string, string)[])[("original", ""), ("Kaggle", "/cars_*")])
        {
            yield return new("Cars", layout, root =>
            {
                Images(root, "stanford_cars/cars_train" + folder.Replace("*", "train") + "/00001.jpg",
                    "stanford_cars/cars_test" + folder.Replace("*", "test") + "/00001.jpg");
                Bytes(root, "stanford_cars/devkit/cars_meta.mat", new MatWriter().Add(names, compress: true).ToArray());
                Bytes(root, "stanford_cars/devkit/cars_train_annos.mat", Annotations(("00001.jpg", 196)));
                Bytes(root, "stanford_cars/cars_test_annos_withlabels.mat", Annotations(("00001.jpg", 1)));
            }, ["195 00001.jpg"], ["0 00001.jpg"]);
        }
        yield return new("Cars", "one file", root =>
        {
            Images(root, "cars/car_ims/000001.jpg", "cars/car_ims/000002.jpg");
            byte[] annotations = MatWriter.Structs("annotations", [1, 2], ["relative_im_path", "class", "test"],
                MatWriter.Text("", "car_ims/000001.jpg"), MatWriter.Number("", 2), MatWriter.Number("", 0),
                MatWriter.Text("", "car_ims\\000002.jpg"), MatWriter.Number("", 3), MatWriter.Number("", 1));
            Bytes(root, "cars/cars_annos.mat", new MatWriter().Add(annotations).Add(names).ToArray());
        }, ["1 car_ims/000001.jpg"], ["2 car_ims/000002.jpg"]);
        yield return new("Cars", "Kaggle folders", root => Images(root,
            "stanford_cars/car_data/car_data/train/AM General Hummer SUV 2000/1.jpg",
                "stanford_cars/car_data/car_data/test/Ram C-V Cargo Van Minivan 2012/2.jpg"),
            ["0 AM General Hummer SUV 2000/1.jpg"], ["173 Ram C-V Cargo Van Minivan 2012/2.jpg"]);

        yield return new("ImageNet", "original",
            root => Images(root, "imagenet/train/n01443537/a.JPEG", "imagenet/val_in_folder/n01440764/b.JPEG"),
            ["1 n01443537/a.JPEG"], ["0 n01440764/b.JPEG"]);
        yield return new("ImageNet", "Kaggle", root =>
        {
            Images(root, "imagenet/ILSVRC/Data/CLS-LOC/train/n01440764/a.JPEG",
                "imagenet/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG");
            Text(root, "imagenet/LOC_val_solution.csv",
                "ImageId,PredictionString\nILSVRC2012_val_00000001,n01443537 1 2 3 4 n01443537 5 6 7 8\n");
        }, ["0 n01440764/a.JPEG"], ["1 val/ILSVRC2012_val_00000001.JPEG"]);
        yield return new("ImageNet", "publisher", root =>
        {
            Images(root, "imagenet/train/n01440764/a.JPEG", "imagenet/val/ILSVRC2012_val_00000001.JPEG",
                "imagenet/val/ILSVRC2012_val_00000003.JPEG");
            Text(root, "imagenet/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "490\n7\n7\n");
            Bytes(root, "imagenet/ILSVRC2012_devkit_t12/data/meta.mat",
                new MatWriter().Add(MatWriter.Structs("synsets", [3, 1], ["ILSVRC2012_ID", "WNID"],
                MatWriter.Number("", 490), MatWriter.Text("", "n01484850"), MatWriter.Number("", 7), MatWriter.Text("", "n01443537"),
                MatWriter.Number("", 1001), MatWriter.Text("", "n00001740")), compress: true).ToArray());
        }, ["0 n01440764/a.JPEG"], ["2 ILSVRC2012_val_00000001.JPEG", "1 ILSVRC2012_val_00000003.JPEG"]);
        yield return new("ImageNetV2", "publisher",
            root => Images(root, "imagenetv2-matched-frequency-format-val/10/a.jpeg", "imagenetv2-matched-frequency-format-val/2/b.jpeg",
            "imagenetv2-matched-frequency-format-val/0/c.jpeg"), [], ["0 0/c.jpeg", "2 2/b.jpeg", "10 10/a.jpeg"]);
    }
}
