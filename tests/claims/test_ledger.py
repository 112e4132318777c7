"""The ledger: statistics against slow twins, and verdicts that follow by rule."""

import base64
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from labkit.claims import ledger, plan, report, statistics


def test_intervals_and_p_are_those_of_slow_twins():
    """The t-intervals by their formula, and both p by going through all 2^n signs."""
    d, margin = np.array([0.3, 0.1, 0.25, -0.05, 0.2, 0.15]), 0.02
    found = statistics.summary(d, margin)
    for share, low, high in ((0.975, "low", "high"), (0.95, "low90", "high90")):
        half = stats.t.ppf(share, 5) * d.std(ddof=1) / math.sqrt(6)
        assert (found[low], found[high]) == pytest.approx((d.mean() - half, d.mean() + half))
    for name, shifted in (("p", d - margin), ("p_against", -d - margin)):
        means = [np.mean(shifted * signs) for signs in itertools.product((1, -1), repeat=6)]
        share = np.mean(np.array(means) >= shifted.mean() - 1e-12)
        assert found[name] == pytest.approx(share)


def test_five_seeds_can_never_reach_005_and_ten_can_beside_twenty_claims():
    assert statistics.summary(np.array([1.0, 1.1, 0.9, 1.2, 1.3]), 0.1)["p"] == 1 / 32
    p = statistics.summary(np.linspace(1, 2, 10), 0.1)["p"]
    assert p == 1 / 1024 and statistics.holm({str(k): p for k in range(20)})["0"] < 0.05


def test_one_seed_and_equal_seeds_give_no_false_certainty():
    assert statistics.summary(np.array([0.5]), 0.1)["low"] == -math.inf
    same = statistics.summary(np.array([0.5, 0.5, 0.5]), 0.1)
    assert same["low"] == same["high"] == 0.5


def test_holm_by_hand():
    """0.01 · 3, then max(0.03, 0.02 · 2), then max(0.04, 0.9 · 1)."""
    assert statistics.holm({"a": 0.02, "b": 0.01, "c": 0.9}) == pytest.approx(
        {"b": 0.03, "a": 0.04, "c": 0.9}
    )


@pytest.mark.parametrize(
    ("bounds", "p", "against", "seeds", "expected"),
    [
        ((0.02, 0.04), 0.01, 1, 10, "supported"),
        ((0.02, 0.04), 0.30, 1, 10, "points that way"),  # beyond the margin, but perhaps by chance
        ((0.02, 0.04), 0.01, 1, 5, "points that way"),
        ((0.005, 0.04), 0.01, 1, 10, "inconclusive"),  # there, but perhaps too small to matter
        ((-0.04, -0.02), 1, 0.01, 10, "contradicted"),
        ((-0.04, -0.02), 1, 0.30, 10, "points the other way"),
        ((-0.04, -0.02), 1, 0.01, 5, "points the other way"),
        ((-0.013, -0.001), 1, 0.01, 10, "inconclusive"),  # against it, but perhaps too little
        ((-0.009, 0.009), 1, 1, 10, "equivalent"),
        ((0.001, 0.009), 0.01, 1, 10, "equivalent"),
        ((-0.02, 0.02), 1, 1, 10, "inconclusive"),
    ],
)
def test_the_first_rule_that_holds_decides_and_both_ways_alike(bounds, p, against, seeds, expected):
    """The mirror image of a part has the mirror image of its verdict."""
    low, high = bounds
    part = {"low": low, "high": high, "low90": low, "high90": high, "margin": 0.01}
    part["seeds"] = list(range(seeds))
    assert ledger.verdict(part, p, against) == expected
    mirrored = part | {"low": -high, "high": -low, "low90": -high, "high90": -low}
    mirror = {"supported": "contradicted", "points that way": "points the other way"}
    mirror |= {other: one for one, other in mirror.items()}
    assert ledger.verdict(mirrored, against, p) == mirror.get(expected, expected)


