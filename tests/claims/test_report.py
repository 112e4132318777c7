"""The ledger as people read it: lines, tables, both languages, and the files beside the records."""

import json
import math
import re
import tomllib

from click.testing import CliRunner

from labkit.claims import command, ledger, plan, report
from labkit.language import word
from labkit.machine import paths

PACKAGED = ledger.SHIPPED


def test_without_records_nothing_is_claimed(write):
    entries = ledger.ledger()
    assert {entry["verdict"] for entry in entries} == {"not run yet"}
    assert report.line(entries[0]).split() == ["M1", "not", "run", "yet"]
    assert len(report.table(entries)) == 20


def test_a_readers_verdicts_stand_beside_the_fixed_ones_in_both_languages(write, record):
    accuracies = {"digits LSTM": 0.9, "digits LeNet": 0.91}
    write([record(arm, seed, accuracies[arm]) for arm in accuracies for seed in range(5)])
    fixed, yours = ledger.ledger()[:1], ledger.ledger({"M1": 0.02}, 3)[:1]
    row = report.moved(fixed, yours).loc["M1"]
    assert (row["margin"], row["margin *"]) == ("0.002", "0.02")
    assert (row["seeds won"], row["seeds won *"]) == ("5 of 5", "3 of 3")
    assert (row["verdict"], row["verdict *"]) == ("points that way (n = 5)", "equivalent (n = 3)")
    assert report.moved(fixed, yours, "zh").loc["M1"]["判定 *"] == "无实质差别 (n = 3)"
    said = report.sentences(fixed, "zh")
    assert said.startswith("**种子支持的**\n\n- M1: 在 MNIST 上") and "*倾向成立 (n = 5)*" in said


def test_in_chinese_no_english_is_left_in_tables_and_sentences():
    """But for the names of models and of p, and `id`-like codes."""
    entries = ledger.ledger()
    own = ledger.ledger({"M1": 0.5}, 3)
    tables = [report.table(entries, "zh"), report.compared(entries, "zh")]
    tables += [report.moved(entries, own, "zh"), report.lottery(entries, "zh")]
    shown = "".join(table.to_csv() for table in tables) + report.sentences(entries, "zh")
    known = {"RNN", "LSTM", "LeNet", "MNIST", "IMDb", "CPU", "NVIDIA", "Holm", "dropout", "F"}
    assert set(re.findall("[A-Za-z]{2,}", shown)) <= known
    assert {arm for arm in plan.plan()["arms"] if word(arm, "zh") == arm} == set()


def test_half_lives_are_those_of_the_recorded_slopes(write, record):
    """Reference: a slope of ln 2 halves in each row, ln 2 / 4 in four; below ln 2 / 32 in none."""
    assert report.half_lives() == ""
    slopes = [math.log(2) / rows for rows in (1, 2, 4, 8, 64)]
    rnn = [{"before": math.log(2), "after": slope} for slope in slopes]
    lstm = [{"before": math.log(2) / 2, "after": slope} for slope in (-0.1, math.log(2) / 20)]
    other = {"before": 9.0, "after": 9.0}
    write(
        [record("digits RNN", seed, 0.9, slopes=each) for seed, each in enumerate(rnn)]
        + [record("digits LSTM", seed, 0.9, slopes=each) for seed, each in enumerate(lstm)]
        + [record("digits RNN, 32 blank rows", seed, 0.9, slopes=other) for seed in range(5)]
        + [record("digits RNN", seed, 0.9, "report", slopes=other) for seed in range(6)]
    )
    assert report.half_lives().endswith(
        "RNN before training 1.0 (1.0 … 1.0; n = 5); RNN after training 4.0 (1.0 … ∞; n = 5); "
        "LSTM before training 2.0 (2.0 … 2.0; n = 2); LSTM after training ∞ (20.0 … ∞; n = 2)"
    )
    assert "the study (12,000 digits, 5 epochs);" in report.half_lives()
    assert "RNN 训练前 1.0" in report.half_lives("zh") and "study" not in report.half_lives("zh")


