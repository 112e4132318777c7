"""The page of a run answers as PyTorch does with the same rounded weights: Node, and a browser."""

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from labkit import cli
from labkit.data import imdb, mnist, words
from labkit.page import export
from labkit.runs import checkpoints

SIZES = {"laptop": (1280, 800), "phone": (360, 740)}
SENTENCE = "The plot is GOOD: a great, great actor; not an awful film!"
PADDINGS = 30
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="this test needs Node")


def run_in(page):
    """Return what a page holds of its run."""
    run = r'<script id="run" type="application/json">(.+?)</script>'
    return json.loads(re.search(run, page.path.read_text(encoding="utf-8"), re.DOTALL)[1])


def models_in(page):
    """Return PyTorch's models with the weights that the file holds, decoded here by NumPy."""
    run, models = run_in(page), {}
    for name, model in run["models"].items():
        stored_terms = model["weights"].pop("terms", "").encode()
        weights = {"terms": torch.tensor([*stored_terms]).byte()} if stored_terms else {}
        for key, stored in model["weights"].items():
            scale = np.frombuffer(base64.b64decode(stored["float32"]), "<f4")
            if "int8" in stored:
                matrix = np.frombuffer(base64.b64decode(stored["int8"]), np.int8)
                matrix = matrix.reshape(len(scale), -1).astype(np.float32) * scale[:, None]
            else:
                matrix = scale.copy()
            weights[key] = torch.from_numpy(matrix.reshape(stored["shape"]))
        models[name] = export.build(name, weights, run["parameters"])
    return models


@torch.no_grad()
def by_rows(models, x):
    """Return each model's logits for a digit x (1, 32, 32) that is cut off after each row."""
    found = {}
    for name, model in models.items():
        rows = range(1, 33)
        cut = [x[:, :row] for row in rows]
        if name == "LeNet":
            paper = torch.full_like(x, (0 - mnist.MEAN) / mnist.STD)
            cut = [torch.cat([x[:, :row], paper[:, row:]], dim=1) for row in rows]
        found[name] = torch.cat([model(digit) for digit in cut])
    return found


@torch.no_grad()
def by_words(models, said, vocabulary, paddings):
    """Return the logits after each word and padding: paddings left out, and read as words."""
    found, ids = {}, vocabulary.encode(said)
    for name, model in models.items():
        if name == "linear":
            texts = [" ".join(said[: k + 1]) for k in range(len(said) + paddings)]
            logits = model.logits(imdb.encode(texts, np.zeros(len(texts)), vocabulary, 99))
            found[name] = logits.expand(-1, 2)
            continue
        model.readout = "last" if model.readout == "padded" else model.readout
        padded, logits = torch.tensor([[*ids, *[words.PAD] * paddings]]), []
        for k in range(1, padded.shape[1] + 1):
            lengths = (torch.tensor([min(k, len(ids))]), torch.tensor([k]))
            logits.append([float(model(padded[:, :k], length)) for length in lengths])
        found[name] = torch.tensor(logits)
    return found


def agree(found, expected):
    """Assert that the page's logits are PyTorch's to 1e-4, and that there is something to see."""
    assert set(found) == set(expected)
    for name, logits in expected.items():
        assert logits.std(dim=0).min() > 0.01, name
        assert torch.tensor(found[name]).shape == logits.shape, name
        assert (torch.tensor(found[name]) - logits).abs().max() < 1e-4, name


def node(script, given=None):
    """Run a script with forward.js and strokes.js at hand; return what it prints as JSON."""
    files = [f"{export.FOLDER / name}.js" for name in ("forward", "strokes")]
    head = "const [f, s] = process.argv.slice(1).map((file) => require(file));"
    head += "const given = JSON.parse(require('fs').readFileSync(0));"
    done = subprocess.run(
        ["node", "-e", f"{head} console.log(JSON.stringify({script}))", *files],
        input=json.dumps(given), capture_output=True, text=True, check=True, encoding="utf-8",
    )  # fmt: skip
    return json.loads(done.stdout)


# --- the file ---------------------------------------------------------------------------------


def test_the_file_holds_everything_and_reaches_for_nothing(page_of):
    page = page_of("01_mnist")
    html = page.path.read_text(encoding="utf-8")
    assert page.path.name == "page.html" and "src=" not in html and "default-src 'none'" in html
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    for script in export.FOLDER.glob("*.js"):
        assert script.read_text(encoding="utf-8") in html, script.name


