"""Figures drawn from records; each function that draws a figure returns it.

The same model has the same colour everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure
from torch import Tensor

from labkit import notebook_display
from labkit.language import word

notebook_display.in_notebook()

# Okabe and Ito's colours, which colour-blind readers can tell apart, and a grey; lines differ too
STYLES = {
    "LSTM": ("#0072B2", "-"),
    "RNN": ("#D55E00", "--"),
    "LeNet": ("#009E73", "-."),
    "GRU": ("#000000", "-."),
    "linear": ("#555555", ":"),
    "LSTM-hidden": ("#CC79A7", "--"),
    "LSTM-layers": ("#E69F00", "-."),
    "LSTM-dropout": ("#56B4E9", ":"),
}


def training_curves(
    histories: Mapping[str, Sequence[Mapping]], measures: Sequence[str] = ()
) -> Figure:
    """Draw loss and accuracy, training and validation, of each model over its epochs.

    histories: model → list of epoch records; measures: further validation scores for a third row,
    of `precision`, `recall`, `f1`.
    """
    rows = [["train_loss"] * 3 + ["val_loss"] * 3, ["train_accuracy"] * 3 + ["val_accuracy"] * 3]
    if measures:
        rows.append([f"val_{measure}" for measure in measures for _ in range(6 // len(measures))])
    figure, panels = plt.subplot_mosaic(rows, figsize=(10, 3.4 * len(rows)), layout="constrained")
    names = {"train": "training", "val": "validation", "f1": "F1"}
    for key, ax in panels.items():
        part, measure = key.split("_")
        for name, history in histories.items():
            colour, line = STYLES.get(name, (None, "-"))
            how = {"marker": "o" if len(history) <= 20 else None, "markersize": 3.5, "label": name}
            x, y = ([record[what] for record in history] for what in ("epoch", key))
            ax.plot(x, y, line, color=colour, clip_on=False, **how)
        ax.set_title(word(f"{names[part]} {names.get(measure, measure)}"), fontsize=11)
        ax.set_xlabel(word("epoch"))
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if measure == "loss":
            ax.set_ylabel(word("cross-entropy"))
            ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
        else:
            in_percent(ax)
        ax.grid(alpha=0.3)
        seaborn.despine(ax=ax)
    panels["train_loss"].legend(frameon=False)
    return figure


def confusion_matrices(tests: Mapping[str, Mapping], classes: Sequence[str]) -> Figure:
    """Draw the confusion matrix of each model: counts in the cells, errors as colour.

    Each model's scale ends at its most frequent error; the right answers are no part of it.
    """
    how = {"figsize": (3.4 * len(tests), 3.4), "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(1, len(tests), **how)
    names = [word(name) for name in classes]
    colours = plt.get_cmap("Oranges").with_extremes(under="0.8")  # under 0 is the diagonal
    for ax, (name, test) in zip(axes[0], tests.items(), strict=True):
        errors = np.array(test["confusion"])
        np.fill_diagonal(errors, -1)
        seaborn.heatmap(
            errors, annot=np.array(test["confusion"]), fmt="d", cmap=colours, vmin=0, ax=ax,
            vmax=max(1, errors.max()), cbar=False, square=True, linewidths=0.3, linecolor="0.85",
            xticklabels=names, yticklabels=names, annot_kws={"size": 7 if len(names) > 2 else 11},
        )  # fmt: skip
        ax.set_title(f"{name}: {test['accuracy']:.2%}", fontsize=11)
        ax.set_xlabel(word("predicted"))
        ax.set_ylabel(word("true"))
    return figure


def digit_as_rows(x: Tensor, label: str, num_shown: int = 8) -> Figure:
    """Draw a digit (T, D) beside some of its rows, as the recurrent models are given them."""
    how = {"figsize": (9, 3.6), "width_ratios": [1, 1.6], "layout": "constrained"}
    figure, (left, right) = plt.subplots(1, 2, **how)
    left.imshow(x, cmap="gray_r")
    left.set(title=label, xlabel=word("pixel in the row"), ylabel=word("row (step)"))
    rows = np.linspace(0, len(x) - 1, num_shown).astype(int)
    for place, row in enumerate(rows):
        ink = (x[row] - x.min()) / (x.max() - x.min())
        right.fill_between(range(x.shape[1]), -place, -place + 0.8 * ink, color="0.25")
        left.axhline(row, color="#D55E00", linewidth=0.8, alpha=0.6)
    right.set(xlabel=word("pixel in the row"), ylabel=word("row (step)"), xlim=(0, x.shape[1] - 1))
    right.set_yticks([-place for place in range(len(rows))], rows)
    right.tick_params(axis="y", length=0)
    seaborn.despine(ax=right, left=True)
    return figure


def length_histogram(lengths: Sequence[int], max_len: int) -> Figure:
    """Draw how many words the reviews have, and where they are cut."""
    figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
    ax.hist(np.minimum(lengths, 1_200), bins=60, range=(0, 1_200), color="#56B4E9")
    ax.axvline(max_len, color="#D55E00", label=f"{word('cut at')} {max_len}")
    ax.set(xlabel=word("words in a review") + " (≥ 1200: 1200)", ylabel=word("reviews"))
    ax.legend(frameon=False)
    seaborn.despine(ax=ax)
    return figure


def in_percent(ax) -> None:
    """Label the y axis, of shares from 0 to 1, in percent, and draw thin grid lines."""
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.5g}%")
    ax.grid(alpha=0.3)
