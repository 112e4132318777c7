"""Tables and texts made from the records of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pandas

from labkit import labels


def table(models: dict[str, dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row a model: size, epochs, test scores with Wilson's 95 % interval, seconds of training."""
    rows = {}
    for name, model in classifiers.items():
        test, (low, high) = model["test"], model["test"]["accuracy_interval"]
        rows[name] = {
            "parameters": f"{model['num_parameters']:,}",
            "best epoch": _best_epoch(model),
            "test accuracy": f"{test['accuracy']:.2%}",
            "95 % interval": f"{low:.2%} – {high:.2%}",
            "precision": f"{test['precision']:.4f}",
            "recall": f"{test['recall']:.4f}",
            "F1": f"{test['f1']:.4f}",
            "training": f"{model['train_seconds']:.1f} s",
        }
    return pandas.DataFrame.from_dict(rows, orient="index").rename(
        columns=lambda name: labels.word(name, lang)
    )


def _best_epoch(model: dict) -> str:
    if model.get("diverged"):
        return f"diverged in {model['diverged']['epoch']}"
    return f"{model['best_epoch']} of {len(model['history'])}" if model["history"] else "–"


def settings_table(lab: SimpleNamespace) -> pandas.DataFrame:
    """Return the resolved settings, one row each."""
    return pandas.DataFrame({"value": {name: str(value) for name, value in vars(lab).items()}})


def validation_table(histories: Mapping[str, Sequence[Mapping]]) -> pandas.DataFrame:
    """Return one row a model: its best validation epoch, the scores there, and its seconds an epoch."""
    rows = {}
    for name, history in histories.items():
        if not history:  # diverged in its first epoch
            rows[name] = {"best epoch": "none"}
            continue
        top = max(history, key=lambda record: record["val_accuracy"])  # the first of the best
        rows[name] = {
            "best epoch": f"{top['epoch']} of {len(history)}",
            "validation accuracy after epoch 1": f"{history[0]['val_accuracy']:.2%}",
            "at the best": f"{top['val_accuracy']:.2%}",
            "validation loss there": f"{top['val_loss']:.3f}",
            "training loss there": f"{top['train_loss']:.3f}",
            "seconds an epoch": f"{sum(record['seconds'] for record in history) / len(history):.1f}",
        }
    return pandas.DataFrame.from_dict(rows, orient="index").fillna("–")


def headline(result: dict, lang: str = "en") -> str:
    """Return in one line what was run on what."""
    data, where = result["data"], result["environment"]

    def word(english: str) -> str:
        return labels.word(english, lang)

    return (
        f"{result['notebook']} · {word('preset')} {result['preset']}, {word('seed')} {result['parameters']['seed']} · "
        f"{word(data['source'] + ' data')}: {data['train']:,} / {data['validation']:,} / {data['test']:,} "
        f"{word('training / validation / test examples')} · {where['device_name']}, torch {where['versions']['torch']}"
    )


def summary(result: dict, lang: str = "en") -> str:
    """Return a finished run as a text: what was run on what, the table of its models, and the digests of both."""
    # laid out whatever the window's width, and translated afterwards so that the columns stay straight
    rows = table(result["models"]).to_string(line_width=200)
    return f"{headline(result, lang)}\n\n{labels.table(rows, lang)}\n\n{digests(result, lang)}"


def digests(result: dict, lang: str = "en") -> str:
    """Return in one line how the run and its weights can be known again: the beginnings of their SHA-256."""
    weights = ", ".join(
        f"{name} {model['weights_sha256'][:8]}" for name, model in result["models"].items()
    )
    run, of_weights = (
        labels.word("SHA-256 of settings and data", lang),
        labels.word("of the weights", lang),
    )
    return f"{run} {result['settings_sha256'][:12]}, {of_weights} {weights}"


def comparison(result: dict, best: str, classes: str, lang: str = "en") -> str:
    """Return the report of a finished run: its summary, the best model, and that one's scores class by class."""
    best_model = f"{labels.word('Best model', lang)}: {best}"
    return f"{summary(result, lang)}\n\n{best_model}\n\n{labels.table(classes, lang)}"
