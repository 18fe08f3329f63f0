using System.Globalization;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Reports;
using PuppeteerSharp;

namespace Patching.Tests.Model.Reports;

/// <summary>The report in a real browser: Chromium without a window, driven by its keyboard. Skipped where there is no Chromium.</summary>
internal sealed class BrowserTests
{
    // A crowded machine starts a browser slowly.
    private const int Timeout = 120_000;

    private static readonly double[] Alphas = [0, 0.25, 0.5, 1];

    private string folder = null!;
    private IBrowser browser = null!;
    private IPage page = null!;
    private List<string> complaints = null!;

    [OneTimeSetUp]
    public async Task StartBrowser()
    {
        string? chromium = ((string[])["chromium", "chromium-browser", "google-chrome"])
            .SelectMany(name => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(place => Path.Combine(place, name))).FirstOrDefault(File.Exists);
        if (chromium is null) Assert.Ignore("needs chromium");
        folder = Directory.CreateTempSubdirectory("patching-browser-").FullName;
        browser = await Puppeteer.LaunchAsync(new LaunchOptions
        {
            ExecutablePath = chromium,
            Headless = true,
            // Root has no sandbox, and the page is our own.
            Args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            UserDataDir = Path.Combine(folder, "profile"),
            Timeout = Timeout,
        });
    }

