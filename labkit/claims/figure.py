"""The ledger as a figure: a dot a seed, a row a claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from labkit.language import word

COLOURS = {"supported": "#009E73", "points": "#56B4E9"}
COLOURS |= {"contradicted": "#D55E00", "equivalent": "#0072B2"}


def claim_dots(entries: Sequence[Mapping]) -> Figure:
    """Draw each claim's differences in units of its margin: a dot a seed, the mean, its interval.

    entries: of `claims.ledger`. Right of 1 a claim holds by more than matters; left of 0 its
    opposite does.
    """
    entries = [entry for entry in entries if entry["seeds"]]
    figure, ax = plt.subplots(figsize=(9, 1.2 + 0.32 * len(entries)), layout="constrained")
    ax.axvspan(-1, 1, color="0.93", zorder=0)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for row, entry in enumerate(entries):
        colour = COLOURS.get(entry["verdict"].split()[0], "#555555")
        low, mean, high = (entry[name] / entry["margin"] for name in ("low", "mean", "high"))
        seeds = np.array(entry["d"]) / entry["margin"]
        ax.plot(seeds, [row] * len(seeds), "o", color=colour, alpha=0.35, markersize=4)
        if np.isfinite([low, high]).all():
            ax.plot([low, high], [row, row], color=colour, linewidth=2.2)
        ax.plot(mean, row, "|", color=colour, markersize=12, markeredgewidth=2.2)
    names = [f"{entry['id']}  {word(entry['verdict'])}" for entry in entries]
    ax.set_yticks(range(len(entries)), names)
    ax.set_ylim(len(entries) - 0.4, -0.6)
    ax.set_xscale("symlog", linthresh=3)
    ax.xaxis.set_major_formatter("{x:g}")
    unit = "difference as claimed, in margins (grey: too small to matter; logarithmic beyond 3)"
    ax.set_xlabel(word(unit))
    return figure