def test_equivalence_is_judged_by_the_90_percent_interval():
    """Two one-sided tests at 5 % each."""
    part = {"low": -0.011, "high": 0.011, "low90": -0.009, "high90": 0.009, "margin": 0.01}
    assert ledger.verdict(part | {"seeds": [0] * 10}, 1, 1) == "equivalent"


def test_differences_are_positive_as_claimed_and_a_run_that_diverged_counts_against_its_arm():
    pairs = [(0.9, 0.8), (0.7, 0.9)]
    assert statistics.differences(pairs, "higher", 0.01) == pytest.approx([0.1, -0.2])
    assert statistics.differences(pairs, "lower", 0.01) == pytest.approx([-0.1, 0.2])
    lost = statistics.differences(
        [(0.9, 0.8), (-math.inf, 0.8), (0.9, -math.inf), (-math.inf, -math.inf)], "higher", 0.01
    )
    assert lost == pytest.approx([0.1, -0.1, 0.1, 0.0])
    assert statistics.differences([(math.inf, 1.0)], "lower", 0.02) == pytest.approx([-0.02]), (
        "a loss that diverged"
    )


def both(record, a, b, leads, budget="reduced", low=0.9):
    """Return records of two arms, of which a leads by so much with each seed."""
    made = [record(b, seed, low, budget) for seed in range(len(leads))]
    return made + [record(a, seed, low + lead, budget) for seed, lead in enumerate(leads)]


def test_a_verdict_from_records_by_hand(write, record):
    """LeNet leads by 0.010 to 0.012: the interval lies beyond the margin 0.002, with five seeds."""
    leads = (0.010, 0.011, 0.012, 0.011, 0.010)
    write(both(record, "digits LeNet", "digits LSTM", leads))
    entry = ledger.ledger()[0]
    assert (entry["id"], ledger.said(entry)) == ("M1", "points that way (n = 5)")
    (part,) = entry["parts"]
    assert part["won"] == 5 and entry["budget"] == "reduced" and entry["gate"]["digits LeNet"] == 5
    assert part["d"] == pytest.approx(leads) and part["mean"] == pytest.approx(0.0108)
    assert "points that way (n = 5)" in report.line(entry) and "a CPU" in report.line(entry)
    moved = [ledger.ledger(margins={"M1": margin})[0]["verdict"] for margin in (0.0109, 0.05)]
    assert moved == ["inconclusive", "equivalent"], "a reader moves the margin"
    assert ledger.ledger(margins={"m1": 0.0109}) == ledger.ledger(margins={"M1": 0.0109})
    assert ledger.ledger(seeds=2)[0]["seeds"] == [0, 1]


def test_four_seeds_are_no_look_seven_are_five_and_ten_are_final(write, record):
    leads = tuple(0.010 + 0.0001 * seed for seed in range(10))
    write(both(record, "digits LeNet", "digits LSTM", leads[:4]))
    assert ledger.ledger()[0]["verdict"] == "not run yet"
    write(both(record, "digits LeNet", "digits LSTM", leads[:7]))
    assert ledger.ledger()[0]["seeds"] == [0, 1, 2, 3, 4]
    write(both(record, "digits LeNet", "digits LSTM", leads))
    entry = ledger.ledger()[0]
    assert entry["seeds"] == list(range(10)) and ledger.said(entry) == "supported"
    assert entry["p_holm"] == pytest.approx(20 / 1024), "for all twenty claims, run or not"


def test_the_other_way_round_a_sentence_is_contradicted(write, record):
    leads = tuple(-0.010 - 0.0001 * seed for seed in range(10))
    write(both(record, "digits LeNet", "digits LSTM", leads))
    assert ledger.said(ledger.ledger()[0]) == "contradicted"


def test_models_that_have_learnt_nothing_are_not_compared(write, record):
    """Chance is 0.1: with 0.19 in two of five seeds, three have learnt, and four must."""
    leads = (0.010, 0.011, 0.012, 0.011, 0.010)
    made = both(record, "digits LeNet", "digits LSTM", leads, low=0.3)
    for each in made:
        if each["seed"] < 2:
            each["history"] = [epoch | {"val_accuracy": 0.19} for epoch in each["history"]]
    write(made)
    entry = ledger.ledger()[0]
    assert entry["verdict"] == "not tested" and entry["gate"]["digits LeNet"] == 3
    made[0]["history"] = [epoch | {"val_accuracy": 0.2} for epoch in made[0]["history"]]
    write(made)
    assert ledger.ledger()[0]["verdict"] == "points that way", "one arm of the two is enough"