def test_what_is_missing_is_said_with_its_hours(write, record):
    """M1: ten seeds of two arms; two LSTMs took 1 and 3 hours, so a third takes 2; no LeNet did."""
    hours = {0: 3_600.0, 1: 10_800.0}
    write([record("digits LSTM", k, 0.9, "report", train_seconds=hours[k]) for k in hours])
    said = report.lacking([entry for entry in ledger.ledger() if entry["id"] in ("M1", "M8")])
    assert "M1 18 (? h), " in said
    write([record("digits LeNet", 0, 0.9, "report", train_seconds=1_800.0)])
    said = report.lacking([entry for entry in ledger.ledger() if entry["id"] == "M1"])
    assert "M1 17 (20.5 h). In all 17, 20.5 h" in said  # 8 × 2 + 9 × 0.5


def test_why_a_claim_is_not_tested_is_said(write, record):
    """M3 needs a loss that older records lack; M1's two arms have learnt in three of five seeds."""
    for name, accuracy, why in (
        ("M3", (0.9,) * 5, "(seeds that count: 0 of 5)"),
        ("M1", (0.9, 0.9, 0.9, 0.15, 0.15), "(seeds in which it learnt: digits LeNet: 3; digits"),
    ):
        arms = ("digits LeNet", "digits LSTM", "digits RNN")
        made = [record(arm, seed, accuracy[seed]) for arm in arms for seed in range(5)]
        for epoch in (epoch for each in made for epoch in each["history"]):
            epoch.pop("clean_train_loss", None)
        write(made)
        said = report.sentences([entry for entry in ledger.ledger() if entry["id"] == name])
        assert f"*not tested* {why}" in said


def test_arms_are_added_or_chosen_between_in_words(write, record):
    """M7 adds two arms a side; I9 takes the better of two by validation."""
    arms = plan.arms_of(plan.claim("M7")) + plan.arms_of(plan.claim("I9"))
    write([record(arm, seed, 0.9) for arm in arms for seed in range(5)])
    said = "".join(report.compared(ledger.ledger())["claimed"])
    assert "digits LeNet + digits LSTM, permuted higher than " in said
    assert "reviews LSTM, 128 units or reviews LSTM higher than reviews LSTM, 64 units or " in said


def test_readme_and_ledger_are_rendered_from_the_records():
    """`labkit claims report --write` was run after the last record."""
    entries = ledger.ledger()
    readme = (plan.RECORDS / "README.md").read_text(encoding="utf-8")
    assert f"<!-- claims -->\n{report.markdown(entries)}<!-- /claims -->" in readme
    stored = json.loads(ledger.SHIPPED.read_text(encoding="utf-8"))
    assert stored["claims_sha256"] == plan.plan()["sha256"]
    finite = json.loads(json.dumps(entries), parse_constant=lambda _: None)
    assert stored["claims"] == finite


def test_write_renews_the_files_beside_the_records(write, record):
    write([record(arm, k, 0.9) for arm in ("digits LSTM", "digits LeNet") for k in range(5)])
    readme = plan.RECORDS / "README.md"
    old = "before\n<!-- claims -->\nold\n<!-- /claims -->\nafter\n"
    readme.write_text(old, encoding="utf-8")
    done = CliRunner().invoke(command.claims, ["report", "--write"])
    assert done.exit_code == 0 and "M1  equivalent (n = 5)" in done.output
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- claims -->\n**The seeds speak against these, ")
    assert "- M1: LeNet is more accurate" in text.split("Official data, torch 9, arms and")[0]
    assert text.endswith("\n<!-- /claims -->\nafter\n") and "\nold\n" not in text
    stored = json.loads(ledger.SHIPPED.read_text(encoding="utf-8"))
    part = stored["claims"][1]["parts"][0]
    assert part["low"] is None, "what has not run has no interval, and JSON no infinity"
    for name in ("claims.png", "curves.png"):
        assert (plan.RECORDS / name).read_bytes().startswith(b"\x89PNG")


