"""The ledger as figures: a dot per seed for every claim, and the curves of all seeds of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from labkit.claims import ledger, measures, plan
from labkit.figures import STYLES
from labkit.language import word

COLOURS = {"supported": "#5E3C99", "points that way": "#A992D0", "equivalent": "#000000"}
COLOURS |= {"contradicted": "#8C510A", "points the other way": "#C9A25A"}  # none is a model's
I1 = ("reviews LSTM", "reviews LSTM, padded", "reviews RNN", "reviews RNN, padded")


def claim_dots(entries: Sequence[Mapping]) -> Figure:
    """Draw each claim's weakest part in units of its margin: a dot per seed, mean, interval.

    entries: of `claims.ledger`. Right of 1 a claim holds by more than matters, left of -1 its
    opposite does. A cross is a comparison beside it that speaks against it.
    """
    entries = [entry for entry in entries if ledger.deciding(entry)["seeds"]]
    figure, ax = plt.subplots(figsize=(9, 1.2 + 0.32 * len(entries)), layout="constrained")
    ax.axvspan(-1, 1, color="0.93", zorder=0)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for row, entry in enumerate(entries):
        part = ledger.deciding(entry)
        colour = COLOURS.get(entry["verdict"], "#555555")
        low, mean, high = (part[name] / part["margin"] for name in ("low", "mean", "high"))
        seeds = np.array(part["d"]) / part["margin"]
        ax.plot(seeds, [row] * len(seeds), "o", color=colour, alpha=0.35, markersize=4)
        if np.isfinite([low, high]).all():
            ax.plot([low, high], [row, row], color=colour, linewidth=2.2)
        ax.plot(mean, row, "|", color=colour, markersize=12, markeredgewidth=2.2)
        for other in entry["against"]:
            ax.plot(other["mean"] / other["margin"], row, "x", color="#8C510A", markersize=6)
    ax.set_yticks(range(len(entries)), [f"{e['id']}  {word(e['verdict'])}" for e in entries])
    ax.set_ylim(len(entries) - 0.4, -0.6)
    ax.set_xscale("symlog", linthresh=3)
    ax.xaxis.set_major_locator(plt.FixedLocator([-30, -10, -3, -1, 0, 1, 3, 10, 30]))
    ax.xaxis.set_major_formatter("{x:g}")
    unit = "difference as claimed, in margins (grey: too small to matter; logarithmic beyond 3)"
    ax.set_xlabel(word(unit))
    return figure


def validation_curves(arms: Sequence[str] = I1) -> Figure:
    """Draw every seed's validation accuracy, a panel per arm; dashed is chance, dotted *learnt*."""
    records = plan.records("report")
    how = {"figsize": (2.6 * len(arms), 2.8), "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(1, len(arms), sharey=True, **how)
    for ax, arm in zip(axes[0], arms, strict=True):
        colour, _ = STYLES[plan.plan()["arms"][arm]["architecture"]]
        for record in (each for each in records if each["arm"] == arm):
            accuracy = measures.curve(record, "val_accuracy")
            ax.plot(range(1, len(accuracy) + 1), accuracy, color=colour, alpha=0.7, linewidth=1.4)
        chance = measures.CHANCE[plan.plan()["arms"][arm]["data"]]
        ax.axhline(chance, color="0.4", linestyle="--")
        ax.axhline(chance + measures.LEARNT, color="0.4", linestyle=":")
        ax.set_title(word(arm), fontsize=10)
        ax.set_xlabel(word("epoch"))
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes[0, 0].set_ylabel(word("validation accuracy"))
    return figure