    [OneTimeTearDown]
    public async Task StopBrowser()
    {
        if (browser is null) return;
        await browser.CloseAsync();
        browser.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [SetUp]
    public async Task OpenPage()
    {
        complaints = [];
        page = await browser.NewPageAsync();
        page.DefaultTimeout = Timeout;
        page.Console += (_, message) => complaints.Add($"console: {message.Message.Text}");
        page.PageError += (_, error) => complaints.Add($"error: {error.Message}");
        page.Request += (_, request) =>
        {
            // Pictures are part of the page.
            if (!request.Request.Url.StartsWith("data:", StringComparison.Ordinal)) complaints.Add($"request: {request.Request.Url}");
        };
        page.Dialog += async (_, dialog) =>
        {
            complaints.Add($"dialog: {dialog.Dialog.Message}");
            await dialog.Dialog.Dismiss();
        };
    }

    [TearDown]
    public async Task ClosePage()
    {
        if (page is not null) await page.CloseAsync();
    }

    [Test]
    public async Task TheKeyboardMovesTheSliderAndTheSliderEveryNumber()
    {
        string[] lines = ResultLines.Run(Alphas);
        await Show(lines);
        Assert.That(await Chosen(), Is.EqualTo("1"), "the best mean is shown first");
        await AssertNumbers(lines, 1);
        string before = await Text("document.querySelector('.here').getAttribute('cx')");

        await page.FocusAsync("#alpha0");
        (string Key, double Alpha)[] keys = [("ArrowLeft", 0.5), ("ArrowLeft", 0.25), ("ArrowRight", 0.5), ("Home", 0), ("ArrowLeft", 0), ("ArrowUp", 0.25), ("End", 1)];
        foreach ((string key, double alpha) in keys)
        {
            await page.Keyboard.PressAsync(key);
            Assert.That(await Chosen(), Is.EqualTo(alpha.ToString("R", CultureInfo.InvariantCulture)), key);
            Assert.That(await Text("document.getElementById('alpha0').getAttribute('aria-valuetext')"), Is.EqualTo(FormattableString.Invariant($"alpha {alpha:R}")));
            Assert.That(await Text("document.querySelector('[aria-current] th').textContent"), Is.EqualTo(alpha.ToString("R", CultureInfo.InvariantCulture)));
            await AssertNumbers(lines, alpha);
            string now = await Text("document.querySelector('.here').getAttribute('cx')");
            Assert.That(now, alpha == 1 ? Is.EqualTo(before) : Is.Not.EqualTo(before), "the circle in the frontier");
        }
        AssertQuiet();
    }

    [Test]
    public async Task PicturesSayWhatTheirImagesAreTakenForAtTheAlphaOfTheSlider()
    {
        await Show(PredictedTask.Write(folder));
        const string said = "[...document.querySelectorAll('.flips [data-cell]')].map(cell => cell.textContent + cell.dataset.sign).join('|')";
        await page.FocusAsync("#alpha0");
        await page.Keyboard.PressAsync("Home");
        Assert.That(await Text(said), Is.EqualTo("✗ class 1✗|✓ class 1✓|✗ class 0✗|✗ class 1✗|✓ class 1✓"));
        await page.Keyboard.PressAsync("ArrowRight");
        Assert.That(await Text(said), Is.EqualTo("✓ class 0✓|✗ class 0✗|✓ class 2✓|✗ class 1✗|✓ class 1✓"));
        Assert.That(await Text("[...document.images].every(image => image.complete && image.naturalWidth === 64 && image.alt)"), Is.EqualTo("True"));
        Assert.That(await Text("[...document.querySelectorAll('.bin')].filter(circle => Number(circle.getAttribute('cx')) > 0).length"), Is.EqualTo("5"), "0.95; 0.55; 0.5, 0.5; 0.9; 0.6, 0.6");
        AssertQuiet();
    }

    [Test]
    public async Task EveryRunHasASliderThatMovesItsRowOfTheMatrix()
    {
        string[] second = ResultLines.Run([0, 1], ("finetune", new { train_dataset = "FashionMNIST" }));
        await Show([.. ResultLines.Run(Alphas), .. second]);
        await page.FocusAsync("#alpha1");
        await page.Keyboard.PressAsync("Home");
        const string row = "[...document.querySelectorAll('.matrix tbody tr')].map(row => [...row.cells].slice(1).map(cell => cell.firstElementChild.textContent).join(' | ')).join('\\n')";
        string atHome = await Text(row);
        await page.Keyboard.PressAsync("End");
        string atEnd = await Text(row);
        Assert.That(atHome.Split('\n')[1], Is.EqualTo("0 | 90.00 % | 10.00 %"));
        Assert.That(atEnd.Split('\n')[1], Is.EqualTo("1 | 80.00 % | 90.00 %"));
        Assert.That(atEnd.Split('\n')[0], Is.EqualTo(atHome.Split('\n')[0]), "the other run stays");
        AssertQuiet();
    }

    [Test]
    public async Task WhatFilesSayIsTextAndNothingElse()
    {
        const string hostile = "</script><script>document.title='taken'</script><img src='https://example.invalid/x' onerror=\"alert(1)\"> &amp;";
        await Show([.. ResultLines.Run([0, 1], ("exp_name", hostile), ("command", hostile), (hostile, hostile)), ResultLines.Line(hostile, null, 1, 4, ("exp_name", hostile))]);
        Assert.That(await Text("document.querySelector('h2[id=run0]').textContent"), Is.EqualTo(hostile));
        Assert.That(await Text("document.title"), Does.StartWith("Patching report"));
        Assert.That(await Text("document.images.length + ' ' + document.scripts.length"), Is.EqualTo("0 2"));
        AssertQuiet();
    }

    [Test]
    public async Task LightAndDarkAreReadable([Values] bool dark)
    {
        await page.EmulateMediaFeaturesAsync([new MediaFeatureValue { MediaFeature = MediaFeature.PrefersColorScheme, Value = dark ? "dark" : "light" }]);
        await Show(ResultLines.Run(Alphas));
        const string colours = """
            (() => { const probe = document.body.appendChild(document.createElement('i'));
              return ['page', 'panel', 'ink', 'soft', 'link', 'look0', 'look1', 'look2', 'look3', 'look4', 'look5'].map(name => {
                probe.style.color = `var(--${name})`; return getComputedStyle(probe).color.match(/\d+/g).slice(0, 3).join(','); }).join(' '); })()
            """;
        double[] light = [.. (await Text(colours)).Split(' ').Select(Luminance)];
        Assert.That(light[0], dark ? Is.LessThan(0.05) : Is.GreaterThan(0.9));
        foreach (double background in light[..2])
        {
            // WCAG 2: 4.5 for text, 3 for what is drawn.
            for (int i = 2; i < light.Length; i++) Assert.That(Contrast(background, light[i]), Is.GreaterThanOrEqualTo(i < 5 ? 4.5 : 3), $"colour {i}");
        }
        string background0 = await Text("getComputedStyle(document.body).backgroundColor");
        Assert.That(Luminance(string.Join(',', background0.Split('(', ')')[1].Split(',').Take(3))), Is.EqualTo(light[0]));
        Assert.That(await Text("[...document.querySelectorAll('figure text')].every(text => getComputedStyle(text).fill === getComputedStyle(document.body).color)"), Is.EqualTo("True"));
        AssertQuiet();
    }

    [TestCase(390)]
    [TestCase(1200)]
    public async Task FitsTheScreenAndIsAccessible(int width)
    {
        await page.SetViewportAsync(new ViewPortOptions { Width = width, Height = 800 });
        await Show([.. ResultLines.Run(Alphas, ("model", "/a/very/long/path/without/any/blank/in/it/that/does/not/fit/on/a/telephone/model.safetensors")), ResultLines.Line("SUN397", 1, 1, 4)]);
        Assert.That(int.Parse(await Text("document.documentElement.scrollWidth"), CultureInfo.InvariantCulture), Is.LessThanOrEqualTo(width), "only tables scroll sideways");
        Assert.That(await Text("Math.min(...[...document.querySelectorAll('figure text')].map(text => text.getBoundingClientRect().height))"), Is.Not.EqualTo("0"));
        Assert.That(await Text("[...document.querySelectorAll('input')].every(input => input.labels.length === 1)"), Is.EqualTo("True"));
        Assert.That(await Text("[...document.querySelectorAll('figure > svg')].every(svg => svg.getAttribute('role') === 'img' && svg.getAttribute('aria-label'))"), Is.EqualTo("True"));
        Assert.That(await Text("[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map(element => element.id)).size"), Is.EqualTo("True"));
        Assert.That(await Text("document.documentElement.lang + [...document.querySelectorAll('h1, h2, h3')].map(heading => heading.tagName).join('')"), Does.StartWith("enH1H2H3"));
        AssertQuiet();
    }

    // The rows are the truth: every accuracy and count beside that of its line.
    private async Task AssertNumbers(string[] lines, double alpha)
    {
        string[] shown = (await Text("[...document.querySelectorAll('.now tbody tr')].map(row => row.innerText.replace(/\\s+/g, ' ')).join('\\n')")).Split('\n');
        foreach (JsonElement row in lines.Select(line => JsonDocument.Parse(line).RootElement).Where(row => row.GetProperty("alpha").GetDouble() == alpha))
        {
            int correct = row.GetProperty("correct").GetInt32(), count = row.GetProperty("count").GetInt32();
            string line = shown.Single(line => line.StartsWith(row.GetProperty("eval_dataset").GetString()!, StringComparison.Ordinal));
            Assert.That(line, Does.Contain($"{ResultLines.Percent(correct, count)} %").And.Contain($"{correct} of {count}"));
        }
    }

    private async Task Show(string[] lines)
    {
        string path = Path.Combine(folder, $"{Guid.NewGuid():N}.html");
        HtmlReport.Save(path, new PatchReport([.. ReportRow.Read("lines", lines, folder)]));
        await page.GoToAsync(new Uri(path).AbsoluteUri);
        Assert.That(complaints, Is.EqualTo([$"request: {new Uri(path).AbsoluteUri}"]));
        complaints.Clear();
    }

    private void AssertQuiet() => Assert.That(complaints, Is.Empty);

    private Task<string> Chosen() => Text("document.getElementById('chosen0').textContent");

    private async Task<string> Text(string script) => Convert.ToString(await page.EvaluateExpressionAsync<object>(script), CultureInfo.InvariantCulture)!;

    // WCAG 2: relative luminance and contrast.
    private static double Luminance(string colour)
    {
        double[] linear = [.. colour.Split(',').Select(part => double.Parse(part, CultureInfo.InvariantCulture) / 255).Select(c => c <= 0.04045 ? c / 12.92 : Math.Pow((c + 0.055) / 1.055, 2.4))];
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    }

    private static double Contrast(double a, double b) => (Math.Max(a, b) + 0.05) / (Math.Min(a, b) + 0.05);
}
