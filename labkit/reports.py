"""Tables and texts made from the records of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pandas

from labkit import labels


def table(models: dict[str, dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row a model: size, epochs, test scores with Wilson's 95 % interval, seconds of training."""
    rows = {}
    for name, model in models.items():
        test, (low, high) = model["test"], model["test"]["accuracy_interval"]
        rows[name] = {
            "parameters": f"{model['num_parameters']:,}",
            "best epoch": f"{model['best_epoch']} of {len(model['history'])}" if model["history"] else "–",
            "test accuracy": f"{test['accuracy']:.2%}",
            "95 % interval": f"{low:.2%} – {high:.2%}",
            "precision": f"{test['precision']:.4f}",
            "recall": f"{test['recall']:.4f}",
            "F1": f"{test['f1']:.4f}",
            "training": f"{model['train_seconds']:.1f} s",
        }
    return pandas.DataFrame.from_dict(rows, orient="index").rename(columns=lambda name: labels.word(name, lang))


def settings_table(lab: SimpleNamespace) -> pandas.DataFrame:
    """Return the resolved settings, one row each."""
    return pandas.DataFrame({"value": {name: str(value) for name, value in vars(lab).items()}})


def summary(result: dict) -> str:
    """Return a finished run in words: what was run on what, and the table of its models."""
    parameters, data, where = result["parameters"], result["data"], result["environment"]

    def word(english: str) -> str:
        return labels.word(english, parameters["lang"])

    head = (
        f"{result['notebook']} · {word('preset')} {result['preset']}, {word('seed')} {parameters['seed']} · "
        f"{word(data['source'] + ' data')}: {data['train']:,} / {data['validation']:,} / {data['test']:,} "
        f"{word('training / validation / test examples')} · {where['device_name']}, torch {where['versions']['torch']}"
    )
    # shown 200 columns wide whatever the window, and translated afterwards so that the columns stay straight
    return head + "\n\n" + labels.table(table(result["models"]).to_string(line_width=200), parameters["lang"])


def comparison(result: dict, best: str, classes: str) -> str:
    """Return the comparison of a finished run as a text: its summary, the best model, and that one's score a class."""
    lang = result["parameters"]["lang"]
    return f"{summary(result)}\n\n{labels.word('Best model', lang)}: {best}\n\n{labels.table(classes, lang)}"