def test_every_text_is_in_both_languages():
    html = (export.FOLDER / "page.html").read_text(encoding="utf-8")
    assert html.count('class="en"') == html.count('class="zh"') > 10
    said = (export.FOLDER / "words.js").read_text(encoding="utf-8")
    pairs = re.findall(r'\["([^"]+)",\s+"([^"]+)"\]', said)
    assert len(pairs) > 15
    assert all(re.search("[一-鿿]", chinese) or chinese == "logit" for _, chinese in pairs)


def test_rounding_costs_half_a_step_at_most():
    w = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    w[0] = 0
    step = w.abs().flatten(1).amax(1) / 127
    error = (export.rounded({"w": w})["w"] - w).abs().flatten(1).amax(1)
    assert (error <= 0.5001 * step).all() and error[1:].min() > 0


def test_the_file_holds_the_rounded_weights_that_are_scored(page_of):
    page = page_of("01_mnist")
    for name, model in models_in(page).items():
        trained = checkpoints.read_state(page.path.parent / f"{name}.weights.pt")["weights"]
        for key, w in export.rounded(trained).items():
            assert torch.equal(model.state_dict()[key], w), (name, key)
            assert torch.equal(page.models[name].state_dict()[key], w), (name, key)


def test_words_beyond_those_of_the_page_are_unknown(page_of, monkeypatch):
    monkeypatch.setattr(export, "NUM_WORDS", 3)
    run = run_in(page_of("02_imdb"))
    assert run["words"] == ["<pad>", "<unk>", "bad", "awful", "film"]
    assert run["models"]["LSTM"]["weights"]["embedding.weight"]["shape"] == [5, 100]
    assert set(run["accuracy"]["LSTM"]) == {"trained", "rounded", "words"}


def test_the_linear_model_keeps_the_terms_that_weigh_most(page_of, monkeypatch):
    """Reference: |weight · idf| of the words and pairs, sorted here."""
    monkeypatch.setattr(export, "NUM_TERMS", 4)
    page = page_of("02_imdb")
    whole = checkpoints.read_state(page.path.parent / "linear.weights.pt")["weights"]
    terms = bytes(whole["terms"]).decode().split("\n")
    weighs = (whole["coef"][0] * whole["idf"]).abs()
    heaviest = sorted(terms, key=lambda term: -weighs[terms.index(term)])[:4]
    run = run_in(page)
    assert set(run["models"]["linear"]["weights"]["terms"].split("\n")) == set(heaviest)
    assert set(run["accuracy"]["linear"]) == {"trained", "terms"}


def test_the_command_says_what_rounding_costs(page_of, tmp_path):
    folder = page_of("01_mnist").path.parent
    done = CliRunner().invoke(cli.main, ["page", f"{folder}", "--output", f"{tmp_path / 'p.html'}"])
    assert done.exit_code == 0 and (tmp_path / "p.html").exists()
    said = r"LSTM: [\d.]+% as trained, [\d.]+% rounded \(32 of the test examples\)"
    assert re.search(said, done.output)


def test_what_cannot_be_shown_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="no finished run"):
        export.write(tmp_path)


def test_words_that_the_reader_cuts_otherwise_are_not_shown_wrongly(page_of, monkeypatch):
    """The page has a tokeniser of its own, so a changed one cannot be shown."""
    folder = page_of("02_imdb").path.parent
    monkeypatch.setattr(export.probes.words, "tokenize", str.split)
    with pytest.raises(ValueError, match="`tokenize` was changed"):
        export.write(folder)


# --- the arithmetic, in Node -------------------------------------------------------------------


READ_ROWS = (
    "(x => Object.fromEntries(Object.entries(given.models).map(([name, model]) => [name, "
    "Array.from(name === 'LeNet' ? f.seeRows(f.lenet(model), x, s.PAPER)"
    ": f.readRows(f.recurrent(model), x), (each) => [...each])])))(Float32Array.from(given.x))"
)


@needs_node
def test_rows_as_pytorch(page_of, tiny_digits):
    page = page_of("01_mnist")
    x = tiny_digits.test.x[:1]
    given = {"models": run_in(page)["models"], "x": x.flatten().tolist()}
    agree(node(READ_ROWS, given), by_rows(models_in(page), x))


@needs_node
def test_a_row_takes_less_than_50_ms(page_of, tiny_digits):
    """All three nets together, the quicker of two passes: two cores of a laptop take 2 ms."""
    models = run_in(page_of("01_mnist"))["models"]
    given = {"models": models, "x": tiny_digits.test.x[0].flatten().tolist()}
    timed = (
        f"(() => {{ const a = performance.now(); {READ_ROWS}; return performance.now() - a }})()"
    )
    assert min(node(f"[{timed}, {timed}]", given)) / 32 < 50  # milliseconds


