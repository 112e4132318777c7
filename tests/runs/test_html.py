"""An executed notebook as a report in one file."""

import json
import re

from click.testing import CliRunner

from labkit import cli


def notebook(path, **code):
    prose = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# My lab"}
    cell = {"cell_type": "code", "id": "b", "metadata": {}, "source": "secret = 6 * 7\nsecret"}
    cells = [prose, cell | {"execution_count": None, "outputs": []} | code]
    whole = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole), encoding="utf-8")


def test_a_report_has_what_was_shown_and_no_code_and_asks_no_other_host(tmp_path):
    output = {"output_type": "execute_result", "execution_count": 1, "metadata": {}}
    notebook(tmp_path / "lab.ipynb", outputs=[output | {"data": {"text/plain": "42"}}])
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path)])
    assert done.exit_code == 0 and done.output == f"report: {tmp_path / 'lab.html'}\n"
    page = (tmp_path / "lab.html").read_text(encoding="utf-8")
    assert "My lab" in page and "42" in page and "secret" not in page
    assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["']?https?:""", page)


def test_a_notebook_that_was_not_executed_and_a_folder_without_one_are_named(tmp_path):
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path)])
    assert done.exit_code and "holds 0 notebooks: name the executed one" in done.output
    notebook(tmp_path / "lab.ipynb")
    done = CliRunner().invoke(cli.main, ["report", str(tmp_path / "lab.ipynb")])
    assert done.exit_code and "has not been executed: run it and save it first" in done.output
    assert not list(tmp_path.glob("*.html"))
