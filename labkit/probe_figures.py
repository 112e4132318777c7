"""Figures of what the probes found: each shows one case, and what holds for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure
from torch import Tensor

from labkit.figures import STYLES, in_percent
from labkit.language import word
from labkit.probes import GATES, confusions, decided_at, half_life, only_wrong

# Tol's muted colours, none of which is a model's
READOUTS = {"padded": ("#882255", ":"), "last": ("#999933", "--"), "pool": ("#44AA99", "-")}
GATE_STYLES = {"input": ("#332288", "-"), "forget": ("#CC6677", "--"), "output": ("#999933", "-.")}
Found = Mapping[str, Tensor]  # model → what was found


def when_it_knows(x: Tensor, y: Tensor, probabilities: Found, case: int = 0) -> Figure:
    """Draw the class probabilities of one digit after every row, and how soon all are known.

    x: (N, T, D), y: (N,), probabilities: model → (N, T, C).
    """
    figure = plt.figure(figsize=(10, 6.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1.1, 1])
    axes = above.subplots(1, 1 + len(probabilities), sharey=True)
    axes[0].imshow(x[case], cmap="gray_r", aspect="auto")
    axes[0].set(title=f"{y[case]}", xlabel=word("pixel in the row"), ylabel=word("row (step)"))
    for ax, (name, found) in zip(axes[1:], probabilities.items(), strict=True):
        ax.imshow(found[case], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        ax.set(title=name, xlabel=word("answer"), xticks=range(found.shape[2]))
    for ax in axes:
        ax.hlines([7.5, 15.5, 23.5], *ax.get_xlim(), "#D55E00", ":", linewidth=0.7)
    left, right = below.subplots(1, 2)
    rows = np.arange(1, x.shape[1] + 1)
    for name, found in probabilities.items():
        colour, line = STYLES[name]
        so_far = (found.argmax(dim=2) == y[:, None]).double().mean(dim=0)
        left.plot(rows, so_far, line, color=colour, label=name)
        decided = decided_at(found)[:, None].numpy() <= rows
        right.plot(rows, decided.mean(axis=0), line, color=colour)
    for ax, title in ((left, "accuracy so far"), (right, "digits with their final answer")):
        ax.set(xlabel=word("rows read"), ylabel=word(title), ylim=(0, 1.02))
        seaborn.despine(ax=ax)
        in_percent(ax)
    left.legend(frameon=False)
    return figure


def gradient_flow(before: Mapping[str, Sequence[Tensor]], after: Found, one: Found) -> Figure:
    """Draw ‖∂loss/∂h_t‖ over the rows: untrained for several seeds, and after training.

    before: model → one (T,) a seed, after: model → (T,), one: the same of a single digit, thin.
    """
    figure, ((left, right),) = _panels(1, 2, 3.6, sharey=True)
    for name in after:
        colour, line = STYLES[name]
        for k, norms in enumerate(before[name]):
            left.plot(norms, line, color=colour, label="" if k else _halving(name, norms))
        right.plot(one[name], line, color=colour, linewidth=0.7)
        right.plot(after[name], line, color=colour, label=_halving(name, after[name]))
    for ax, title in ((left, "before training"), (right, "after training (thin: one digit)")):
        _powers_of_ten(ax)
        ax.set(title=word(title), xlabel=word("row (step)"))
        ax.legend(frameon=False)
    left.set_ylabel(word("norm of ∂loss/∂h"))
    return figure


def _halving(name: str, norms: Tensor) -> str:
    """Say how fast a gradient changes on its way back."""
    rows = half_life(norms)
    if abs(rows) > len(norms):  # in all of them by less than a factor of 2
        return word("{a}: about level").format(a=name)
    way = "{a}: halves every {b} rows" if rows > 0 else "{a}: doubles every {b} rows"
    return word(way).format(a=name, b=f"{abs(rows):.1f}")


def assumptions(digits: Found, accuracies: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw one digit in each way that it was broken, and below it how many each model gets right.

    digits: what was broken → (T, D), accuracies: the same → model → accuracy.
    """
    figure, axes = _panels(2, len(digits), 4, height_ratios=[1.3, 1])
    for (above, below), (name, digit) in zip(axes.T, digits.items(), strict=True):
        above.imshow(digit, cmap="gray_r")
        above.set(xticks=[], yticks=[], title=word(name))
        seaborn.despine(ax=above, top=False, right=False)
        found = accuracies[name]
        bars = below.bar(list(found), list(found.values()), color=[STYLES[m][0] for m in found])
        below.bar_label(bars, fmt="{:.0%}", padding=1, fontsize=8)
        below.axhline(0.1, color="0.4", linewidth=0.8, linestyle=":")
        below.tick_params(axis="x", labelsize=8)
        below.set(ylim=(0, 1.15), yticks=[])
    axes[1, 0].set_ylabel(word("accuracy (dotted: chance)"))
    return figure


