"""An executed notebook as a report in one file."""

import base64
import json
import os
import re

from click.testing import CliRunner

from labkit import cli
from labkit.runs import html


def notebook(path, text="# My lab", **code):
    prose = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text}
    cell = {"cell_type": "code", "id": "b", "metadata": {}, "source": "secret = 6 * 7\nsecret"}
    cells = [prose, cell | {"execution_count": None, "outputs": []} | code]
    whole = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")


def test_a_report_has_what_was_shown_and_no_code_and_asks_no_other_host(tmp_path):
    output = {"output_type": "execute_result", "execution_count": 1, "metadata": {}}
    said = {"output_type": "stream", "name": "stdout", "text": f"run folder: {tmp_path}\n"}
    notebook(tmp_path / "lab.ipynb", outputs=[said, output | {"data": {"text/plain": "42"}}])
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path)])
    assert done.exit_code == 0 and done.output == f"report: {tmp_path / 'lab.html'}\n"
    page = (tmp_path / "lab.html").read_text(encoding="utf-8")
    assert "My lab" in page and "42" in page and "secret" not in page
    assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["']?https?:""", page)


def test_a_run_knows_its_notebook_wherever_it_was_written(tmp_path, monkeypatch):
    """Of two that printed the run's folder the newer counts; another run's, or a torn one, no."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path))
    run = tmp_path / "学生" / "abc"
    run.mkdir(parents=True)
    for k, (name, of) in enumerate((("old", run), ("new", run), ("other", run.parent / "def"))):
        said = {"output_type": "stream", "name": "stdout", "text": f"run folder: {of}\n"}
        notebook(tmp_path / f"{name}.ipynb", f"# {name}", outputs=[said])
        os.utime(tmp_path / f"{name}.ipynb", (k, k))
    (tmp_path / "torn.ipynb").write_text("{")
    assert html.write_report(run, None, None) == tmp_path / "new.html"
    done = CliRunner().invoke(cli.main, ["report", str(run.parent)])
    assert done.exit_code == 1 and done.output.startswith(f"No notebook of the run {run.parent} ")


def test_the_settings_stay_and_a_formula_is_drawn(tmp_path):
    """Reference: matplotlib's own picture of the formula; code that is no setting is left out."""
    shown = [{"output_type": "stream", "name": "stdout", "text": "done"}]
    tagged = {"outputs": shown, "metadata": {"tags": ["injected-parameters"]}}
    notebook(tmp_path / "lab.ipynb", "A state $h_t$, `$x$`, $\\nosuch$.", **tagged)
    page = html.write_report(tmp_path / "lab.ipynb", None, None).read_text(encoding="utf-8")
    assert "secret" in page and "$h_t$" not in page
    (drawn,) = re.findall(r'<img alt="h_t"[^>]*base64,([^"]*)"', page)
    assert b"<svg" in base64.b64decode(drawn) and b"<path" in base64.b64decode(drawn)
    assert "<code>$x$</code>" in page and "$\\nosuch$" in page, "no formula, or none that is known"


def test_answers_and_verdicts_of_exercises_come_behind_it_and_their_hints_do_not(tmp_path):
    data = {"text/plain": "2.0", "text/markdown": "**rows: wrong** · these are columns"}
    output = {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data}
    notebook(tmp_path / "lab.ipynb", outputs=[output])
    answer = {"nbgrader": {"solution": True}}
    notebook(tmp_path / "mine.ipynb", "# Exercises", outputs=[output], metadata=answer)
    whole = json.loads((tmp_path / "mine.ipynb").read_text(encoding="utf-8"))
    for cell in whole["cells"]:
        cell["id"] += "-2"  # ids must differ in one notebook
    whole["cells"].append(whole["cells"][0] | {"id": "rows-hints", "source": "a hint"})
    (tmp_path / "mine.ipynb").write_text(json.dumps(whole), encoding="utf-8")
    given = [str(tmp_path / name) for name in ("lab.ipynb", "mine.ipynb")]
    assert CliRunner().invoke(cli.main, ["report", *given]).exit_code == 0
    before, _, after = (tmp_path / "lab.html").read_text(encoding="utf-8").partition("Exercises")
    assert "My lab" in before and "secret" not in before
    assert "secret" in after and "<strong>rows: wrong</strong>" in after and "a hint" not in after


def test_a_notebook_that_was_not_executed_and_a_folder_without_one_are_named(tmp_path):
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path)])
    assert done.exit_code and "No notebook of the run" in done.output
    notebook(tmp_path / "lab.ipynb")
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path / "lab.ipynb")])
    assert done.exit_code and "has not been executed: run it and save it first" in done.output
    assert not list(tmp_path.glob("*.html"))
