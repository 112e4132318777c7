"""Two results compared, and the commands on results: one sentence for what is none."""

import json
import subprocess
import sys

import click
import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit import cli
from labkit.data import download, official
from labkit.runs import compare, folder
from labkit.runs.compare import RNN_TOLERANCE, TOLERANCE

SAME, NEAR, FAR = "same bits", f"within {TOLERANCE}", "differs"
# a kernel says so if its end, which begins with an interrupt, finds it between two messages
INTERRUPTED = "[IPKernelApp] ERROR | KeyboardInterrupt caught in kernel.\n"


@pytest.mark.parametrize(
    ("accuracy", "digest", "reasons", "expected"),
    [
        (SAME, SAME, [], True),
        (SAME, FAR, [], False),  # on the same machine bits must agree
        (NEAR, SAME, [], False),
        (NEAR, FAR, ["versions"], True),  # elsewhere no digest can
        (FAR, FAR, ["versions"], False),
    ],
)
def test_a_repeated_run_is_judged_by_bits_here_and_by_accuracy_elsewhere(
    accuracy, digest, reasons, expected
):
    verdicts = [("models.LSTM.test.accuracy", accuracy), ("models.LSTM.weights_sha256", digest)]
    assert compare.agrees(verdicts, reasons) is expected


def test_how_two_values_compare():
    """Reference: 0.90 and 0.91 are within 0.02; 0.90 and 0.94 only within an RNN's 0.05."""
    pairs = [(0.9, 0.9), (0.9, 0.91), (0.9, 0.94), ("ab", "ab"), ("ab", "cd"), (0.9, None)]
    found = [compare.verdict("models.LSTM.x", *pair) for pair in pairs]
    assert found == [SAME, NEAR, FAR, SAME, FAR, FAR]
    assert compare.verdict("models.RNN.x", 0.9, 0.94) == f"within {RNN_TOLERANCE}"
    models = {"A": {"history": [{"seconds": 1.0, "val_loss": 0.5}], "train_seconds": 2.0}}
    old = {"environment": {"x": 1}, "models": models}
    assert compare.fields(old) == {"models.A.history.0.val_loss": 0.5}


def test_a_record_of_another_labkit_differs_beforehand():
    old = {"environment": {"labkit_sha256": "1"}, "models": {}}
    _, reasons = compare.compare(old, {"environment": {"source_sha256": "2"}, "models": {}})
    assert reasons == ["source_sha256: None then, 2 now"]


# --- the commands -----------------------------------------------------------------------


def said(*arguments):
    """Return what a command says, output and last words."""
    done = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    last = done.exception.code if done.exception else ""
    return f"{done.output}{last if isinstance(last, str) else ''}", done.exit_code


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "run").mkdir()
    record = json.dumps(folder.reference_run("01_mnist"))
    (tmp_path / "run" / "result.json").write_text(record, encoding="utf-8")
    return tmp_path / "run"


def test_show_prints_a_run_by_folder_file_and_notebook(run_dir, tmp_path):
    printed = new_output("stream", text=f"run folder: {run_dir}\n")
    out = tmp_path / "out.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("", outputs=[printed])]), out)
    (tmp_path / "no_extension").write_bytes(b"\xef\xbb\xbf" + out.read_bytes())  # with a BOM
    for path in (run_dir, run_dir / "result.json", out, tmp_path / "no_extension"):
        text, code = said("show", path)
        assert code == 0 and "LeNet" in text and "preset full" in text, text
    assert f"executed notebook: {tmp_path / 'no_extension'}" in text
    (run_dir / "result.json").unlink()
    text, code = said("show", run_dir)
    assert code == 1 and "no finished run here" in text and "the folder of one run" in text
    (run_dir / "run.json").touch()
    assert "the same command goes on" in said("show", out)[0]
    run_dir.rename(tmp_path / "elsewhere")
    assert "the folder of one run on this machine" in said("show", out)[0]


def test_show_prints_a_sweep(tmp_path):
    (tmp_path / "journal.log").touch()
    assert "the same command goes on" in said("show", tmp_path)[0]
    (tmp_path / "trials.csv").write_text("point,why,run_dir\nseed = 1,,/x\n", encoding="utf-8")
    text, code = said("show", tmp_path)
    assert code == 0 and "seed = 1" in text and "NaN" not in text
    assert f"table: {tmp_path / 'trials.csv'}" in text