def lstm_gates(one: Tensor, mean: Tensor, held: Mapping[tuple[str, float], float]) -> Figure:
    """Draw the forget gate of every unit for one digit, the gates' means, and what they are for.

    one: (T, 4, H), mean over digits and units: (T, 4), held: (gate, value) → accuracy.
    """
    figure, ((left, middle, right),) = _panels(1, 3, 3.6, width_ratios=[1, 1, 0.9])
    forget = one[:, GATES.index("forget")]  # (T, H)
    shown = forget[:, forget.mean(dim=0).argsort()].T
    image = left.imshow(shown, cmap=plt.get_cmap("viridis", 10), vmin=0, vmax=1, aspect="auto")
    left.set(title=word("forget gate, one digit"), ylabel=word("unit, sorted by its mean"))
    figure.colorbar(image, ax=left, label=word("0: closed, 1: open"))
    for gate, (colour, line) in GATE_STYLES.items():
        k = GATES.index(gate)
        middle.plot(mean[:, k], line, color=colour, label=word(gate))
        middle.plot(one[:, k].mean(dim=1), line, color=colour, linewidth=0.7)
    middle.set(title=word("mean of all units (thin: that digit)"), ylim=(0, 1))
    middle.legend(frameon=False)
    for ax in (left, middle):
        ax.set_xlabel(word("row (step)"))
    names = [f"{word(gate)} = {value:g}" if gate else word("none") for gate, value in held]
    colours = [GATE_STYLES.get(gate, STYLES["LSTM"])[0] for gate, _ in held]
    right.bar_label(right.barh(names, held.values(), color=colours), fmt="{:.0%}", padding=2)
    right.set(title=word("accuracy with a gate held"), xlim=(0, 1.2), xticks=[])
    right.invert_yaxis()
    return figure


def misread(x: Tensor, y: Tensor, logits: Found, tests: Mapping[str, Mapping]) -> Figure:
    """Draw the digits that only one model gets wrong, a row per model, beside its confusions.

    x: (N, T, D), y: (N,), logits: model → (N, C), tests: model → its `metrics.test_scores`.
    """
    num, alone = 6, only_wrong(logits, y)
    errors = {name: confusions(tests[name]["confusion"])[:5] for name in logits}
    most = max([1, *(times for each in errors.values() for *_, times in each)])  # one scale for all
    figure, axes = _panels(len(logits), num + 1, 1.75 * len(logits), width_ratios=[1] * num + [2.2])
    for row, (name, each) in zip(axes, logits.items(), strict=True):
        for ax in row[:num]:
            ax.set(xticks=[], yticks=[], frame_on=False)
        for ax, k in zip(row, alone[name][:num].tolist(), strict=False):
            sure, answer = each[k].softmax(dim=0).max(dim=0)
            ax.imshow(x[k], cmap="gray_r")
            ax.set_title(f"{y[k]} → {answer}  {sure:.0%}", fontsize=9)
        row[0].set_ylabel(f"{name}: {len(alone[name])}")
        names = [f"{true} → {taken}" for true, taken, _ in errors[name]]
        bars = row[-1].barh(names, [n for *_, n in errors[name]], color=STYLES[name][0])
        row[-1].bar_label(bars, padding=2, fontsize=8)
        row[-1].set(xlim=(0, 1.15 * most), xticks=[])
        row[-1].invert_yaxis()
    axes[0, -1].set_title(word("most frequent errors"), fontsize=9)
    figure.suptitle(word("wrong in this model alone: true → answer, its probability"), fontsize=10)
    return figure