def test_the_weakest_part_decides_and_what_speaks_against_is_named(write, record):
    """M6 by its slopes, and LSTMs that lose with 32 blank rows."""
    arms = {"digits LSTM": 0.1, "digits RNN": 0.9}
    made = [
        record(arm, seed, 0.9, slopes={"before": slope, "after": slope + seed / 100})
        for arm, slope in arms.items()
        for seed in range(5)
    ]
    write(made)
    write(both(record, "digits LSTM, 32 blank rows", "digits RNN, 32 blank rows", [-0.5] * 5))
    m6 = next(entry for entry in ledger.ledger() if entry["id"] == "M6")
    assert ledger.said(m6) == "points that way (n = 5)"
    assert [other["a"] for other in m6["against"]] == [["digits LSTM, 32 blank rows"]]
    assert "speaks against it" in report.table([m6]).loc["M6", "verdict"]
    m3 = next(claim for claim in plan.plan()["claims"] if claim["id"] == "M3")
    verdicts = ("points that way", "inconclusive", "supported", "points that way")
    assert min(verdicts, key=ledger.VERDICTS.index) == "inconclusive" and len(m3["parts"]) == 4


def test_of_two_sizes_the_one_with_the_best_validation_is_chosen(record):
    """I9: 128 units win on validation and lose on the test; their test accuracy counts."""
    accuracies = {"128 units": (0.8, 0.7), "64 units": (0.7, 0.6), "512 units": (0.6, 0.9)}
    accuracies = {f"reviews LSTM, {name}": pair for name, pair in accuracies.items()}
    accuracies["reviews LSTM"] = (0.75, 0.95)
    cells = {}
    for arm, (validation, test) in accuracies.items():
        made = record(arm, 0, validation)
        cells[arm, 0] = made | {"test": made["test"] | {"accuracy": test}}
    (part,), _ = plan.comparisons(plan.claim("I9"))
    assert ledger.values(part, cells, 0) == (0.7, 0.6)


def test_a_side_without_arms_is_its_bound(record):
    parts, _ = plan.comparisons(plan.claim("I12"))
    made = record("reviews LSTM, padded", 0, 0.8)
    made["history"] = [
        epoch | {"val_accuracy": v}
        for epoch, v in zip(made["history"], (0.8, 0.7, 0.75), strict=True)
    ]
    a, b = ledger.values(parts[0], {("reviews LSTM, padded", 0): made}, 0)
    assert a == pytest.approx(0.1) and b == 0.05


def test_the_interval_over_examples_is_that_of_a_slow_twin(record):
    """Reference: rows, columns and residuals of the table of differences, one by one."""
    rng, cells = np.random.default_rng(0), {}
    right = {arm: rng.random((4, 40)) < share for arm, share in (("a", 0.9), ("b", 0.7))}
    for arm, name in (("a", "digits LeNet"), ("b", "digits LSTM")):
        for seed in range(4):
            bits = base64.b64encode(np.packbits(right[arm][seed]).tobytes()).decode()
            made = record(name, seed, 0.5) | {"correct": bits}
            cells[name, seed] = made | {"test": made["test"] | {"n": 40}}
    (part,), _ = plan.comparisons(plan.claim("M1"))
    found = statistics.over_examples(part, cells, range(4))
    d = right["a"].astype(float) - right["b"]
    mean, rest = d.mean(), 0.0
    for s in range(4):
        for i in range(40):
            rest += (d[s, i] - d[s].mean() - d[:, i].mean() + mean) ** 2 / (3 * 39)
    variance = d.mean(1).var(ddof=1) / 4 + d.mean(0).var(ddof=1) / 40 - rest / 160
    half = stats.t.ppf(0.975, 3) * math.sqrt(variance)
    expected = (mean - half, mean + half)
    assert (found["low_examples"], found["high_examples"]) == pytest.approx(expected)


