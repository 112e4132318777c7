"""Figures: what is drawn is what the records say, with units."""

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from labkit import figures

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def tidy():
    yield
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


def test_confusion_matrices_show_counts():
    test = {"confusion": [[3, 1], [0, 0]], "accuracy": 0.75}
    figure = figures.confusion_matrices({"RNN": test, "LSTM": test}, ("negative", "positive"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1", "0", "0"]
    assert [ax.get_title() for ax in figure.axes] == ["RNN: 75.00%", "LSTM: 75.00%"]


def test_the_darkest_cell_of_a_confusion_matrix_is_the_most_frequent_error():
    """Reference: 5 twos taken for zeros, 4 for ones; the diagonal, however large, is off the scale.

    A model with few errors beside one with many shows them as well.
    """
    tests = {
        "RNN": {"confusion": [[900, 1, 0], [2, 80, 0], [5, 3, 7]], "accuracy": 0.9},
        "LSTM": {"confusion": [[901, 0, 0], [0, 82, 0], [0, 4, 11]], "accuracy": 0.95},
    }
    figure = figures.confusion_matrices(tests, ("0", "1", "2"))
    figure.canvas.draw()
    for ax, darkest, times in zip(figure.axes, (6, 7), (5, 4), strict=True):  # in row 2
        colours = ax.collections[0].get_facecolors()[:, :3]
        grey = colours @ [0.299, 0.587, 0.114]  # as Pillow prints it
        errors = [k for k in range(9) if k % 4]
        assert min(errors, key=lambda k: grey[k]) == darkest
        assert len({tuple(colours[k]) for k in (0, 4, 8)}) == 1 and set(colours[4]) == {0.8}
        assert grey[darkest] < 0.4 < 0.8 < grey[1], "no or one error is a light cell"
        assert ax.collections[0].get_clim() == (0, times)
    without = {"RNN": {"confusion": [[3, 0], [0, 2]], "accuracy": 1.0}}
    assert figures.confusion_matrices(without, ("negative", "positive")).axes


def test_models_can_be_told_apart():
    styles = list(figures.STYLES.values())
    assert len({colour for colour, _ in styles}) == len(styles)


def test_digit_and_lengths_are_drawn():
    assert len(figures.digit_as_rows(torch.randn(32, 32), "a 7").axes) == 2
    ax = figures.length_histogram([5, 500, 3_000], 500).axes[0]
    assert sum(patch.get_height() for patch in ax.patches) == 3, "a very long review is counted too"


def drawn_ticks(axis):
    """Return the texts at the ticks that are inside the axis' limits, from below."""
    axis.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    return [
        tick.label1.get_text() for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high
    ]


@pytest.mark.parametrize(
    "accuracies, expected",
    [
        ([0.84, 0.93], ["84%", "86%", "88%", "90%", "92%"]),
        ([0.84, 0.951], ["85%", "87.5%", "90%", "92.5%", "95%"]),
        ([0.9902, 0.9911], ["99.02%", "99.04%", "99.06%", "99.08%", "99.1%"]),
    ],
)
def test_a_percent_axis_says_where_its_ticks_are(accuracies, expected):
    """Reference: matplotlib's steps of 1, 2, 2.5 and 5, which are not all whole percents."""
    histories = {"RNN": history(2, val_accuracy=accuracies)}
    axis = figures.training_curves(histories).axes[3].yaxis
    axis.set_major_locator(MaxNLocator(5))
    assert drawn_ticks(axis) == expected


def test_one_epoch_has_whole_ticks_and_whole_dots():
    """Reference: epochs are counted; a dot at a limit of its panel is drawn beyond it."""
    nothing_wrong = history(1, train_loss=[0.0], train_accuracy=[1.0])
    for ax in figures.training_curves({"RNN": nothing_wrong, "LSTM": history(1)}).axes:
        assert drawn_ticks(ax.xaxis) == ["1"]
        assert not any(line.get_clip_on() for line in ax.lines)
