"""Parameters, against papermill itself: its command line, and the cell that it injects."""

import nbformat
import papermill.cli
import pytest
from click.testing import CliRunner
from papermill.parameterize import parameterize_notebook

from labkit.machine import notebook_parameters as parameters

TEXTS = "007 7 -7 1e-3 .5 1. 1_000 nan inf True true False None none [1] {} 0x10 pool a,b".split()


@pytest.mark.parametrize("text", [*TEXTS, "", " 7", "好"])
def test_a_value_is_what_papermills_command_line_makes_of_it(text, monkeypatch, tmp_path):
    """Reference: what `papermill -p NAME VALUE` hands on to the notebook."""
    given = {}
    monkeypatch.setattr(papermill.cli, "execute_notebook", lambda **how: given.update(how))
    (tmp_path / "in.ipynb").touch()
    command = [str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), "-p", "name", text]
    done = CliRunner().invoke(papermill.cli.papermill, command)
    assert done.exit_code == 0, done.output
    (expected,) = given["parameters"].values()
    found = parameters.read_value(text)
    assert type(found) is type(expected)
    assert found == expected or found != found and expected != expected  # nan


@pytest.mark.parametrize(
    ("text", "value"),
    [("007", 7), ("1e-3", 0.001), ("True", True), ("None", None), ("[1]", "[1]"), ("pool", "pool")],
)
def test_known_values(text, value):
    assert parameters.read_value(text) == value
    assert type(parameters.read_value(text)) is type(value)


CHECK = "config = settings.from_notebook('02_imdb', globals())"


def cell_of_papermill(**parameters):
    """Return the cell that papermill writes below a notebook's parameters."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells.append(nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}))
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python"}
    notebook.metadata["papermill"] = {}
    return parameterize_notebook(notebook, parameters).cells[1].source


def test_names_are_those_that_papermill_injects():
    """Reference: the very cell, with every kind of value."""
    given = {"hidden_dim": 64, "readuot": "pool", "vectors": None, "tail": [0.5], "fresh": True}
    cell = cell_of_papermill(**given)
    assert parameters.injected_names(["x = 1", cell, CHECK]) == list(given)
    assert parameters.injected_names(["x = 1", CHECK]) == [] == parameters.injected_names([])


def test_names_that_were_checked_are_not_asked_again():
    cell = cell_of_papermill(hidden_dim=64)
    assert parameters.injected_names([cell, CHECK, "x = 1", CHECK]) == []
    again = cell_of_papermill(num_layers=2)
    assert parameters.injected_names([cell, CHECK, again, CHECK]) == ["num_layers"], (
        "the last one counts"
    )
    assert parameters.injected_names([cell, again, CHECK]) == ["num_layers"]
