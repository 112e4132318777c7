"""Scores, against counts made by hand, sklearn, a published interval and a binomial sum."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import classification_report, confusion_matrix

from labkit import metrics, tables

Y = torch.tensor([0, 0, 0, 0, 1, 1])
LOGIT = torch.tensor([[-1.0], [-2.0], [3.0], [-1.0], [2.0], [-0.5]])  # one false alarm, one miss


def test_scores_of_reviews_are_those_of_the_positive_class():
    assert metrics.scores(LOGIT, Y) == pytest.approx(
        {"accuracy": 4 / 6, "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2}
    )


def test_scores_of_digits_are_the_mean_over_the_classes():
    logits = torch.eye(3)[torch.tensor([0, 0, 1, 2])]  # true: 0, 1, 1, 2
    expected = {"accuracy": 3 / 4, "precision": (1 / 2 + 1 + 1) / 3, "recall": (1 + 1 / 2 + 1) / 3}
    found = metrics.scores(logits, torch.tensor([0, 1, 1, 2]))
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_test_scores():
    test = metrics.test_scores(LOGIT, Y)
    assert test["n"] == 6 and test["confusion"] == [[3, 1], [1, 1]]
    assert set(test) == {"n", "accuracy_interval", "confusion", *metrics.scores(LOGIT, Y)}


def test_interval_is_wilsons():
    """Reference: Newcombe (1998), Table I, method 3: 81 of 263 gives 0.2553 to 0.3662."""
    logits = torch.ones(263, 1)
    y = (torch.arange(263) < 81).long()
    assert metrics.test_scores(logits, y)["accuracy_interval"] == pytest.approx(
        [0.2553, 0.3662], abs=5e-5
    )


def test_a_class_nobody_names_does_not_break_the_tables():
    logits, y = -torch.ones(4, 1), torch.zeros(4).long()
    test = metrics.test_scores(logits, y)
    assert test["confusion"] == [[4, 0], [0, 0]]
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert metrics.class_scores(test["confusion"])[1] == nothing
    assert list(tables.by_class(test, ("negative", "positive")).index) == ["negative", "positive"]


def test_only_one_right():
    """By hand: the other model is right where LOGIT raises a false alarm, and misses example 3."""
    other = torch.tensor([[-1.0], [-2.0], [-3.0], [1.0], [2.0], [0.5]])
    assert metrics.only_one_right(LOGIT, other, Y) == (1, 2)
    assert metrics.only_one_right(other, LOGIT, Y) == (2, 1)
    assert metrics.only_one_right(LOGIT, LOGIT, Y) == (0, 0)


def test_table_of_classes_has_four_digits():
    """By hand: of four negative reviews LOGIT finds three, and calls four negative."""
    table = tables.by_class(metrics.test_scores(LOGIT, Y), ("negative", "positive"))
    assert table.loc["negative"].tolist() == ["0.7500", "0.7500", "0.7500", 4]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_classes", [2, 10])
def test_class_scores_are_sklearns(seed, num_classes):
    """Reference: sklearn's report. The last class is never answered, the first one never true."""
    draw = np.random.default_rng(seed)
    y = draw.integers(1, num_classes, 60)
    predicted = draw.integers(0, num_classes - 1, 60)
    labels = list(range(num_classes))
    expected = classification_report(y, predicted, labels=labels, output_dict=True, zero_division=0)
    found = metrics.class_scores(confusion_matrix(y, predicted, labels=labels).tolist())
    for label, scores in zip(labels, found, strict=True):
        reference = expected[f"{label}"]
        reference["f1"] = reference.pop("f1-score")
        assert scores == pytest.approx(reference)


@pytest.mark.parametrize("seed", range(5))
def test_worst_pair_is_the_largest_sum_of_both_mistakes(seed):
    """Reference: every pair in plain loops; no number is there twice, so there is one answer."""
    confusion = np.random.default_rng(seed).permutation(4 ** np.arange(25) % 10007).reshape(5, 5)
    counts = {
        (first, second): int(confusion[first, second] + confusion[second, first])
        for first in range(5)
        for second in range(first + 1, 5)
    }
    pair = max(counts, key=counts.get)
    assert metrics.worst_pairs(confusion.tolist()) == ([pair], counts[pair])


def test_right_answers_are_no_worst_pair_and_a_tie_has_all():
    assert metrics.worst_pairs([[90, 0, 1], [2, 80, 0], [0, 3, 70]]) == ([(1, 2)], 3)
    assert metrics.worst_pairs([[9, 1, 2], [1, 8, 0], [0, 2, 7]]) == ([(0, 1), (0, 2), (1, 2)], 2)
    assert metrics.worst_pairs([[9, 0], [0, 9]]) == ([], 0)


@pytest.mark.parametrize(
    ("first", "second"), [(0, 1), (1, 0), (3, 3), (10, 2), (2, 10), (41, 46), (0, 20)]
)
def test_mcnemars_p_is_the_binomial_sum(first, second):
    """Reference: twice the chance of as few or fewer heads in n throws, at most 1."""
    n = first + second
    tail = sum(math.comb(n, k) for k in range(min(first, second) + 1)) / 2**n
    assert metrics.mcnemar(first, second) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemars_p_of_known_counts():
    assert round(metrics.mcnemar(41, 46), 2) == 0.67
    assert metrics.mcnemar(0, 0) == 1.0, "two models that never differ"
    assert metrics.mcnemar(0, 5) == 2 / 32
