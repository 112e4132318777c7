"""The claims ledger: claims that are well posed, statistics against slow twins, and verdicts that follow by rule."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from labkit.claims import arms, ledger, report, significance

STUDY = ledger.study()
CLAIMS = STUDY["claims"]
IDS = [f"M{k}" for k in range(1, 9)] + [f"I{k}" for k in range(1, 13)]


# --- what is claimed --------------------------------------------------------------------------------------


def test_all_claims_of_the_report_are_there():
    assert [claim["id"] for claim in CLAIMS] == IDS
    for claim in CLAIMS:
        assert (
            claim["english"].endswith(".")
            and claim["chinese"].endswith("。")
            and claim["margin"] > 0
        )
        assert claim["claimed"] in ("higher", "lower")


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_arms_are_known_and_the_two_of_a_primary_comparison_differ_in_one_thing(claim):
    """Where a side has several arms, each has a counterpart on the other side or beside it that differs in one thing."""
    for comparison in ledger.comparisons(claim):
        assert set(comparison["a"]) | set(comparison["b"]) <= set(STUDY["arms"])
    a, b = ([STUDY["arms"][name] for name in claim[side]] for side in "ab")
    for one in a:
        others = [other for other in a + b if other is not one]
        assert not b or any(sum(one[key] != other[key] for key in one) == 1 for other in others), (
            claim["id"]
        )


def test_every_measure_is_one_that_a_cell_has():
    """Reference: what `measures` returns for a made-up cell of digits, and of reviews."""
    epoch = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "seconds": 1.0}
    test = {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    slopes = {f"slope of the log gradient {when} training" for when in ("before", "after")}
    reviews = set(arms.measures([epoch] * 3, test | {"confusion": [[1, 1], [1, 1]]}))
    digits = (
        set(arms.measures([epoch] * 3, test | {"confusion": np.ones((10, 10), int).tolist()}))
        | slopes
    )
    for claim in CLAIMS:
        for comparison in ledger.comparisons(claim):
            for name in comparison["a"] + comparison["b"]:
                known = digits if STUDY["arms"][name]["data"] == "mnist" else reviews
                assert comparison["measure"] in known | {ledger.EQUAL_TIME}, (
                    claim["id"],
                    comparison["measure"],
                )


def test_a_wrong_id_names_the_right_ones():
    with pytest.raises(ValueError, match="no claim X1: choose from M1, .*I12"):
        ledger.claim("X1")


# --- measures ---------------------------------------------------------------------------------------------


def test_measures_of_a_curve_by_hand():
    """Losses 3, 1, 2 and accuracies 0.5, 0.7, 0.6: changes +0.2 and -0.1, whose standard deviation is 0.3 / √2."""
    history = [
        {"train_loss": loss, "val_loss": loss, "val_accuracy": accuracy, "seconds": 2.0}
        for loss, accuracy in ((3.0, 0.5), (1.0, 0.7), (2.0, 0.6))
    ]
    test = {
        "accuracy": 0.9,
        "precision": 0.8,
        "recall": 0.7,
        "f1": 0.6,
        "confusion": [[1, 0], [0, 1]],
    }
    found = arms.measures(history, test)
    assert found["area under the training loss"] == 2.0 and found["last training loss"] == 2.0
    assert found["spread of validation accuracy"] == pytest.approx(0.3 / math.sqrt(2))
    assert found["spread of validation loss"] == pytest.approx(3 / math.sqrt(2))
    assert found["rise of the validation loss from its lowest"] == 1.0
    assert found["validation accuracy in the first two epochs"] == pytest.approx(0.6)
    assert (
        found["log of the seconds an epoch"] == pytest.approx(math.log(2))
        and found["test F1"] == 0.6
    )


def test_share_of_4_and_9_by_hand():
    """10 errors, 6 of them between 4 and 9: 0.6, and the other 44 pairs have 0.4 / 44 each in the mean."""
    confusion = np.diag([90] * 10)
    confusion[4, 9], confusion[9, 4], confusion[2, 7], confusion[3, 5] = 4, 2, 3, 1
    assert arms.share_of_4_and_9(confusion) == pytest.approx(0.6 - 0.4 / 44)


def test_gradient_slope_of_a_known_recurrence():
    """h_t = 0.5 h_{t-1} + x_t, read at the end: the gradient at row t is 0.5^(T-1-t), so the slope is ln 2."""
    import torch

    class Halving(torch.nn.Module):
        def forward(self, x):
            h = torch.zeros(len(x), 10)
            for t in range(x.shape[1]):
                h = 0.5 * h + x[:, t, :10]
            return h

    from labkit.data import mnist

    part = mnist.Split(torch.randn(8, 20, 32), torch.arange(8))
    assert arms.gradient_slope(Halving(), part) == pytest.approx(math.log(2), rel=1e-4)


# --- statistics -------------------------------------------------------------------------------------------


def test_interval_and_p_are_those_of_slow_twins():
    """The t-interval by its formula, and p by going through all 2^n signs."""
    d = np.array([0.3, 0.1, 0.25, -0.05, 0.2, 0.15])
    found = significance.statistics(d)
    half = stats.t.ppf(0.975, 5) * d.std(ddof=1) / math.sqrt(6)
    assert (found["low"], found["high"]) == pytest.approx((d.mean() - half, d.mean() + half))
    means = [abs(np.mean(d * signs)) for signs in itertools.product((1, -1), repeat=6)]
    assert found["p"] == pytest.approx(np.mean(np.array(means) >= abs(d.mean()) - 1e-12))


def test_five_seeds_can_never_reach_005_and_ten_can_beside_twenty_claims():
    assert significance.statistics(np.array([1.0, 1.1, 0.9, 1.2, 1.3]))["p"] == pytest.approx(
        2 / 32
    )
    p = significance.statistics(np.linspace(1, 2, 10))["p"]
    assert (
        p == pytest.approx(2 / 1024)
        and significance.holm({str(k): p for k in range(20)})["0"] < 0.05
    )


def test_one_seed_and_equal_seeds_give_no_false_certainty():
    assert significance.statistics(np.array([0.5]))["low"] == -math.inf
    same = significance.statistics(np.array([0.5, 0.5, 0.5]))
    assert same["low"] == same["high"] == 0.5


def test_holm_by_hand():
    """0.01 · 3, then max(0.03, 0.02 · 2), then max(0.04, 0.9 · 1)."""
    assert significance.holm({"a": 0.02, "b": 0.01, "c": 0.9}) == pytest.approx(
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
    assert significance.verdict(low, high, p, 0.01, seeds) == expected


def test_differences_are_positive_where_the_claim_holds_and_a_run_that_diverged_counts_against_its_arm():
    pairs = [(0.9, 0.8), (0.7, 0.9)]
    assert significance.differences(pairs, "higher", 0.01) == pytest.approx([0.1, -0.2])
    assert significance.differences(pairs, "lower", 0.01) == pytest.approx([-0.1, 0.2])
    lost = significance.differences(
        [(0.9, 0.8), (-math.inf, 0.8), (0.9, -math.inf), (-math.inf, -math.inf)], "higher", 0.01
    )
    assert lost == pytest.approx([0.1, -0.1, 0.1, 0.0])
    assert significance.differences([(math.inf, 1.0)], "lower", 0.02) == pytest.approx([-0.02]), (
        "a loss that diverged"
    )


# --- the ledger -------------------------------------------------------------------------------------------


def record(arm, seed, accuracy, budget="reduced", **changed):
    history = [{"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": accuracy, "seconds": 1.0}] * 3
    test = {
        "accuracy": accuracy,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "confusion": np.eye(10, dtype=int).tolist(),
    }
    made = {"arm": arm, "seed": seed, "budget": budget, "history": history, "diverged": None}
    made["measures"] = arms.measures(history, test)
    return made | {"environment": {"device_name": "a CPU", "versions": {"torch": "9"}}} | changed


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "RECORDS", tmp_path)

    def lines(budget, records):
        (tmp_path / f"{budget}.jsonl").write_text(
            "".join(json.dumps(each) + "\n" for each in records)
        )

    return lines


def test_without_records_nothing_is_claimed(write):
    entries = ledger.ledger()
    assert {entry["verdict"] for entry in entries} == {"not run yet"}
    assert report.line(entries[0]).split() == ["M1", "not", "run", "yet"]
    assert len(report.table(entries)) == 20


def test_a_verdict_from_records_by_hand(write):
    """LeNet leads by 0.010, 0.011, 0.012, 0.011, 0.010: the interval lies beyond the margin 0.002, with five seeds."""
    leads = (0.010, 0.011, 0.012, 0.011, 0.010)
    made = [record("digits LSTM", seed, 0.97) for seed in range(5)]
    made += [record("digits LeNet", seed, 0.97 + lead) for seed, lead in enumerate(leads)]
    write("reduced", made)
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
    assert ledger.ledger(seeds=2)[0]["seeds"] == [0, 1]


def test_a_readers_verdicts_stand_beside_the_fixed_ones_in_both_languages(write):
    write(
        "reduced",
        [
            record(arm, seed, acc)
            for arm, acc in (("digits LSTM", 0.9), ("digits LeNet", 0.91))
            for seed in range(5)
        ],
    )
    fixed, yours = ledger.ledger()[:1], ledger.ledger({"M1": 0.02}, 3)[:1]
    row = report.moved(fixed, yours).loc["M1"]
    assert (row["margin"], row["margin *"], row["seeds won"], row["seeds won *"]) == (
        "0.002",
        "0.02",
        "5 of 5",
        "3 of 3",
    )
    assert (row["verdict"], row["verdict *"]) == ("points that way (n = 5)", "equivalent")
    assert report.moved(fixed, yours, "zh").loc["M1"]["判定 *"] == "无实质差别"
    assert report.sentences(fixed, "zh").startswith("**倾向成立 (n = 5)**\n\n- M1: 在 MNIST 上")


def test_records_of_the_full_budget_supersede_once_they_are_complete(write):
    arms_ = ("digits LSTM", "digits LeNet")
    write("reduced", [record(arm, seed, 0.9) for arm in arms_ for seed in range(5)])
    write("report", [record(arm, seed, 0.9, "report") for arm in arms_ for seed in range(4)])
    assert ledger.ledger()[0]["budget"] == "reduced"
    write("report", [record(arm, seed, 0.9, "report") for arm in arms_ for seed in range(10)])
    assert ledger.ledger()[0]["budget"] == "report"


def test_a_run_that_diverged_is_listed_and_loses(write):
    made = [
        record(arm, seed, 0.97 if arm == "digits LSTM" else 0.98)
        for arm in ("digits LSTM", "digits LeNet")
        for seed in range(3)
    ]
    made[-1] |= {"diverged": {"epoch": 1}, "measures": {}}
    write("reduced", made)
    entry = ledger.ledger()[0]
    assert (
        entry["diverged"] == ["digits LeNet, seed 2"]
        and entry["won"] == 2
        and entry["d"][2] == pytest.approx(-0.01)
    )


def test_equal_time_by_hand(write):
    """One arm needs 1 s an epoch, the other 2.5: when the first has ended after 3 s, the other has done one epoch."""
    slow = [{"val_accuracy": accuracy, "seconds": 2.5} for accuracy in (0.6, 0.7, 0.8)]
    fast = [{"val_accuracy": accuracy, "seconds": 1.0} for accuracy in (0.5, 0.55, 0.58)]
    assert ledger._at_equal_time(fast, slow) == [0.58, 0.6]


def test_the_fastest_arm_has_its_last_epoch_at_equal_time():
    """Ten times 0.1 s, added one by one, is not what a compensated sum of them gives."""
    fast = [{"val_accuracy": k / 10, "seconds": 0.1} for k in range(10)]
    assert ledger._at_equal_time(fast, [{"val_accuracy": 0.5, "seconds": 9.0}]) == [0.9, 0.0]


def test_an_arm_that_diverged_loses_at_equal_time_and_seconds_of_two_machines_are_not_compared(
    write,
):
    cells = {
        ("digits LSTM", 0): record("digits LSTM", 0, 0.9),
        ("digits LeNet", 0): record("digits LeNet", 0, 0.8),
    }
    comparison = ledger.comparisons(ledger.claim("M1"))[1]
    assert ledger.values(comparison, cells, 0) == (0.8, 0.9)
    cells["digits LSTM", 0] |= {"diverged": {"epoch": 1}, "history": []}
    assert ledger.values(comparison, cells, 0) == (0.8, -math.inf)
    cells["digits LSTM", 0] |= {"environment": {"device_name": "another CPU"}}
    assert ledger.values(comparison, cells, 0) is None
    assert ledger.values(ledger.comparisons(ledger.claim("M1"))[0], cells, 0) == (0.8, -math.inf), (
        "accuracies can"
    )


def test_six_seeds_of_one_claim_are_corrected_for_all_twenty(write):
    """Six seeds alike give p = 2 / 64 = 0.031, which would do if only the claims that have run were counted."""
    leads = (0.010, 0.011, 0.012, 0.011, 0.010, 0.012)
    made = [record("digits LSTM", seed, 0.97, "report") for seed in range(6)]
    made += [record("digits LeNet", seed, 0.97 + lead, "report") for seed, lead in enumerate(leads)]
    write("report", made)
    entry = ledger.ledger()[0]
    assert entry["p"] == pytest.approx(2 / 64) and entry["p_holm"] == pytest.approx(20 * 2 / 64)
    assert entry["verdict"] == "points that way (n = 6)"


def test_a_torn_line_is_named(write, tmp_path):
    (tmp_path / "reduced.jsonl").write_text('{"arm": "digits LSTM"\n')
    with pytest.raises(
        ValueError, match=r"reduced.jsonl has no record in line 1: take that line out"
    ):
        ledger.ledger()


def test_the_committed_records_are_those_of_the_claims_as_they_stand():
    """Fixed before the runs: a changed claims.toml has another digest than the records name."""
    found = [each for budget in ledger.BUDGETS for each in ledger.records(budget)]
    assert {each["claims_sha256"] for each in found} <= {STUDY["sha256"]}
    assert all(
        re.fullmatch("[0-9a-f]{64}", each["weights_sha256"])
        and each["data"]["source"] == "official"
        for each in found
    )
    assert len({(each["arm"], each["seed"], each["budget"]) for each in found}) == len(found), (
        "a cell was run twice"
    )


def test_readme_and_ledger_are_rendered_from_the_records():
    """`labkit claims report --write` was run after the last record."""
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert report.markdown(ledger.ledger()) in readme
    stored = json.loads((ledger.RECORDS / "ledger.json").read_text(encoding="utf-8"))
    assert [each["verdict"] for each in stored["claims"]] == [
        entry["verdict"] for entry in ledger.ledger()
    ]
    assert [each["d"] for each in stored["claims"]] == [entry["d"] for entry in ledger.ledger()]
