"""The benchmarks: README shows just what was measured, every measurement says where and with what, and a slow side is seen."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_readme_shows_what_was_measured(script):
    table = script("table")
    assert table.MARKS.search(table.README.read_text(encoding="utf-8"))[0] == table.render()


@pytest.mark.parametrize(
    "file", sorted((FOLDER / "results").glob("*.json")), ids=lambda file: file.stem
)
def test_every_table_says_where_and_with_what(file):
    for name, table in json.loads(file.read_text(encoding="utf-8")).items():
        assert {"processor", "threads", "python", "torch", "packages"} <= set(table["machine"]), (
            name
        )
        assert table["rows"] and table["date"], name


def test_sides_take_turns_and_the_best_counts(script, monkeypatch):
    """Reference: a clock by hand. The slow first round is a warm-up, and 2 is the best of a's later ones."""
    common, clock, calls = script("common"), [0.0], []
    seconds = {"a": iter([9.0, 3.0, 2.0]), "b": iter([9.0, 1.0, 5.0])}

    def work(name):
        calls.append(name)
        clock[0] += next(seconds[name])

    monkeypatch.setattr(common.time, "perf_counter", lambda: clock[0])
    best = common.in_turn({"a": lambda: work("a"), "b": lambda: work("b")}, repeats=2)
    assert best == {"a": 2.0, "b": 1.0} and calls == ["a", "b"] * 3


def test_tables_of_one_machine_do_not_overwrite_each_other(script, monkeypatch, tmp_path):
    common = script("common")
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    common.save("speed", [{"work": "x", "ratio": 2.0}])
    common.save("growth", [{"reviews": 1}])
    common.save("speed", [{"work": "y", "ratio": 5.0}, {"work": "x", "ratio": 3.0}])
    common.save("speed", [{"work": "y", "ratio": 4.0}])
    stored = json.loads(common.file().read_text(encoding="utf-8"))
    assert stored["speed"]["rows"] == [
        {"work": "x", "ratio": 3.0},
        {"work": "y", "ratio": 4.0},
    ] and set(stored) == {
        "speed",
        "growth",
    }


def test_the_mean_of_seeds_has_its_interval(script):
    """Reference: 0.88, 0.89, 0.90 have mean 0.89 and standard error 0.01 / √3; t at 97.5 % with 2 degrees is 4.3027."""
    accuracy = script("accuracy")
    rows = [
        {"arm": "IMDb RNN", "test accuracy": value, "seconds": 1.0} for value in (0.88, 0.89, 0.90)
    ]
    (line,) = accuracy.summary(rows)
    assert line["mean"] == pytest.approx(0.89) and line["seeds"] == 3
    assert line["± (95 %)"] == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-3)
