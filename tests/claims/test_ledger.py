"""The ledger: statistics against slow twins, and verdicts that follow by rule."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from labkit.claims import arms, ledger, plan, report


def test_interval_and_p_are_those_of_slow_twins():
    """The t-interval by its formula, and p by going through all 2^n signs."""
    d = np.array([0.3, 0.1, 0.25, -0.05, 0.2, 0.15])
    found = ledger.statistics(d)
    half = stats.t.ppf(0.975, 5) * d.std(ddof=1) / math.sqrt(6)
    assert (found["low"], found["high"]) == pytest.approx((d.mean() - half, d.mean() + half))
    means = [abs(np.mean(d * signs)) for signs in itertools.product((1, -1), repeat=6)]
    assert found["p"] == pytest.approx(np.mean(np.array(means) >= abs(d.mean()) - 1e-12))


def test_five_seeds_can_never_reach_005_and_ten_can_beside_twenty_claims():
    assert ledger.statistics(np.array([1.0, 1.1, 0.9, 1.2, 1.3]))["p"] == pytest.approx(2 / 32)
    p = ledger.statistics(np.linspace(1, 2, 10))["p"]
    assert p == pytest.approx(2 / 1024) and ledger.holm({str(k): p for k in range(20)})["0"] < 0.05


def test_one_seed_and_equal_seeds_give_no_false_certainty():
    assert ledger.statistics(np.array([0.5]))["low"] == -math.inf
    same = ledger.statistics(np.array([0.5, 0.5, 0.5]))
    assert same["low"] == same["high"] == 0.5


def test_holm_by_hand():
    """0.01 · 3, then max(0.03, 0.02 · 2), then max(0.04, 0.9 · 1)."""
    assert ledger.holm({"a": 0.02, "b": 0.01, "c": 0.9}) == pytest.approx(
        {"b": 0.03, "a": 0.04, "c": 0.9}
    )


@pytest.mark.parametrize(
    ("low", "high", "p", "seeds", "expected"),
    [
        (0.02, 0.04, 0.01, 10, "supported"),
        (0.02, 0.04, 0.30, 10, "inconclusive"),  # beyond the margin, but by chance
        (0.02, 0.04, 0.30, 5, "points that way (n = 5)"),
        (0.005, 0.04, 0.01, 10, "inconclusive"),  # there, but perhaps too small to matter
        (-0.04, -0.02, 0.01, 10, "contradicted"),
        (-0.009, -0.001, 0.01, 10, "contradicted"),
        (-0.009, 0.009, 1.0, 10, "equivalent"),
        (0.001, 0.009, 0.01, 10, "equivalent"),
        (-0.02, 0.02, 1.0, 10, "inconclusive"),
    ],
)
def test_the_first_rule_that_holds_decides(low, high, p, seeds, expected):
    assert ledger.verdict(low, high, p, 0.01, seeds) == expected


def test_differences_are_positive_as_claimed_and_a_run_that_diverged_counts_against_its_arm():
    pairs = [(0.9, 0.8), (0.7, 0.9)]
    assert ledger.differences(pairs, "higher", 0.01) == pytest.approx([0.1, -0.2])
    assert ledger.differences(pairs, "lower", 0.01) == pytest.approx([-0.1, 0.2])
    lost = ledger.differences(
        [(0.9, 0.8), (-math.inf, 0.8), (0.9, -math.inf), (-math.inf, -math.inf)], "higher", 0.01
    )
    assert lost == pytest.approx([0.1, -0.1, 0.1, 0.0])
    assert ledger.differences([(math.inf, 1.0)], "lower", 0.02) == pytest.approx([-0.02]), (
        "a loss that diverged"
    )


def test_a_verdict_from_records_by_hand(write, record):
    """LeNet leads by 0.010 to 0.012: the interval lies beyond the margin 0.002, with five seeds."""
    leads = (0.010, 0.011, 0.012, 0.011, 0.010)
    made = [record("digits LSTM", seed, 0.97) for seed in range(5)]
    made += [record("digits LeNet", seed, 0.97 + lead) for seed, lead in enumerate(leads)]
    write(made)
    entry = ledger.ledger()[0]
    assert (entry["id"], entry["verdict"], entry["won"], entry["budget"]) == (
        "M1",
        "points that way (n = 5)",
        5,
        "reduced",
    )
    assert entry["d"] == pytest.approx(leads) and entry["mean"] == pytest.approx(0.0108)
    assert "points that way (n = 5)" in report.line(entry) and "a CPU" in report.line(entry)
    assert ledger.ledger(margins={"M1": 0.0109})[0]["verdict"] == "inconclusive", (
        "a reader moves the margin"
    )
    assert ledger.ledger(margins={"m1": 0.0109}) == ledger.ledger(margins={"M1": 0.0109})
    assert ledger.ledger(seeds=2)[0]["seeds"] == [0, 1]


def test_a_margin_of_an_unknown_claim_is_an_error_that_names_the_known_ones(write):
    with pytest.raises(ValueError, match="There is no claim m9: choose from M1, .*, I12"):
        ledger.ledger(margins={"M1": 0.1, "m9": 0.5})


@pytest.mark.parametrize("margin", [0, -0.01, math.inf, math.nan, "0.1", None])
def test_a_margin_that_is_not_above_0_is_refused(write, margin):
    message = f"The margin of M1 is {margin}, but must be above 0: .* test accuracy, that matters"
    with pytest.raises(ValueError, match=message):
        ledger.ledger(margins={"m1": margin})


def test_records_of_the_full_budget_supersede_once_they_are_complete(write, record):
    arms_ = ("digits LSTM", "digits LeNet")
    write([record(arm, seed, 0.9) for arm in arms_ for seed in range(5)])
    write([record(arm, seed, 0.9, "report") for arm in arms_ for seed in range(4)])
    assert ledger.ledger()[0]["budget"] == "reduced"
    write([record(arm, seed, 0.9, "report") for arm in arms_ for seed in range(10)])
    assert ledger.ledger()[0]["budget"] == "report"


def test_of_each_measure_it_is_said_whether_less_is_better():
    """Reference: the measures of a cell and of the plan; less of a loss, a spread or a time."""
    epoch = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "seconds": 1.0}
    test = {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    known = set(arms.measures([epoch] * 3, test | {"confusion": np.eye(10, dtype=int).tolist()}))
    known |= {f"slope of the log gradient {when} training" for when in ("before", "after")}
    less = {
        *("area under the training loss", "first training loss", "last training loss"),
        *("rise of the validation loss from its lowest", "log of the seconds an epoch"),
        *("slope of the log gradient before training", "slope of the log gradient after training"),
        *("spread of validation accuracy", "spread of validation loss"),
    }
    assert {name for name in known | {plan.EQUAL_TIME} if ledger._worst(name) > 0} == less


def test_a_run_that_diverged_is_listed_and_loses(write, record):
    made = [
        record(arm, seed, 0.97 if arm == "digits LSTM" else 0.98)
        for arm in ("digits LSTM", "digits LeNet")
        for seed in range(3)
    ]
    made[-1] |= {"diverged": {"epoch": 1}, "measures": {}}
    write(made)
    entry = ledger.ledger()[0]
    assert (
        entry["diverged"] == ["digits LeNet, seed 2"]
        and entry["won"] == 2
        and entry["d"][2] == pytest.approx(-0.01)
    )


def test_equal_time_by_hand():
    """One arm needs 1 s an epoch, the other 2.5: when the first ends, the other has done one."""
    slow = [{"val_accuracy": accuracy, "seconds": 2.5} for accuracy in (0.6, 0.7, 0.8)]
    fast = [{"val_accuracy": accuracy, "seconds": 1.0} for accuracy in (0.5, 0.55, 0.58)]
    assert ledger._at_equal_time(fast, slow) == [0.58, 0.6]


def test_the_fastest_arm_has_its_last_epoch_at_equal_time():
    """Ten times 0.1 s, added one by one, is not what a compensated sum of them gives."""
    fast = [{"val_accuracy": k / 10, "seconds": 0.1} for k in range(10)]
    assert ledger._at_equal_time(fast, [{"val_accuracy": 0.5, "seconds": 9.0}]) == [0.9, 0.0]


def test_an_arm_that_diverged_loses_at_equal_time_and_seconds_of_two_machines_are_not_compared(
    record,
):
    cells = {
        ("digits LSTM", 0): record("digits LSTM", 0, 0.9),
        ("digits LeNet", 0): record("digits LeNet", 0, 0.8),
    }
    comparison = plan.comparisons(plan.claim("M1"))[1]
    assert ledger.values(comparison, cells, 0) == (0.8, 0.9)
    cells["digits LSTM", 0] |= {"diverged": {"epoch": 1}, "history": []}
    assert ledger.values(comparison, cells, 0) == (0.8, -math.inf)
    cells["digits LSTM", 0] |= {"environment": {"device_name": "another CPU"}}
    assert ledger.values(comparison, cells, 0) is None
    assert ledger.values(plan.comparisons(plan.claim("M1"))[0], cells, 0) == (0.8, -math.inf), (
        "accuracies can"
    )


def test_six_seeds_of_one_claim_are_corrected_for_all_twenty(write, record):
    """Six seeds alike give p = 2 / 64 = 0.031: enough if only claims that have run were counted."""
    leads = (0.010, 0.011, 0.012, 0.011, 0.010, 0.012)
    made = [record("digits LSTM", seed, 0.97, "report") for seed in range(6)]
    made += [record("digits LeNet", seed, 0.97 + lead, "report") for seed, lead in enumerate(leads)]
    write(made)
    entry = ledger.ledger()[0]
    assert entry["p"] == pytest.approx(2 / 64) and entry["p_holm"] == pytest.approx(20 * 2 / 64)
    assert entry["verdict"] == "points that way (n = 6)"
