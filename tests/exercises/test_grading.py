"""nbgrader releases the exercises and grades hand-ins of four students.

It needs the extra `teach`. Reference: the points that each hand-in must earn.
"""

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from labkit.exercises import images, judge, steps

if not importlib.util.find_spec("nbgrader"):
    pytest.skip("nbgrader is not installed: pip install -e '.[teach]'", allow_module_level=True)

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
NAME = "01_mnist_exercises.ipynb"
LISTED = (*steps.EXERCISES, *images.EXERCISES)
ALL = sum(exercise.points for exercise in LISTED)
# the one cell without an end need not last as long as a course gives it
ENDLESS_ENDS = "c.Execute.timeout_func = lambda cell: 10 if cell.id == 'elman_step-check' else 60\n"
FIRST = {exercise.name: next(iter(exercise.wrong)) for exercise in LISTED}  # a mistake of each


def nbgrader(folder, *given):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls alembic
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *given],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    config = (ROOT / "grading/nbgrader_config.py").read_text(encoding="utf-8")
    (folder / "nbgrader_config.py").write_text(config + ENDLESS_ENDS, encoding="utf-8")
    source = folder / "source/exercises" / NAME
    source.parent.mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / NAME, source)
    nbgrader(folder, "generate_assignment", "exercises")
    return folder


def released(course):
    return nbformat.read(course / "release/exercises" / NAME, as_version=4)


def hand_in(course, student, answers=None, without=()):
    """Hand in the released notebook with the source of some cells replaced, or without some."""
    notebook = released(course)
    notebook.cells = [cell for cell in notebook.cells if cell.id not in without]
    for cell in notebook.cells:
        cell.source = (answers or {}).get(cell.id, cell.source)
    folder = course / "submitted" / student / "exercises"
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / NAME)


@pytest.fixture(scope="module")
def scores(course):
    cells = nbformat.read(ROOT / "notebooks" / NAME, as_version=4).cells
    solved = {cell.id: cell.source for cell in cells if cell.id in FIRST}
    wrong = {
        name: f'{name} = exercises.EXERCISES["{name}"].wrong["{mistake}"]'
        for name, mistake in FIRST.items()
    }
    endless = "def elman_step(*given):\n    while True:\n        pass"
    hand_in(course, "untouched")
    hand_in(course, "wrong", wrong)
    hand_in(course, "solved", solved, without=["rows-check", "convolve-check"])
    broken = {"elman_step": endless, "all_states": "import no_such_module"}
    hand_in(course, "broken", solved | broken)
    nbgrader(course, "autograde", "exercises", "--create")
    nbgrader(course, "generate_feedback", "exercises")
    nbgrader(course, "export")
    with (course / "grades.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {float(row["max_score"]) for row in rows} == {ALL}
    return {row["student_id"]: float(row["score"]) for row in rows}


def test_the_released_notebook_holds_no_solution(course):
    notebook, solved = released(course), nbformat.read(ROOT / "notebooks" / NAME, as_version=4)
    nbformat.validate(notebook)
    everything = "\n".join(cell.source for cell in notebook.cells)
    assert "SOLUTION" not in everything
    for cell in solved.cells:
        if cell.id in FIRST:
            lines = cell.source.splitlines()[3:-1]
            assert not any(line.strip() in everything for line in lines), cell.id


def test_each_hand_in_gets_its_points(scores):
    """A check that a student deleted comes back, and what never ends or raises costs its own."""
    lost = {exercise.name: exercise.points for exercise in LISTED}
    shares = [
        round(exercise.points * judge.told(exercise.name, FIRST[exercise.name])[1], 2)
        for exercise in LISTED
    ]
    assert scores == {
        "solved": ALL,
        "untouched": 0,
        "wrong": sum(shares),
        "broken": ALL - lost["elman_step"] - lost["all_states"],
    }


def test_the_feedback_has_the_words_of_each_mistake(course, scores):
    page = (course / "feedback/wrong/exercises" / NAME).with_suffix(".html")
    shown = page.read_text(encoding="utf-8")
    for exercise in LISTED:
        said = judge.told(exercise.name, FIRST[exercise.name])[0].split("`")[0]
        assert said[:25] in shown, exercise.name