@pytest.mark.parametrize("wrong", [False, True])
def test_show_and_a_misspelt_name_take_a_second(run_dir, tmp_path, wrong):
    """Reference: the libraries that take seconds, or start a kernel, are not loaded."""
    nbformat.write(tiny(), tmp_path / "tiny.ipynb")
    command = ["run", "tiny.ipynb", "-p", "sed", "7"] if wrong else ["show", "run"]
    heavy = "{'torch', 'scipy', 'nbformat', 'papermill', 'jupyter_client'}"
    code = (
        "import sys; from labkit.cli import main\n"
        f"try: main({command})\n"
        f"finally: print('loaded', {heavy} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert "loaded set()" in done.stdout and done.returncode == wrong, done.stderr
    assert ("sed is no parameter of tiny. Did you mean seed?" in done.stderr) == wrong


WITHOUT = folder.reference_run("01_mnist")
del WITHOUT["models"]["RNN"]["num_parameters"]
NOT_OURS = {
    "empty object": "{}",
    "list": "[]",
    "torn": '{"notebook": "01_mnist", "models": {"RN',
    "another tool's": '{"notebook": "mine", "models": [1], "environment": 1}',
    "empty": "",
    "torn notebook": '{"nbformat": 4, "cells": [',
    "notebook that was not executed": json.dumps(new_notebook(cells=[new_markdown_cell("x")])),
    "no JSON": "# labkit",
    "too deep": "[" * 100_000,
    "without a model's size": json.dumps(WITHOUT),
}


@pytest.mark.parametrize("kind", NOT_OURS)
def test_show_says_in_one_sentence_what_is_no_result(tmp_path, kind):
    for name in ("result.json", "out.ipynb"):
        (tmp_path / name).write_text(NOT_OURS[kind], encoding="utf-8")
        text, code = said("show", tmp_path / name)
        assert code == 1 and text.count("\n") <= 1 and str(tmp_path / name) in text, text
    assert said("show", tmp_path)[1] == 1


def test_rerun_says_what_it_cannot_repeat(run_dir, tmp_path, monkeypatch):
    (tmp_path / "result.json").write_text('{"notebook": ')
    text, code = said("rerun", tmp_path)
    assert code == 1 and "is no result of a run, or damaged" in text
    monkeypatch.setattr(compare.paths, "CHECKOUT", tmp_path)  # as when installed from a wheel
    text, code = said("rerun", run_dir)
    assert code == 1 and "name the run's notebook with --notebook" in text


@pytest.mark.slow
def test_rerun_with_another_notebook_says_that_it_gave_no_result(run_dir, tmp_path):
    nbformat.write(tiny(), tmp_path / "tiny.ipynb")
    text, code = said("rerun", run_dir, "--notebook", tmp_path / "tiny.ipynb")
    assert code == 1 and "could not be repeated" in text


def tiny(kernel="python3", language="python"):
    """Return a notebook of two cells."""
    cell = new_code_cell("seed = 1", metadata={"tags": ["parameters"]})
    spec = {"name": kernel, "display_name": kernel, "language": language}
    return new_notebook(cells=[cell, new_code_cell("seed")], metadata={"kernelspec": spec})


def test_run_refuses_what_is_no_notebook_and_what_is_no_place_for_one(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    nbformat.write(tiny("ir", "R"), tmp_path / "r.ipynb")
    text, code = said("run", tmp_path / "r.ipynb", tmp_path / "out.ipynb")
    assert code == 1 and "r.ipynb is written in R: labkit runs notebooks in Python" in text
    (tmp_path / "README.md").write_text("no notebook")
    text, code = said("run", tmp_path / "README.md", tmp_path / "out.ipynb")
    assert code == 1 and "README.md is no notebook" in text
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 1")]), tmp_path / "tiny.ipynb")
    for place in ("s3://bucket/out.ipynb", "-", tmp_path, "/dev/null"):
        text, code = said("run", tmp_path / "tiny.ipynb", place)
        assert code == 1 and "is no place for a file" in text, place
    text, code = said("run", tmp_path / "tiny.ipynb", tmp_path / "out-{seed}.ipynb")
    assert code == 1 and "Missing parameter 'seed'" in text
    text, code = said("run", tmp_path / "tiny.ipynb", tmp_path / ("x" * 300))
    assert code == 1 and "could not be written (File name too long): choose another OUTPUT" in text


@pytest.mark.slow
def test_an_outputs_name_may_have_parameters_no_extension_or_be_a_link(
    tmp_path, monkeypatch, capfd
):
    """With -p a value is papermill's, with -r a text; another environment's kernel is replaced."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    nbformat.write(tiny("conda-env-dl-py"), tmp_path / "tiny.ipynb")
    (tmp_path / "out-007").symlink_to(tmp_path / "target")
    for option, name, shown in (("-p", "out-7", "7"), ("-r", "target", "'007'")):
        command = [tmp_path / "tiny.ipynb", tmp_path / "out-{seed}", option, "seed", "007"]
        text, code = said("run", *command)
        assert code == 0 and f"executed notebook: {tmp_path / name}" in text
        last = nbformat.read(tmp_path / name, as_version=4).cells[-1]
        assert last.outputs[0]["data"]["text/plain"] == shown
    warned = capfd.readouterr().err.replace(INTERRUPTED, "")
    assert (tmp_path / "out-007").is_symlink() and warned == ""


def test_no_help_is_cut_and_it_names_the_folders_and_the_completion():
    def pages(command, *names):
        yield names, said(*names, "-h")[0]
        for name, below in getattr(command, "commands", {}).items():
            assert isinstance(below, click.Command)
            yield from pages(below, *names, name)

    for names, page in pages(cli.main):
        listed = page.partition("Commands:")[2]
        assert "..." not in listed, (names, listed)
    assert "_LABKIT_COMPLETE=bash_source" in said("-h")[0]
    for names in (["run"], ["sweep"], ["claims", "run"]):
        assert "LABKIT_RUNS" in said(*names, "-h")[0]
    for names in (["data", "where"], ["data", "get"]):
        assert "LABKIT_DATA" in said(*names, "-h")[0]


def test_data_commands(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    text, _ = said("data", "where")
    assert str(tmp_path) in text and text.count("absent") == 6
    (tmp_path / "imdb").mkdir()
    for name in official.IMDB_FILES.values():
        (tmp_path / "imdb" / name).touch()
    text, code = said("data", "get", "imdb")
    assert code == 1 and "cannot be read as a parquet file" in text, "what is there is verified too"
    text, code = said("data", "check", "mnist")
    assert code == 1 and "is not there" in text
    assert said("data", "get", "digits")[1] == 2


def test_the_reviews_are_tried_though_the_digits_failed(monkeypatch):
    def get(name):
        if name == "mnist":
            raise official.DataError("no network")

    monkeypatch.setattr(download, "get", get)
    monkeypatch.setattr(download, "check", lambda name: None)
    text, code = said("data", "get")
    assert code == 1 and "mnist: no network" in text and "imdb: all files are there" in text
