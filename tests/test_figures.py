"""Figures: what is drawn is what the records say, with units, the same colours everywhere, and in two languages."""

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt

from labkit import figures

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def tidy():
    yield
    figures.set_language("en")
    plt.close("all")


def history(epochs, **values):
    names = [
        f"{part}_{measure}"
        for part in ("train", "val")
        for measure in ("loss", "accuracy", "precision", "recall", "f1")
    ]
    return [
        {"epoch": k + 1, **dict.fromkeys(names, 0.5), **{name: v[k] for name, v in values.items()}}
        for k in range(epochs)
    ]


def test_curves_are_the_reports_two_by_two():
    histories = {
        "RNN": history(3, val_loss=[0.9, 0.8, 0.7]),
        "LSTM": history(3, val_loss=[0.6, 0.5, 0.4]),
    }
    figure = figures.training_curves(histories)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [
        "training loss",
        "validation loss",
        "training accuracy",
        "validation accuracy",
    ]
    loss = figure.axes[1]
    assert [list(line.get_ydata()) for line in loss.lines] == [[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]]
    assert [line.get_color() for line in loss.lines] == [
        figures.STYLES["RNN"][0],
        figures.STYLES["LSTM"][0],
    ]
    assert loss.get_xlabel() == "epoch" and loss.get_ylabel() == "cross-entropy"
    assert len(figures.training_curves(histories, ("precision", "recall", "f1")).axes) == 7
    assert len(figures.training_curves({"RNN": history(1)}).axes) == 4


def test_a_sweep_has_a_line_for_each_value_and_a_dot_for_each_trial():
    accuracy = "validation accuracy"
    trials = [
        {"hidden_dim": h, "dropout": d, accuracy: h / 1000 + d}
        for h in (256, 64)
        for d in (0.5, 0.1)
    ]
    (ax,) = figures.sweep_lines(trials, "hidden_dim", "dropout").axes
    assert [(list(line.get_xdata()), line.get_label()) for line in ax.lines] == [
        ([64, 256], "dropout = 0.1"),
        ([64, 256], "dropout = 0.5"),
    ]
    assert list(ax.lines[0].get_ydata()) == pytest.approx([0.164, 0.356])
    assert ax.get_xlabel() == "hidden_dim" and ax.get_ylabel() == accuracy


def test_confusion_matrices_show_counts():
    test = {"confusion": [[3, 1], [0, 0]], "accuracy": 0.75}
    figure = figures.confusion_matrices({"RNN": test, "LSTM": test}, ("negative", "positive"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1", "0", "0"]
    assert [ax.get_title() for ax in figure.axes] == ["RNN: 75.00%", "LSTM: 75.00%"]


def test_models_can_be_told_apart():
    styles = list(figures.STYLES.values())
    assert len({colour for colour, _ in styles}) == len(styles)


def test_digit_and_lengths_are_drawn():
    assert len(figures.digit_as_rows(torch.randn(32, 32), "a 7").axes) == 2
    ax = figures.length_histogram([5, 500, 3_000], 500).axes[0]
    assert sum(patch.get_height() for patch in ax.patches) == 3, "a very long review is counted too"


def test_chinese_needs_a_font_and_says_so_without_one(capsys, monkeypatch):
    monkeypatch.setattr(plotting, "CJK_FONTS", ())
    assert figures.set_language("zh") == "en"
    assert capsys.readouterr().out.count("\n") == 1 and figures.word("epoch") == "epoch"
    monkeypatch.setattr(
        plotting, "CJK_FONTS", ("DejaVu Sans",)
    )  # an installed font stands in for a Chinese one
    assert figures.set_language("zh") == "zh" and figures.word("epoch") == "轮次"
    assert figures.training_curves({"RNN": history(2)}).axes[0].get_title() == "训练损失"


def test_claims_are_drawn_in_units_of_their_margins():
    """Reference: differences 0.02 and 0.04 with a margin of 0.01 stand at 2 and 4; claims that were not run are left out."""
    entry = {"id": "M1", "verdict": "supported", "seeds": [0, 1], "d": [0.02, 0.04], "margin": 0.01}
    entry |= {"mean": 0.03, "low": 0.01, "high": 0.05}
    figure = figures.claim_dots([entry, {"id": "M2", "seeds": []}])
    (ax,) = figure.axes
    dots = next(
        line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"
    )
    assert list(dots.get_xdata()) == pytest.approx([2, 4])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["M1  supported"]
