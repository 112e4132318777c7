"""The plan: claims that are well posed, and the records, each a whole file with the right name."""

import re

import pytest

from labkit.claims import ledger, measures, plan

PLAN = plan.plan()
CLAIMS = PLAN["claims"]
IDS = [f"M{k}" for k in range(1, 9)] + [f"I{k}" for k in range(1, 13)]


def test_all_claims_of_the_report_are_there():
    assert [claim["id"] for claim in CLAIMS] == IDS
    for claim in CLAIMS:
        assert claim["english"].endswith(".") and claim["chinese"].endswith("。")
        for each in [each for side in plan.comparisons(claim) for each in side]:
            assert each["margin"] > 0 and each["claimed"] in ("higher", "lower")


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_arms_are_known_and_the_two_of_a_part_differ_in_one_thing(claim):
    """Where a side has several arms, each has a counterpart that differs from it in one thing."""
    parts, also = plan.comparisons(claim)
    for comparison in parts + also:
        assert set(comparison["a"]) | set(comparison["b"]) <= set(PLAN["arms"])
    assert set(claim.get("gate", [])) <= set(plan.arms_of(claim))
    for part in parts:
        a, b = ([PLAN["arms"][name] for name in part[side]] for side in "ab")
        for one in a:
            others = [other for other in a + b if other is not one]
            differ = [sum(one[key] != other[key] for key in one) for other in others]
            assert not b or 1 in differ, claim["id"]


def test_every_measure_is_one_that_a_record_has(record):
    """Reference: a made-up record of every arm."""
    for claim in CLAIMS:
        for each in [each for side in plan.comparisons(claim) for each in side]:
            for arm in each["a"] + each["b"]:
                if each["measure"] != measures.EQUAL_TIME:
                    made = record(arm, 0, 0.7)
                    made["history"] = [epoch.copy() for epoch in made["history"]]
                    assert measures.measure(made, each["measure"]) is not None
    with pytest.raises(KeyError):
        measures.measure(record("digits LSTM", 0, 0.9), "another")


def test_a_wrong_id_names_the_right_ones():
    assert plan.claim("m1") is plan.claim("M1")
    with pytest.raises(ValueError, match="no claim X1: choose from M1, .*I12"):
        plan.claim("X1")


def test_the_committed_records_are_those_of_the_claims_as_they_stand():
    """Fixed before the runs: changed arms or claims have another digest than the records name.

    Records of budget `reduced` are older than these rules; their arms are checked below.
    """
    report = plan.records("report")
    assert report and {each["claims_sha256"] for each in report} == {PLAN["sha256"]}
    first = "fb8d828ececebc1b2dc7df8aa1bd4f758191f17f298750d1de85cad77e175d03"  # the plan before
    reduced = plan.records("reduced")
    assert {each["claims_sha256"] for each in reduced} == {first}
    found = report + reduced
    for each in found:
        assert re.fullmatch("[0-9a-f]{64}", each["weights_sha256"])
        assert each["data"]["source"] == "official"
    assert not any(each["environment"]["changed_since"] for each in report)
    cells = {(each["arm"], each["seed"], each["budget"]) for each in found}
    assert len(cells) == len(found), "a cell was run twice"


def test_another_budget_leaves_the_digest_as_it_is_and_another_margin_does_not(
    monkeypatch, tmp_path
):
    text = plan.CLAIMS.read_text(encoding="utf-8")
    changes = [("48_000", "24_000", True), ("margin = 0.002", "margin = 0.003", False)]
    changes += [
        ("clip_norm = 1.0", "clip_norm = 2.0", True),
        ("dropout = 0.1", "dropout = 0.2", False),
    ]
    for old, new, same in changes:
        assert old in text
        changed = tmp_path / "claims.toml"
        changed.write_text(text.replace(old, new), encoding="utf-8")
        monkeypatch.setattr(plan, "CLAIMS", changed)
        assert (plan.plan.__wrapped__()["sha256"] == PLAN["sha256"]) is same


def test_the_settings_of_the_committed_records_are_those_of_their_arms():
    """Reference: the plan; older records name some keys otherwise, or lack what came later."""
    old = {"cell": "architecture", "hidden_dim": "hidden_size", "n_layers": "num_layers"}
    for budget in ledger.BUDGETS:
        for each in plan.records(budget):
            expected = plan.settings(each["arm"], budget)
            found = {old.get(name, name): value for name, value in each["settings"].items()}
            lacking = expected.keys() - found.keys()
            assert lacking <= (
                set() if budget == "report" else {"in_front", "embedding_std", "by_length"}
            )
            assert found == {name: expected[name] for name in expected.keys() - lacking}


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


LACKS = "history seconds test settings environment torch n correct train_seconds".split()


@pytest.mark.parametrize("lack", LACKS)
def test_a_record_that_lacks_what_the_ledger_asks_of_it_is_damaged(write, record, lack):
    made = record("digits LSTM", 0, 0.9)
    for part in (made, *made["history"], made["test"], made["environment"]["versions"]):
        part.pop(lack, None)
    write([made])
    with pytest.raises(ValueError, match="digits-LSTM-0.json is damaged, .*: delete it, and"):
        ledger.ledger()


def test_a_record_with_fewer_answers_than_test_examples_is_damaged(write, record):
    made = record("digits LSTM", 0, 0.9)
    write([made | {"correct": made["correct"][:-4]}])
    with pytest.raises(ValueError, match="digits-LSTM-0.json is damaged, .*: delete it, and"):
        ledger.ledger()


def test_a_copy_of_a_record_under_another_name_counts_for_no_other_seed(write, record):
    write([record("digits LSTM", 0, 0.9)])
    path = plan.record_path("digits LSTM", 0, "reduced")
    path.with_name("digits-LSTM-1.json").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="digits-LSTM-1.json is damaged, or is not the record"):
        ledger.ledger()