@needs_node
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("readout", ["padded", "last", "pool"])
def test_words_as_pytorch(page_of, readout, bidirectional):
    asked = {"readout": readout, "bidirectional": bidirectional}
    page = page_of("02_imdb", n_layers=2, hidden_dim=64, **asked)
    read = (
        "Object.fromEntries(Object.entries(given.models).map(([name, model]) => [name, Array.from("
        "name === 'linear' ? f.weighWords(f.linear(model), given.said, 30)"
        ": f.readWords(f.recurrent(model), given.ids, 30),"
        "(each) => Object.values(each)).slice(1)]))"
    )
    vocabulary = words.Vocabulary(run_in(page)["words"][2:])
    said = ["the", "plot", "odd", "great", "bad", "plot", "plot", "bad"]
    given = {"models": run_in(page)["models"], "ids": vocabulary.encode(said), "said": said}
    agree(node(read, given), by_words(models_in(page), said, vocabulary, PADDINGS))


@needs_node
def test_words_are_cut_as_python_cuts_them():
    texts = [
        SENTENCE,
        "I don't\tregret_it:<br />the café was GREAT, 10/10!",
        "好电影。 ½ naïve…",
        "",
    ]
    assert node("given.map(f.tokenize)", texts) == [words.tokenize(text) for text in texts]


@needs_node
def test_a_picture_is_resized_as_the_course_does():
    image = np.random.default_rng(0).integers(0, 256, (1, 28, 28), dtype=np.uint8)
    expected = (mnist.prepare(image, np.zeros(1)).x * mnist.STD + mnist.MEAN).flatten() * 255
    found = torch.tensor(node("[...s.resize(given)]", image.flatten().tolist()))
    assert (found - expected).abs().max() < 1.01  # a grey level of 255


@needs_node
def test_a_drawing_is_prepared_as_mnist_was():
    """Reference: LeCun et al. (1998): 20 × 20 pixels, centre of mass in the middle of 28 × 28."""
    small = [[[0.1, 0.05], [0.2, 0.05], [0.12, 0.3]]]
    as_mnist, as_drawn = node("[true, false].map((yes) => [...s.prepare(given, yes)])", small)
    for values, wanted, extent in ((as_mnist, 16, 20 * 32 / 28), (as_drawn, None, 8)):
        ink = (torch.tensor(values).view(32, 32) * mnist.STD + mnist.MEAN).clamp(min=0)
        rows = (ink > 0.3).any(dim=1).nonzero()
        assert float(rows.max() - rows.min()) + 1 == pytest.approx(extent, abs=3)
        middle = (ink.sum(1) * (torch.arange(32) + 0.5)).sum() / ink.sum()
        assert wanted is None or float(middle) == pytest.approx(wanted, abs=0.2)
    assert min(as_mnist) == pytest.approx((0 - mnist.MEAN) / mnist.STD, abs=1e-6)


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture(params=SIZES)
def opened(request, browser):
    """Return a function that opens a page by file://; fails if the browser complained."""
    width, height = SIZES[request.param]
    touch = request.param == "phone"
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch)
    tab, complaints = context.new_page(), []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(f"{error}"))

    def open_(page, view=""):
        tab.goto(f"{page.path.as_uri()}#{view}")
        answered(tab)
        return tab

    yield open_
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert not complaints


def answered(tab):
    still = "typeof busy === 'undefined' || !busy"
    tab.evaluate(f"new Promise(go => (function look() {{ {still} ? go() : setTimeout(look) }})())")


def draw(tab, strokes):
    """Draw with the mouse, or with a finger where the screen feels one."""
    box = tab.locator("#pad").bounding_box()
    finger = tab.context.new_cdp_session(tab) if tab.evaluate("navigator.maxTouchPoints") else None
    for points in strokes:
        for k, (x, y) in enumerate(points):
            x, y = box["x"] + x * box["width"], box["y"] + y * box["height"]
            if finger:
                what = {
                    "type": "touchMove" if k else "touchStart",
                    "touchPoints": [{"x": x, "y": y}],
                }
                finger.send("Input.dispatchTouchEvent", what)
            else:
                tab.mouse.move(x, y, steps=8)
                if not k:
                    tab.mouse.down()
        if finger:
            finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        else:
            tab.mouse.up()
    answered(tab)