def test_write_ends_with_one_sentence_where_it_cannot(write, record, monkeypatch):
    (plan.RECORDS / "README.md").write_text("no marks\n", encoding="utf-8")
    done = CliRunner().invoke(command.claims, ["report", "--write"])
    assert done.exit_code == 1 and "README.md lacks <!-- claims --> or" in done.output
    assert not ledger.SHIPPED.exists()
    monkeypatch.setattr(paths, "IN_CHECKOUT", False)
    done = CliRunner().invoke(command.claims, ["report", "--write"])
    assert done.exit_code == 1 and done.output.endswith("run it in a clone.\n")
    assert len(done.output.splitlines()) == 1


def test_a_report_without_records_says_where_they_would_be(write):
    done = CliRunner().invoke(command.claims, ["report"])
    assert done.exit_code == 0 and len(done.output.splitlines()) == 1
    assert f"No claim has five seeds in {plan.RECORDS}: " in done.output


def test_a_report_of_damaged_records_ends_with_one_sentence(write):
    (plan.RECORDS / "reduced").mkdir()
    (plan.RECORDS / "reduced" / "digits-LSTM-0.json").write_text("{")
    done = CliRunner().invoke(command.claims, ["report"])
    assert done.exit_code == 1 and len(done.output.splitlines()) == 1
    assert "digits-LSTM-0.json is damaged" in done.output


def test_without_a_checkout_the_verdicts_come_with_the_package(write, monkeypatch):
    """Reference: the committed records, also for a reader's own margins and seeds."""
    committed = paths.ROOT / "data" / "study"
    with monkeypatch.context() as there:
        there.setattr(plan, "RECORDS", committed)
        expected = [ledger.ledger(), ledger.ledger({"M1": 0.01, "I3": 0.5}, 3)]
    monkeypatch.setattr(paths, "IN_CHECKOUT", False)
    monkeypatch.setattr(ledger, "SHIPPED", PACKAGED)
    shown = [ledger.ledger(), ledger.ledger({"M1": 0.01, "I3": 0.5}, 3)]
    for one, other in zip(sum(shown, []), sum(expected, []), strict=True):
        pair = [entry | {"others": {}} for entry in (one, other)]  # those stay as they were
        assert json.dumps(pair[0]) == json.dumps(pair[1])
    out = CliRunner().invoke(command.claims, ["report"]).output.splitlines()
    assert len(out) == 20 and not any("not run yet" in line for line in out)


def test_own_records_count_before_those_of_the_package(write, record, monkeypatch):
    write([record(arm, k, 0.9) for arm in ("digits LSTM", "digits LeNet") for k in range(5)])
    monkeypatch.setattr(paths, "IN_CHECKOUT", False)
    stored = json.loads(PACKAGED.read_text(encoding="utf-8"))
    stored["claims"][1]["parts"][0]["values"][0][0] = None  # a run that had diverged
    ledger.SHIPPED.write_text(json.dumps(stored), encoding="utf-8")
    entries = ledger.ledger()
    assert entries[0]["devices"] == ["a CPU"]
    assert entries[1]["seeds"] == stored["claims"][1]["seeds"] != []
    assert entries[1]["parts"][0]["values"][0][0] == float("-inf")
    stored["claims_sha256"] = "of another claims.toml"
    ledger.SHIPPED.write_text(json.dumps(stored), encoding="utf-8")
    assert ledger.ledger()[1]["verdict"] == "not run yet"


def test_the_packages_verdicts_are_among_its_files():
    """Reference: what pyproject.toml has setuptools put into a wheel."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["labkit"]
    folder = PACKAGED.parents[1]
    assert PACKAGED in {path for pattern in patterns for path in folder.glob(pattern)}
