"""The tables: settings, and a reader's guesses beside what was found."""

import pytest

from labkit import settings, tables
from labkit.claims import report

TESTS = {
    "RNN": {"accuracy": 0.96, "accuracy_interval": [0.95, 0.97]},
    "LSTM": {"accuracy": 0.98, "accuracy_interval": [0.97, 0.99]},
}


def test_a_guess_within_the_interval_is_right_and_the_order_is_compared():
    said = tables.guessed({"RNN": 0.95, "LSTM": 0.5}, TESTS).splitlines()
    assert said[0] == "- RNN: you said 95.0%, it was 96.0%: right."
    assert said[1] == "- LSTM: you said 50.0%, it was 98.0%: too low."
    assert said[3] == "Your order is not right."
    assert tables.guessed({"RNN": 0.1, "LSTM": 1}, TESTS).endswith("Your order is right.")
    for names in (("RNN", "LSTM"), ("LSTM", "RNN")):
        equal = tables.guessed(dict.fromkeys(names, 0.9), TESTS)
        assert equal.endswith("Your order is not right."), (
            "two that are guessed equal have no order"
        )
    assert "RNN:你猜 95.0%" in tables.guessed({"RNN": 0.95}, TESTS, "zh")


def test_of_pairs_confused_as_often_all_are_named():
    counts = [[5, 2, 0], [1, 5, 3], [0, 0, 5]]
    shown = tables.worst_pairs({"RNN": {"confusion": counts}}, ("a", "b", "c"))
    assert shown.loc["RNN"].tolist() == ["a / b, b / c", 3]
    none = tables.worst_pairs({"RNN": {"confusion": [[5, 0], [0, 5]]}}, ("a", "b"))
    assert none.loc["RNN"].tolist() == ["–", 0]


def test_the_settings_shown_are_those_that_are_not_the_cells_defaults():
    """Reference: the parameters cell says 128 units and a batch of 64; quick has three epochs."""
    config = settings.resolve("01_mnist", preset="quick", data_source="sample", hidden_size=64)
    shown = tables.resolved(config)
    assert shown.loc["hidden_size"].tolist() == ["128", "64"]
    assert shown.loc["num_epochs"].tolist()[0] == "0" and shown.loc["peak"].tolist()[0] == "–"
    assert not {"batch_size", "seed", "asked", "notebook"} & set(shown.index)


def test_a_guess_in_percent_is_refused_with_the_number_to_write():
    with pytest.raises(ValueError, match=r"guess for RNN is 95, but an accuracy lies in \[0, 1\]"):
        tables.guessed({"RNN": 95}, TESTS)


def test_guessed_differences_and_names_stand_beside_what_was_found():
    found = {"RNN": 0.1234, "LSTM": "4 / 9"}
    assert tables.compared({"LSTM": "3 / 8", "RNN": -0.01, "GRU": 0.5}, found).splitlines() == [
        "- LSTM: you said 3 / 8, it was 4 / 9.",
        "- RNN: you said -1.0 points, it was +12.3 points.",
    ]
    said = tables.compared({"RNN": 0.1}, found, "zh")
    assert said == "- RNN:你猜 +10.0 个百分点,实际 +12.3 个百分点。"


def test_a_guess_of_another_kind_is_refused_and_what_was_not_found_is_left_out():
    for wrong, found, allowed in (
        ((4, 9), "4 / 9", "a text like '4 / 9'"),
        (49, "4 / 9", "a text like '4 / 9'"),
        ("much", 0.1, "a number from -1 to 1, like 0.02"),
        (10, 0.1, "a number from -1 to 1, like 0.02"),
    ):
        with pytest.raises(ValueError) as error:
            tables.compared({"RNN": wrong}, {"RNN": found})
        assert f"{error.value}" == f"The guess for RNN is {wrong!r}, but must be {allowed}."
    assert tables.compared({"RNN": 0.1}, {"RNN": float("nan")}) == ""


def test_beliefs_are_sorted_by_what_was_found():
    verdicts = {"M1": "supported", "M2": "inconclusive", "M3": "contradicted", "M4": "not tested"}
    entries = [{"id": id, "verdict": verdict} for id, verdict in verdicts.items()]
    assert report.guessed(["M1", "M3"], entries).splitlines() == [
        "- You believe M1 → The seeds speak for these",
        "- You believe M3 → The seeds speak against these, or show no difference that matters",
        "- You do not believe M2 → The seeds cannot tell",
        "- You do not believe M4 → Not tested",
    ]
