"""Scores, against counts made by hand and a published interval."""

import pytest
import torch

from labkit import metrics

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
    assert set(test) == {
        "n",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "accuracy_interval",
        "confusion",
    }


def test_interval_is_wilsons():
    """Reference: Newcombe (1998), Table I, method 3: 81 of 263 gives 0.2553 to 0.3662."""
    logits = torch.ones(263, 1)
    y = (torch.arange(263) < 81).long()
    assert metrics.test_scores(logits, y)["accuracy_interval"] == pytest.approx(
        [0.2553, 0.3662], abs=5e-5
    )


def test_a_class_nobody_names_does_not_break_the_tables():
    logits = -torch.ones(4, 1)
    assert metrics.test_scores(logits, torch.zeros(4).long())["confusion"] == [[4, 0], [0, 0]]
    assert "positive" in metrics.report(logits, torch.zeros(4).long(), ("negative", "positive"))


def test_errors_fixed():
    other = torch.tensor([[-1.0], [-2.0], [-3.0], [1.0], [2.0], [-0.5]])
    assert metrics.errors_fixed(LOGIT, other, Y) == (2, 1)


def test_report_has_four_digits():
    assert "0.6667" in metrics.report(LOGIT, Y, ("negative", "positive"))
