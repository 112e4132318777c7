"""The plan: claims that are well posed, and the records, each a whole file with the right name."""

import hashlib
import re

import numpy as np
import pytest

from labkit.claims import arms, ledger, plan

PLAN = plan.plan()
CLAIMS = PLAN["claims"]
IDS = [f"M{k}" for k in range(1, 9)] + [f"I{k}" for k in range(1, 13)]


def test_all_claims_of_the_report_are_there():
    assert [claim["id"] for claim in CLAIMS] == IDS
    for claim in CLAIMS:
        assert claim["english"].endswith(".") and claim["chinese"].endswith("。")
        assert claim["margin"] > 0 and claim["claimed"] in ("higher", "lower")


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_arms_are_known_and_the_two_of_a_primary_comparison_differ_in_one_thing(claim):
    """Where a side has several arms, each has a counterpart that differs from it in one thing."""
    for comparison in plan.comparisons(claim):
        assert set(comparison["a"]) | set(comparison["b"]) <= set(PLAN["arms"])
    a, b = ([PLAN["arms"][name] for name in claim[side]] for side in "ab")
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
        for comparison in plan.comparisons(claim):
            for name in comparison["a"] + comparison["b"]:
                known = digits if PLAN["arms"][name]["data"] == "mnist" else reviews
                assert comparison["measure"] in known | {plan.EQUAL_TIME}, (
                    claim["id"],
                    comparison["measure"],
                )


def test_a_wrong_id_names_the_right_ones():
    assert plan.claim("m1") is plan.claim("M1")
    with pytest.raises(ValueError, match="no claim X1: choose from M1, .*I12"):
        plan.claim("X1")


def as_it_was(text):
    """Take the renaming of 2026-11-25 back."""
    text = re.sub("#\n# Renamed on 2026-11-25.*?\n\n", "\n", text, flags=re.DOTALL)
    lines, section = [], ""
    for line in text.replace('architecture = "', 'cell = "').splitlines(keepends=True):
        section = line.strip() if line.startswith("[") else section
        if section.startswith("[common.imdb]") or line.startswith('"reviews'):
            line = line.replace("hidden_size", "hidden_dim").replace("num_layers", "n_layers")
        lines.append(line)
    return "".join(lines)


def test_the_committed_records_are_those_of_the_claims_as_they_stand():
    """Fixed before the runs: a changed claims.toml has another digest than the records name.

    The one change since is the renaming of keys, which the file's header tells of.
    """
    text = plan.CLAIMS.read_text(encoding="utf-8")
    was = hashlib.sha256(as_it_was(text).encode()).hexdigest()
    assert was in text and was != PLAN["sha256"]
    found = [each for budget in ledger.BUDGETS for each in plan.records(budget)]
    assert found and {each["claims_sha256"] for each in found} <= {was, PLAN["sha256"]}
    for each in found:
        assert re.fullmatch("[0-9a-f]{64}", each["weights_sha256"])
        assert each["data"]["source"] == "official"
    cells = {(each["arm"], each["seed"], each["budget"]) for each in found}
    assert len(cells) == len(found), "a cell was run twice"


def test_the_settings_of_the_committed_records_are_those_of_their_arms():
    """Reference: the plan, by the names of keys that a record had before the renaming."""
    old = {"architecture": "cell", "hidden_size": "hidden_dim", "num_layers": "n_layers"}
    for budget in ledger.BUDGETS:
        for each in plan.records(budget):
            how = PLAN["arms"][each["arm"]]
            expected = how | PLAN["budgets"][budget][how["data"]]
            names = old if how["data"] == "imdb" else {"architecture": "cell"}
            before = {names.get(name, name): value for name, value in expected.items()}
            assert each["settings"] in (before, expected)


def test_a_record_is_a_file_that_reads_back_and_its_name_is_its_cells(write, record):
    made = record("reviews LSTM, dropout 0.1", 3, 0.5)
    plan.keep(made)
    (path,) = (plan.RECORDS / "reduced").iterdir()
    assert path.name == "reviews-LSTM-dropout-0-1-3.json"
    assert plan.read(path) == made and plan.records("reduced") == [made]
    paths = [plan.record_path(arm, seed, "report") for arm in PLAN["arms"] for seed in range(10)]
    assert len({path.name.lower() for path in paths}) == 10 * len(PLAN["arms"])


@pytest.mark.parametrize("content", ['{"arm": "digits LSTM"', "", "{}", "[1]", "\udc80"])
def test_a_damaged_record_is_named_with_what_to_do(write, record, content):
    write([record("digits LSTM", 0, 0.9)])
    path = plan.record_path("digits LSTM", 0, "reduced")
    path.write_bytes(content.encode(errors="surrogateescape"))
    message = f"^{re.escape(f'{path}')} is damaged, .*: delete it, and `labkit claims run` runs"
    with pytest.raises(ValueError, match=message):
        ledger.ledger()


@pytest.mark.parametrize("lack", ["history", "seconds", "test accuracy", "environment", "torch"])
def test_a_record_that_lacks_what_the_ledger_asks_of_it_is_damaged(write, record, lack):
    made = record("digits LSTM", 0, 0.9)
    for part in (made, *made["history"], made["measures"], made["environment"]["versions"]):
        part.pop(lack, None)
    write([made])
    with pytest.raises(ValueError, match="digits-LSTM-0.json is damaged, .*: delete it, and"):
        ledger.ledger()


def test_a_copy_of_a_record_under_another_name_counts_for_no_other_seed(write, record):
    write([record("digits LSTM", 0, 0.9)])
    path = plan.record_path("digits LSTM", 0, "reduced")
    path.with_name("digits-LSTM-1.json").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="digits-LSTM-1.json is damaged, or is not the record"):
        ledger.ledger()