def padding(words: list[str], paddings: Sequence[int], edges: Sequence[int], found: dict) -> Figure:
    """Draw what padding does to one sentence, to reviews by their length, and to the gradient.

    found: (model, read-out) → `logit`, `accuracy`, `gradient`: the sentence's and many reviews'.
    """
    models = list(dict.fromkeys(name for name, _ in found))
    figure, axes = _panels(len(models), 3, 3 * len(models), width_ratios=[1.7, 1, 1])
    bins = [f"{low}–{high - 1}" for low, high in zip(edges[:-2], edges[1:-1], strict=True)]
    places = range(len(words) + len(paddings))
    for (name, readout), each in found.items():
        left, middle, right = axes[models.index(name)]
        colour, line = READOUTS[readout]
        how = {"color": colour, "linestyle": line, "marker": "o", "markersize": 3}
        left.plot(places, each["logit"], label=readout, **how)
        middle.plot([*bins, f"≥ {edges[-2]}"], each["accuracy"], **how)
        one, many = (norms / norms[0] for norms in each["gradient"])
        low, median, high = np.quantile(many, (0.25, 0.5, 0.75), axis=1)
        right.fill_between(paddings, low, high, color=colour, alpha=0.2, linewidth=0)
        right.plot(paddings, median, **how)
        right.plot(paddings, one, line, color=colour, linewidth=0.7)
    for name, (left, middle, right) in zip(models, axes, strict=True):
        left.axvspan(len(words) - 0.5, places[-1] + 0.5, color="0.93", zorder=0)
        left.set(title=name, xlabel=word("words, then padding (grey)"), ylabel=word("logit"))
        left.set_xticks(places, [*words, *(f"+{n}" for n in paddings)], rotation=90, fontsize=8)
        middle.set(xlabel=word("words in a review"), ylabel=word("accuracy"))
        middle.tick_params(axis="x", labelsize=8)
        right.set_xlabel(word("padding steps after the last word"))
        right.set_ylabel(word("share of its gradient left"))
        in_percent(middle)
        _powers_of_ten(right)
        left.axhline(0, color="0.6", linewidth=0.8)
    axes[0, 0].legend(frameon=False)
    return figure


def sentence(found: Mapping) -> Figure:
    """Draw how a sentence is read: the logit word by word, and what each word contributes.

    found: of `probes.read`. Each model has a scale of colours of its own.
    """
    figure, ((above,), (below,)) = _panels(2, 1, 1.6 + 0.8 * len(found["running"]), sharex=True)
    titles = ("running logit: above 0 is positive", "contribution: logit lost without the word")
    for ax, what, title in zip((above, below), ("running", "contribution"), titles, strict=True):
        values = np.stack([each.numpy() for each in found[what].values()])
        scale = abs(values).max(axis=1, keepdims=True).clip(1e-9)
        how = {"xticklabels": found["words"], "yticklabels": list(found[what]), "linewidths": 0.5}
        seaborn.heatmap(values / scale, annot=values, fmt="+.1f", cmap="RdBu", vmin=-1.2, vmax=1.2,
                        cbar=False, ax=ax, **how)  # fmt: skip
        ax.set_title(word(title), fontsize=10)
        ax.tick_params(length=0, labelrotation=0)
    below.tick_params(axis="x", labelrotation=30 if len(found["words"]) > 8 else 0)
    return figure


def negation(adjectives: Sequence[str], frames: Sequence[str], logits: Found) -> Figure:
    """Draw for each adjective the logit of two sentences, the second with a "not" in it.

    logits: model → (adjectives, 2).
    """
    figure, (axes,) = _panels(1, len(logits), 1.4 + 0.24 * len(adjectives), sharey=True)
    places = range(len(adjectives))
    for ax, (name, each) in zip(axes, logits.items(), strict=True):
        ax.hlines(places, each[:, 0], each[:, 1], color="0.7")
        for k, face in enumerate((STYLES[name][0], "white")):
            ax.plot(each[:, k], places, "o", mfc=face, color=STYLES[name][0], label=frames[k])
        ax.axvline(0, color="0.6", linewidth=0.8)
        ax.set(title=name, xlabel=word("logit"))
        ax.set_yticks(places, adjectives)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def reviews_cut(max_lens: Sequence[int], logits: Found, y: Tensor, case: int) -> Figure:
    """Draw one review's logit, and the accuracy on all, if only first or last words are read.

    logits: (model, "first words" or "last words") → (max_lens, N), y: (N,).
    """
    figure, ((left, right),) = _panels(1, 2, 3.4)
    places = [f"{count}" for count in max_lens]
    for (name, side), found in logits.items():
        line, face = ("-", None) if side == "first words" else (":", "white")
        how = {"color": STYLES[name][0], "mfc": face, "marker": "s" if name == "RNN" else "o"}
        left.plot(places, found[:, case], line, label=f"{name}, {word(side)}", **how)
        right.plot(places, ((found > 0) == y).double().mean(dim=1), line, **how)
    for ax, title in ((left, "one review"), (right, "accuracy")):
        ax.set(xlabel=word("words read of a review"), title=word(title))
    left.axhline(0, color="0.6", linewidth=0.8)
    left.set_ylabel(word("logit"))
    left.legend(frameon=False)
    in_percent(right)
    return figure


def _panels(rows: int, columns: int, height: float, **how) -> tuple[Figure, np.ndarray]:
    how = {"figsize": (10, height), "layout": "constrained", "squeeze": False} | how
    figure, axes = plt.subplots(rows, columns, **how)
    seaborn.despine(figure)
    return figure, axes


def _powers_of_ten(ax) -> None:
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda y, _: "10" + f"{np.log10(y):.0f}".translate(raised))
    ax.yaxis.set_minor_formatter("")
