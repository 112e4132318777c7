"""Chinese: what figures, tables and texts say has no English left but names."""

import re

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt

from labkit import figures, language, notebook_display, tables
from labkit.runs import folder, summary
from labkit.settings import Config

matplotlib.use("Agg")
NAMES = "RNN LSTM LeNet linear hidden layers dropout F1 SHA McNemar p s seed"


@pytest.fixture(autouse=True)
def tidy():
    yield
    language.set_language("en")
    plt.close("all")


def english(text):
    """Return the words of a text in Latin letters that are no names."""
    return set(re.findall(r"[A-Za-z][A-Za-z0-9]*", text)) - set(NAMES.split())


def test_chinese_needs_a_font_and_says_so_without_one(capsys, monkeypatch):
    monkeypatch.setattr(language, "CJK_FONTS", "no such font")
    assert language.set_language("zh") == "en"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "fonts-noto-cjk" in said and "中文字体" in said
    assert language.word("epoch") == "epoch"
    assert language.asked() == "zh"  # plain text needs no font


def test_figures_in_chinese(monkeypatch):
    monkeypatch.setattr(language, "CJK_FONTS", "DejaVu Sans")  # stands in for a Chinese one
    assert language.set_language("zh") == "zh" and language.word("epoch") == "轮次"
    models = folder.reference_run("02_imdb")["models"]
    histories = {"LSTM": models["LSTM"]["history"]}
    tests = {"LSTM": models["LSTM"]["test"]}
    drawn = [
        figures.training_curves(histories, ("precision", "recall", "f1")),
        figures.confusion_matrices(tests, ("negative", "positive")),
        figures.digit_as_rows(torch.randn(32, 32), "7"),
        figures.length_histogram([5, 500], 500),
    ]
    for figure in drawn:
        said = notebook_display.words(figure)
        assert re.search("[一-鿿]", said) and not english(said), said


def test_tables_and_summary_in_chinese():
    result = folder.reference_run("02_imdb")
    models, classes = result["models"], result["data"]["classes"]
    models["RNN"]["diverged"] = {"epoch": 3}
    tests = {name: model["test"] for name, model in models.items()}
    logits, y = {"RNN": torch.ones(4, 1), "LSTM": -torch.ones(4, 1)}, torch.ones(4)
    config = Config(seed=7, notebook="02_imdb")
    shown = [
        tables.results(models, "zh"),
        tables.resolved(config, "zh"),
        tables.validation({name: model["history"] for name, model in models.items()}, "zh"),
        tables.worst_pairs(tests, classes, "zh"),
        tables.by_class(tests["RNN"], classes, "zh"),
        tables.paired(logits, y, "zh"),
    ]
    for table in shown:
        said = table.to_string()
        assert re.search("[一-鿿]", said) and not english(said), said
    first, *rest = summary.report(result, "zh").split("\n", 1)
    assert english(first) == {"imdb", "full", "CPU", "torch"}  # what was recorded
    digests = {word for word in english(rest[0]) if re.fullmatch("[0-9a-f]{1,12}", word)}
    assert english(rest[0]) == digests, rest
