"""The notebooks of exercises: solved as they stand, not attempted when the solutions are cut."""

import re
from pathlib import Path

import nbformat
import pytest

from labkit.exercises import EXERCISES, images, reviews, steps, words

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
LISTED = {
    "01_mnist_exercises": (*steps.EXERCISES, *images.EXERCISES),
    "02_imdb_exercises": (*words.EXERCISES, *reviews.EXERCISES),
}
SOLUTION = re.compile(r"### BEGIN SOLUTION\n.*?### END SOLUTION", re.DOTALL)


@pytest.fixture(params=LISTED)
def name(request):
    return request.param


@pytest.fixture
def cells(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook.cells


@pytest.fixture
def code(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


def run(code, change=lambda source: source):
    """Run cells of code one after another; return the verdict of each check."""
    values, verdicts = {}, {}
    for cell in code:
        source = change(cell.source)
        if cell.metadata.get("nbgrader", {}).get("grade"):
            verdicts[cell.id] = eval(source, values)
        else:
            exec(source, values)
    return verdicts


def test_the_solutions_earn_all_points(code):
    for cell, verdict in run(code).items():
        assert verdict.outcome == "right", f"{cell}: {verdict.said}"


def test_without_solutions_nothing_is_attempted_and_nothing_stops_the_notebook(code):
    """Reference: what nbgrader's release puts where a solution was."""
    verdicts = run(code, lambda source: SOLUTION.sub("raise NotImplementedError()", source))
    assert {(verdict.outcome, float(verdict)) for verdict in verdicts.values()} == {
        ("not attempted", 0.0)
    }


def test_each_exercise_is_written_and_checked_once(name, code):
    written = [cell for cell in code if cell.metadata.get("nbgrader", {}).get("solution")]
    checks = [cell for cell in code if cell.metadata.get("nbgrader", {}).get("grade")]
    listed = {exercise.name for exercise in LISTED[name]}
    assert {cell.id for cell in written} == listed and len(written) == len(listed) == 10
    for cell, check in zip(written, checks, strict=True):
        assert check.source == f'exercises.check("{cell.id}", {cell.id})'
        assert check.metadata.nbgrader.points == EXERCISES[cell.id].points
        assert check.metadata.nbgrader.locked and len(SOLUTION.findall(cell.source)) == 1
        most = 17 if cell.id == "train" else 12  # fourteen lines of a loop, two marks and a head
        assert len(cell.source.splitlines()) <= most, cell.source
        assert max(map(len, cell.source.splitlines())) <= 100
    assert {cell.metadata.nbgrader.schema_version for cell in checks + written} == {3}


def test_minutes_stars_place_and_points_stand_at_each(cells, name):
    """Six are for a lab of 90 minutes, which also has reading in it."""
    heads = [cell for cell in cells if cell.id.endswith("-recall")]
    found = [
        re.search(r"\n(\d+) minutes · [★☆]{3} · (in the lab|at home) · (\d+) points\n", head.source)
        for head in heads
    ]
    lab = [int(minutes[1]) for minutes in found if minutes[2] == "in the lab"]
    assert len(lab) == 6 and 60 <= sum(lab) <= 75
    for head, said in zip(heads, found, strict=True):
        exercise = EXERCISES[head.id.removesuffix("-recall")]
        assert int(said[3]) == exercise.points and "**Do you remember?**" in head.source
    questions = [cell.source for cell in cells if cell.id.endswith("-question")]
    assert len(questions) == 10 and all("?**" in question for question in questions)


def test_hints_and_answers_are_folded_so_that_jupyterlab_formats_them(cells):
    """Blank lines around the text inside, or its Markdown stays as it is."""
    for cell in cells:
        if cell.id.endswith(("-recall", "-hints")):
            folded = re.findall(
                r"<details><summary>.*?</summary>\n\n.*?\n\n</details>", cell.source
            )
            assert 1 <= len(folded) == cell.source.count("<details>"), cell.id
            if cell.id.endswith("-hints"):
                assert len(folded) >= 2 and all(
                    "提示" in hint and "<br>" in hint for hint in folded
                )


def test_nothing_of_a_run_is_committed(code):
    assert not any(cell.outputs or cell.execution_count for cell in code)
