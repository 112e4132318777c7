"""The benchmarks: their README shows what was measured, and each says where and with what."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
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
    text = table.README.read_text(encoding="utf-8")
    assert table.README == FOLDER / "README.md"
    assert table.MARKS.search(text)[0] == table.render()
    for shown in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        assert (FOLDER / shown).exists(), shown


@pytest.mark.parametrize(
    "file", sorted((FOLDER / "results").glob("*.json")), ids=lambda file: file.stem
)
def test_every_table_says_where_and_with_what(file):
    for name, table in json.loads(file.read_text(encoding="utf-8")).items():
        known = {"processor", "threads", "python", "torch", "packages"}
        assert known <= set(table["machine"]), name
        assert table["rows"] and table["date"], name


def test_sides_take_turns_and_the_best_counts(script, monkeypatch):
    """Reference: a clock by hand. The first round warms up, and 2 is the best of a's later ones."""
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
    assert stored["speed"]["rows"] == [{"work": "x", "ratio": 3.0}, {"work": "y", "ratio": 4.0}]
    assert set(stored) == {"speed", "growth"}


def test_the_mean_of_seeds_has_its_interval(script):
    """Reference: 0.88, 0.89, 0.90 have mean 0.89 and standard error 0.01 / √3.

    Student's t at 97.5 % with 2 degrees of freedom is 4.3027.
    """
    accuracy = script("accuracy")
    rows = [
        {"arm": "IMDb RNN", "test accuracy": value, "seconds": 1.0} for value in (0.88, 0.89, 0.90)
    ]
    (line,) = accuracy.summary(rows)
    assert line["mean"] == pytest.approx(0.89) and line["seeds"] == 3
    assert line["± (95 %)"] == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-3)


@pytest.mark.parametrize("kind", ["digits", "reviews"])
def test_labkits_side_takes_every_batch_once(script, kind, request):
    """The benchmarks train with `training.train_epoch` as it is today; reference: a plain count."""
    speed = script("speed")
    reviews = request.getfixturevalue("tiny_reviews")
    data = request.getfixturevalue("tiny_digits").train if kind == "digits" else reviews.train
    net = (
        speed.classifiers.LeNet()
        if kind == "digits"
        else speed.classifiers.TextClassifier("LSTM", len(reviews.vocabulary), 4, 4)
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    seen = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    speed.steps(net.to(speed.plain.DEVICE), data.to(speed.plain.DEVICE), 1)()
    assert seen == [len(data)]
    changed = [not value.cpu().equal(before[name]) for name, value in net.state_dict().items()]
    assert all(changed)


def test_both_sides_of_the_preparation_give_the_same_words(script, monkeypatch):
    """`preparation_row` itself compares every id with the report's steps."""
    speed, made_up = script("speed"), ["a good film", "A film, a film!", "好 film", ""] * 12
    labels = np.arange(len(made_up)) % 2
    monkeypatch.setattr(speed.official, "read_imdb", lambda part: (made_up, labels))
    assert speed.preparation_row(1)["ratio"] > 0


def test_growth_prepares_reviews_of_an_arrow_file(script, tmp_path, monkeypatch):
    growth = script("growth")
    monkeypatch.setattr(growth, "BLOCK", 50)
    growth.resample(["good film", "bad film"], np.array([1, 0]), 200, tmp_path / "reviews.arrow")
    found = growth.prepare(tmp_path / "reviews.arrow")
    assert set(found) == {"seconds", "held MB", "with batches MB", "ms a batch"}
    assert found["seconds"] > 0 and max(growth.SIZES) == 400_000