def test_a_drawn_digit_is_answered_as_pytorch_does(page_of, opened):
    page = page_of("01_mnist")
    tab = opened(page)
    tab.click("#clear")
    answered(tab)
    assert tab.evaluate("view.given") is None
    assert not tab.locator("#answers tr").count() and tab.inner_text("#status")
    draw(tab, [[(0.2, 0.2), (0.6, 0.18), (0.4, 0.7)], [(0.3, 0.45), (0.55, 0.45)]])
    assert tab.evaluate("view.strokes.map((points) => points.length > 1)") == [True, True]
    x = torch.tensor(tab.evaluate("[...view.given]")).view(1, 32, 32)
    found = tab.evaluate(
        "Object.fromEntries(Object.entries(view.found).map(([k, v]) => [k, v.map((a) => [...a])]))"
    )
    agree(found, by_rows(models_in(page), x))
    tab.locator("#step").press("ArrowLeft")
    probabilities = torch.tensor(found["LSTM"][30]).softmax(dim=0)
    said = tab.locator("#answers tr").nth(1).inner_text()
    assert f"{int(probabilities.argmax())} ({float(probabilities.max()):.1%})" in said
    tab.uncheck("#prepared")
    answered(tab)
    assert not torch.allclose(torch.tensor(tab.evaluate("[...view.given]")).view(x.shape), x)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_typed_sentence_is_answered_as_pytorch_does(page_of, opened, bidirectional):
    page = page_of("02_imdb", readout="last", bidirectional=bidirectional)
    tab = opened(page, "text=")
    assert tab.evaluate("view.given") is None and tab.inner_text("#status")
    tab.locator("#sentence").press_sequentially(SENTENCE)
    tab.fill("#padding", f"{PADDINGS}")
    answered(tab)
    ids = tab.evaluate("view.given.ids")
    vocabulary = words.Vocabulary(run_in(page)["words"][2:])
    said = words.tokenize(SENTENCE)
    assert ids == vocabulary.encode(said)
    found = tab.evaluate(
        "Object.fromEntries(Object.entries(view.found).map("
        "([k, v]) => [k, v.slice(1).map(Object.values)]))"
    )
    agree(found, by_words(models_in(page), said, vocabulary, PADDINGS))
    assert tab.locator(".both-ways:visible").count() == bidirectional


def test_in_a_notebook_the_page_hides_its_picture(page_of, opened, tiny_digits):
    """Reference: the frame answers; without scripts only the picture, with words, is there."""
    page = page_of("01_mnist")
    shown = export.show(page.path.parent, tiny_digits).data
    assert re.match(r'<img alt="A page on which you draw a digit', shown) and "\n" not in shown
    page.path.write_text(f"<!doctype html><title>cell</title><body>{shown}", encoding="utf-8")
    tab = opened(page)
    tab.frame_locator("iframe").locator("#answers tr").first.wait_for()
    assert tab.locator("iframe").is_visible() and not tab.locator("img").is_visible()


@pytest.mark.parametrize("notebook", ["01_mnist", "02_imdb"])
def test_axe_finds_nothing(page_of, opened, notebook):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    assert axe.Axe().run(opened(page_of(notebook))).response["violations"] == []


@pytest.mark.parametrize("notebook", ["01_mnist", "02_imdb"])
def test_a_shared_address_shows_the_same_view_in_either_language(page_of, opened, notebook):
    page = page_of(notebook)
    tab = opened(page)
    if notebook == "01_mnist":
        draw(tab, [[(0.3, 0.2), (0.5, 0.8)]])
    else:
        tab.fill("#sentence", SENTENCE)
    answered(tab)
    tab.click("#language")
    assert re.search("[一-鿿]", tab.inner_text("h1:visible"))
    tab.locator("#step").press("ArrowLeft")
    shared = tab.evaluate("location.hash")
    shown = tab.inner_text("#answers"), tab.evaluate("view.step")
    tab.goto("about:blank")
    tab = opened(page, shared[1:])
    assert tab.evaluate("location.hash") == shared and "lang=zh" in shared
    assert (tab.inner_text("#answers"), tab.evaluate("view.step")) == shown


def test_without_the_data_that_a_run_was_trained_on_it_says_so_and_fetches_none(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    for notebook, key in (("01_mnist", "mnist"), ("02_imdb", "imdb")):
        result = {"notebook": notebook, "parameters": {"data_source": "official"}}
        with pytest.raises(ValueError, match=f"official data of {key}, .*`labkit data get {key}`"):
            export._load(result)
    assert not list(tmp_path.iterdir())
