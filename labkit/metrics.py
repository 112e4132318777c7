"""Scores of a classifier, from its logits and the true labels.

Shapes: logits (N, C) for C classes, or (N, 1) for two; y (N,). Accuracy and its kin are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor
from torch.nn import functional as F


def loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy: binary if there is one logit, over the classes otherwise."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits.squeeze(1), y.to(logits.dtype))
    return F.cross_entropy(logits, y)


def predictions(logits: Tensor) -> Tensor:
    """Return the class that each row of logits speaks for, (N,)."""
    return (logits.squeeze(1) > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def scores(logits: Tensor, y: Tensor) -> dict[str, float]:
    """Return accuracy, precision, recall and F1: of the positive class if there is one logit.

    Otherwise the last three are the means of the classes' own.
    """
    average = "binary" if logits.shape[1] == 1 else "macro"
    predicted, y = predictions(logits).cpu(), y.cpu()
    precision, recall, f1, _ = precision_recall_fscore_support(
        y, predicted, average=average, zero_division=0
    )
    return {
        "accuracy": float((predicted == y).double().mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }


def test_scores(logits: Tensor, y: Tensor) -> dict:
    """Return what is reported of a test: n, scores, Wilson's 95 % interval, confusion matrix.

    Wilson's interval (1927) holds the true accuracies under which the observed one is no surprise.
    Row i, column j of `confusion` counts the examples of class i taken for class j.
    """
    predicted, y = predictions(logits).cpu(), y.cpu()
    interval = binomtest(int((predicted == y).sum()), len(y)).proportion_ci(0.95, method="wilson")
    classes = range(max(2, logits.shape[1]))
    return {
        "n": len(y),
        **scores(logits, y),
        "accuracy_interval": [float(interval.low), float(interval.high)],
        "confusion": confusion_matrix(y, predicted, labels=classes).tolist(),
    }


def class_scores(confusion: Sequence[Sequence[int]]) -> list[dict[str, float]]:
    """Return precision, recall, F1 and support of each class of (C, C) counts; 0 for 0 / 0."""
    counts = np.array(confusion)
    right, answered, true = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    precision, recall = right / np.maximum(answered, 1), right / np.maximum(true, 1)
    f1 = 2 * right / np.maximum(answered + true, 1)
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for p, r, f, n in zip(precision, recall, f1, true, strict=True)
    ]


def worst_pairs(confusion: Sequence[Sequence[int]]) -> tuple[list[tuple[int, int]], int]:
    """Return the pairs of classes that are taken for each other most often, and how often."""
    counts = np.array(confusion)
    both = np.triu(counts + counts.T, 1)
    times = int(both.max())
    return [(int(i), int(j)) for i, j in np.argwhere(both == times)] if times else [], times


def only_one_right(logits: Tensor, other: Tensor, y: Tensor) -> tuple[int, int]:
    """Return how many examples only the first model gets right, and how many only the other."""
    y = y.cpu()
    right, other_right = predictions(logits).cpu() == y, predictions(other).cpu() == y
    return int((right & ~other_right).sum()), int((other_right & ~right).sum())


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p of McNemar's test (1947) for two models on the same examples.

    only_first, only_second: the numbers of examples that only the one or the other gets right. If
    both models were equally good, each such example would be either's with probability 1/2.
    """
    differ = only_first + only_second
    return float(binomtest(only_first, differ, 0.5).pvalue) if differ else 1.0
