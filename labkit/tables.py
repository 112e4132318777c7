"""Tables made from the records of a run, most with one row per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from types import SimpleNamespace

import pandas

from labkit.language import word


def results(models: Mapping[str, Mapping], lang: str = "en") -> pandas.DataFrame:
    """Return one row per model: size, epochs, test scores with Wilson's 95 % interval, seconds."""
    rows = {}
    for name, model in models.items():
        test, (low, high) = model["test"], model["test"]["accuracy_interval"]
        rows[name] = {
            "parameters": f"{model['num_parameters']:,}",
            "best epoch": _best_epoch(model, lang),
            "test accuracy": f"{test['accuracy']:.2%}",
            "95 % interval": f"{low:.2%} – {high:.2%}",
            "precision": f"{test['precision']:.4f}",
            "recall": f"{test['recall']:.4f}",
            "F1": f"{test['f1']:.4f}",
            "training": f"{model['train_seconds']:.1f} s",
        }
    return _frame(rows, lang)


def _best_epoch(model: Mapping, lang: str) -> str:
    if model.get("diverged"):
        return f"{word('diverged in', lang)} {model['diverged']['epoch']}"
    return f"{model['best_epoch']} / {len(model['history'])}" if model["history"] else "–"


def resolved(config: SimpleNamespace, lang: str = "en") -> pandas.DataFrame:
    """Return the settings of this run that are not in the parameters cell, or not its defaults."""
    rows = {
        key: {"default": config.defaults.get(key, "–"), "this run": value}
        for key, value in vars(config).items()
        if key not in ("asked", "notebook") and config.defaults.get(key) != value
    }
    return _frame(rows, lang).astype(str)


def validation(histories: Mapping[str, Sequence[Mapping]], lang: str = "en") -> pandas.DataFrame:
    """Return one row per model: its best validation epoch, the scores there, seconds per epoch."""
    rows = {}
    for name, history in histories.items():
        if not history:  # diverged in its first epoch
            rows[name] = {"best epoch": "–"}
            continue
        top = max(history, key=lambda record: record["val_accuracy"])  # the first of the best
        seconds = sum(record["seconds"] for record in history) / len(history)
        rows[name] = {
            "best epoch": f"{top['epoch']} / {len(history)}",
            "validation accuracy after epoch 1": f"{history[0]['val_accuracy']:.2%}",
            "at the best epoch": f"{top['val_accuracy']:.2%}",
            "its validation loss": f"{top['val_loss']:.3f}",
            "its training loss": f"{top['train_loss']:.3f}",
            "seconds per epoch": f"{seconds:.1f}",
        }
    return _frame(rows, lang).fillna("–")


def guessed(guess: Mapping[str, float], tests: Mapping, lang: str = "en") -> str:
    """Compare guessed test accuracies, in [0, 1], with those found, as Markdown; and their order.

    A guess within Wilson's 95 % interval counts as right. Raises ValueError outside [0, 1].
    """
    lines = []
    for name, value in guess.items():
        if not 0 <= value <= 1:
            wrong = f"The guess for {name} is {value}, but an accuracy lies in [0, 1]"
            raise ValueError(f"{wrong}: write 0.95 for 95 %.")
        test, (low, high) = tests[name], tests[name]["accuracy_interval"]
        said = "right" if low <= value <= high else "too high" if value > high else "too low"
        text = word("{name}: you said {guess:.1%}, it was {found:.1%}: {said}.", lang)
        shown = text.format(name=name, guess=value, found=test["accuracy"], said=word(said, lang))
        lines.append(f"- {shown}")
    order = [guess[name] for name in sorted(guess, key=lambda name: tests[name]["accuracy"])]
    right = all(lower < higher for lower, higher in pairwise(order))
    said = "Your order is right." if right else "Your order is not right."
    return "\n".join([*lines, "", word(said, lang)])


def compared(guess: Mapping, found: Mapping, lang: str = "en") -> str:
    """Set guesses beside what was found, as Markdown; numbers are differences of accuracies.

    What was not found is left out. Raises ValueError for a guess of another kind, or beyond ±1.
    """
    line = word("{name}: you said {guess}, it was {found}.", lang)
    points = word("{:+.1f} points", lang)
    lines = []
    for name in (name for name in guess if name in found and found[name] == found[name]):  # no NaN
        mine, true, is_text = guess[name], found[name], isinstance(found[name], str)
        if isinstance(mine, str) != is_text or not (is_text or -1 <= mine <= 1):
            as_what = f"a text like {true!r}" if is_text else "a number from -1 to 1, like 0.02"
            raise ValueError(f"The guess for {name} is {mine!r}, but must be {as_what}.")
        shown = [each if is_text else points.format(100 * each) for each in (mine, true)]
        lines.append("- " + line.format(name=name, guess=shown[0], found=shown[1]))
    return "\n".join(lines)


def worst_pairs(
    tests: Mapping[str, Mapping], classes: Sequence[str], lang: str = "en"
) -> pandas.DataFrame:
    """Return for each model the two classes that it confuses most, or all in a tie; how often."""
    from labkit import metrics  # only here: `labkit show` does without PyTorch

    rows = {}
    for name, test in tests.items():
        worst, times = metrics.worst_pairs(test["confusion"])
        shown = [" / ".join(word(classes[k], lang) for k in pair) for pair in worst]
        rows[name] = {"worst pair": ", ".join(shown) or "–", "times": times}
    return _frame(rows, lang)


def by_class(test: Mapping, classes: Sequence[str], lang: str = "en") -> pandas.DataFrame:
    """Return precision, recall, F1 and number of examples of each class of one model's test."""
    from labkit import metrics

    rows = {
        word(name, lang): {
            "precision": f"{scores['precision']:.4f}",
            "recall": f"{scores['recall']:.4f}",
            "F1": f"{scores['f1']:.4f}",
            "support": scores["support"],
        }
        for name, scores in zip(classes, metrics.class_scores(test["confusion"]), strict=True)
    }
    return _frame(rows, lang)


def paired(logits: Mapping, y, lang: str = "en") -> pandas.DataFrame:
    """Return one row per pair of models: how often only one of them is right, and McNemar's p.

    logits: model → (N, C), y: (N,).
    """
    from labkit import metrics

    rows = {}
    for first, second in combinations(logits, 2):
        counts = metrics.only_one_right(logits[first], logits[second], y)
        rows[f"{first} / {second}"] = {
            "only the first is right": counts[0],
            "only the second is right": counts[1],
            "p (McNemar)": f"{metrics.mcnemar(*counts):.2g}",
        }
    return _frame(rows, lang)


def _frame(rows: Mapping[str, Mapping], lang: str) -> pandas.DataFrame:
    """Return rows as a table whose columns have names in the language."""
    table = pandas.DataFrame.from_dict(rows, orient="index")
    return table.rename(columns=lambda name: word(name, lang))