def test_the_seed_lottery_by_hand():
    """One against one: of 3 × 3 draws only 0.7 against 0.8 has the other winner.

    The means of three of three are the means of all.
    """
    pairs = [(0.9, 0.6), (0.9, 0.8), (0.7, 0.6)]
    assert statistics.lottery(pairs, 1) == pytest.approx(1 / 9)
    assert statistics.lottery(pairs, 3) == 0
    swapped = [(b, a) for a, b in pairs]
    assert statistics.lottery(swapped, 1) == pytest.approx(1 / 9)


def test_a_margin_of_an_unknown_claim_is_an_error_that_names_the_known_ones(write):
    with pytest.raises(ValueError, match="There is no claim m9: choose from M1, .*, I12"):
        ledger.ledger(margins={"M1": 0.1, "m9": 0.5})


@pytest.mark.parametrize("margin", [0, -0.01, math.inf, math.nan, "0.1", None])
def test_a_margin_that_is_not_above_0_is_refused(write, margin):
    message = f"The margin of M1 is {margin}, but must be above 0: .* test accuracy, that matters"
    with pytest.raises(ValueError, match=message):
        ledger.ledger(margins={"m1": margin})


def test_the_larger_budget_counts_from_five_seeds_on_and_the_other_stands_beside(write, record):
    """Reference: the rule. Five seeds of `report` count more than five of `reduced`."""
    leads = (0.010, 0.011, 0.012, 0.011, 0.010)
    write(both(record, "digits LeNet", "digits LSTM", leads))
    write(both(record, "digits LeNet", "digits LSTM", leads[:4], "report"))
    assert ledger.ledger()[0]["budget"] == "reduced" and ledger.ledger()[0]["others"] == {}
    write(
        both(record, "digits LeNet", "digits LSTM", [-0.01, -0.011, -0.01, -0.01, -0.01], "report")
    )
    entry = ledger.ledger()[0]
    assert entry["budget"] == "report" and ledger.said(entry) == "points the other way (n = 5)"
    assert entry["others"] == {"reduced": "points that way (n = 5)"}


def test_a_run_that_diverged_is_listed_and_loses(write, record):
    made = both(record, "digits LeNet", "digits LSTM", [0.01] * 5)
    made[-1] |= {"diverged": {"epoch": 1}}
    write(made)
    entry = ledger.ledger()[0]
    assert entry["diverged"] == ["digits LeNet, seed 4"]
    assert entry["parts"][0]["won"] == 4 and entry["parts"][0]["d"][4] == pytest.approx(-0.01)


def test_seconds_of_two_machines_or_with_other_neighbours_are_not_compared(record):
    cells = {
        ("digits LSTM", 0): record("digits LSTM", 0, 0.9),
        ("digits LeNet", 0): record("digits LeNet", 0, 0.8),
    }
    (part,), (comparison,) = plan.comparisons(plan.claim("M1"))
    assert ledger.values(comparison, cells, 0) == (0.8, 0.9)
    cells["digits LSTM", 0] |= {"diverged": {"epoch": 1}, "history": []}
    assert ledger.values(comparison, cells, 0) == (0.0, -math.inf)
    assert ledger.values(part, cells, 0) == (0.8, -math.inf)
    for other in ({"cpu": "another"}, {"device_name": "another"}, {"capability": "another"}):
        where = cells["digits LeNet", 0]["environment"] | other
        changed = cells | {("digits LSTM", 0): cells["digits LSTM", 0] | {"environment": where}}
        assert ledger.values(comparison, changed, 0) is None
        assert ledger.values(part, changed, 0) == (0.8, -math.inf), "accuracies can"
    changed = cells | {("digits LSTM", 0): cells["digits LSTM", 0] | {"cells_at_once": 15}}
    assert ledger.values(comparison, changed, 0) is None
