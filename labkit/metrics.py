"""Scores of a classifier, from its logits and the true labels.

Shapes: logits (N, C) for C classes, or (N, 1) for two; y (N,). Accuracy and its kin are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import binomtest
from sklearn.metrics import classification_report, confusion_matrix, precision_recall_fscore_support
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
    """Return accuracy, precision, recall and F1: of the positive class for one logit, the classes' mean otherwise."""
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
    """Return what is reported of a test: n, the scores, Wilson's 95 % interval of the accuracy, and the confusion matrix.

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


def report(logits: Tensor, y: Tensor, classes: Sequence[str]) -> str:
    """Return precision, recall and F1 of each class as a table of text, with 4 digits."""
    numbers = range(len(classes))
    return classification_report(
        y.cpu(),
        predictions(logits).cpu(),
        labels=numbers,
        target_names=classes,
        digits=4,
        zero_division=0,
    )


def errors_fixed(logits: Tensor, other: Tensor, y: Tensor) -> tuple[int, int]:
    """Return how many errors a model makes, and how many of them another model gets right."""
    wrong = predictions(logits).cpu() != y.cpu()
    return int(wrong.sum()), int((wrong & (predictions(other).cpu() == y.cpu())).sum())
