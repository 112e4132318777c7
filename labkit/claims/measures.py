"""What is measured of a cell, from its record alone: data/study/README.md has the definitions."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np

EQUAL_TIME = "validation accuracy at equal time"  # the one measure that needs both arms
SECONDS = "log of the seconds an epoch"
CHANCE = {"mnist": 0.1, "imdb": 0.5}
LEARNT = 0.1  # a model has learnt when its validation accuracy is so far above chance
PAIRS = list(itertools.combinations(range(10), 2))  # of digits
LESS_IS_BETTER = re.compile("loss|falls|rise|slope|seconds")  # where this stands in a measure


def measure(record: dict, name: str) -> float | None:
    """Return a measure of a record; None where it has none: falls of what never left chance.

    Raises KeyError for what the record lacks.
    """
    curves, test = record["history"], record["test"]
    clean = "in evaluation mode" in name
    train = curve(record, "clean_train_loss" if clean else "train_loss")
    loss, accuracy = curve(record, "val_loss"), curve(record, "val_accuracy")
    left = next((k for k, value in enumerate(accuracy) if has_learnt(record, value)), len(curves))
    match name.removesuffix(" in evaluation mode"):
        case "test accuracy" | "test precision" | "test recall" | "test F1":
            return test[name.removeprefix("test ").lower()]
        case "best validation accuracy":
            return accuracy.max()
        case "validation accuracy of the first two epochs":
            return accuracy[:2].mean()
        case "area under the training loss":
            return train.mean()
        case "first training loss":
            return train[0]
        case "last training loss":
            return train[-1]
        case "training loss of the first two epochs":
            return train[:2].mean()
        case "falls of validation accuracy" | "falls of validation F1" | "rises of validation loss":
            falls = {"accuracy": -accuracy, "F1": -curve(record, "val_f1"), "loss": loss}
            steps = np.diff(falls[name.split()[-1]][left:])
            return steps.clip(min=0).sum() if left < len(curves) else None
        case "late rise of validation loss":
            return loss[-3:].mean() - loss.min()
        case "log of the seconds an epoch":
            return math.log(np.median(curve(record, "seconds")))
        case "effective number of confused pairs":
            n = pairs(test["confusion"])
            return n.sum() * (n.sum() - 1) / max((n * (n - 1)).sum(), 1)
        case "share of 4 and 9 in the errors less that of the largest other pair":
            n = pairs(test["confusion"])
            fours = n[PAIRS.index((4, 9))]
            return (fours - np.delete(n, PAIRS.index((4, 9))).max()) / max(n.sum(), 1)
        case "size of the gradient's slope before training":
            return abs(slope(record, "before"))
        case "size of the gradient's slope after training":
            return abs(slope(record, "after"))
    raise KeyError(name)


def pairs(confusion: list[list[int]]) -> np.ndarray:
    """Return how often the two digits of each pair were taken for each other, (45,)."""
    counts = np.array(confusion)
    return np.array([counts[i, j] + counts[j, i] for i, j in PAIRS])


def curve(record: dict, name: str) -> np.ndarray:
    """Return one figure of every epoch."""
    return np.array([epoch[name] for epoch in record["history"]], dtype=float)


def slope(record: dict, when: str) -> float:
    """Return the slope of the log gradient `before` or `after` training, by older names too."""
    older = f"slope of the log gradient {when} training"
    return record["slopes"][when] if "slopes" in record else record["measures"][older]


def has_learnt(record: dict, accuracy: float | None = None) -> bool:
    """Tell whether a validation accuracy, by default the best, is at least 0.1 above chance."""
    accuracy = best(record) if accuracy is None else accuracy
    return accuracy >= CHANCE[record["settings"]["data"]] + LEARNT - 1e-9  # 0.6 is 0.5 + 0.1


def best(record: dict) -> float:
    """Return the best validation accuracy; 0 if not one epoch was finished."""
    return max((epoch["val_accuracy"] for epoch in record["history"]), default=0.0)


def worst(name: str) -> float:
    """Return the worst value that a measure can have."""
    return math.inf if LESS_IS_BETTER.search(name) else -math.inf


def at_equal_time(records: list[dict]) -> list[float]:
    """Return each arm's validation accuracy when the fastest had ended; chance before an epoch."""
    seconds = [np.median(curve(record, "seconds")) for record in records]
    epochs = zip(seconds, records, strict=True)
    until = min(each * len(record["history"]) for each, record in epochs)
    found = []
    for each, record in zip(seconds, records, strict=True):
        done = min(int(until / each + 1e-9), len(record["history"]))
        chance = CHANCE[record["settings"]["data"]]
        found.append(record["history"][done - 1]["val_accuracy"] if done else chance)
    return found
