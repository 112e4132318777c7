"""Faults of a whole run under papermill: killed, stopped, repeated.

Reference: the record of a run that nothing disturbed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit.runs import notebook

SMALL = {"preset": "quick", "data_source": "sample"}
SMALL |= {"num_examples": 1_600, "num_epochs": 3, "hidden_size": 32}
pytestmark = pytest.mark.slow


LABKIT = [sys.executable, "-c", "from labkit.cli import main; main()"]


@pytest.fixture(scope="module")
def lab(only_the_run):
    return only_the_run("01_mnist")


@pytest.fixture(scope="module")
def start(lab):
    """Return a function that starts `labkit run` as a person would."""

    def popen(folder, output=None, **changed):
        command = [*LABKIT, "run", str(lab), *([str(output)] if output else [])]
        for name, value in (SMALL | {"run_dir": folder} | changed).items():
            command += ["-p", name, str(value)]
        runs = {"LABKIT_RUNS": str(folder.parent), "OMP_NUM_THREADS": "1"}  # `rerun` finds that out
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=os.environ | runs, text=True, **pipes)

    return popen


def wait_for(path, process):
    until = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)


def hashes(folder):
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {name: model["weights_sha256"] for name, model in result["models"].items()}


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder / "run", folder / "out.ipynb")
    out, errors = process.communicate()
    assert process.returncode == 0 and f"executed notebook: {folder / 'out.ipynb'}" in out, errors
    return folder / "run"


def kernel_of(process):
    (kernel,) = psutil.Process(process.pid).children(recursive=True)
    return kernel


def test_killed_under_papermill_it_goes_on_and_ends_with_the_same_weights(
    start, undisturbed, tmp_path
):
    """In the first model, between two, and in the second: there the kernel alone is killed."""
    run, output = tmp_path / "run", tmp_path / "out.ipynb"

    def start_and_kill(reached, papermill_too=True):
        process = start(run, output)
        wait_for(run / f"{reached}.pt", process)
        kernel_of(process).kill()
        if papermill_too:
            process.kill()
        process.communicate()
        assert not (run / "result.json").exists()
        return process.returncode

    for reached in ("RNN.epoch-1", "RNN.weights"):
        start_and_kill(reached)
        assert not output.exists()
    # as when the system has no memory left: it kills the process that has most
    assert start_and_kill("LSTM.epoch-1", papermill_too=False) == 138
    assert nbformat.read(output, as_version=4).cells
    process = start(run, output)
    out, errors = process.communicate()
    assert process.returncode == 0 and "LSTM: going on after epoch" in out, errors
    assert hashes(run) == hashes(undisturbed)
    assert not list(run.glob("*.epoch-*")), "a finished run needs no checkpoints"
    assert not list(tmp_path.glob(".*-out.ipynb")), "what the killed ones left was not removed"


def test_it_is_killed_and_its_kernel_lives_on_for_a_while(start, undisturbed, tmp_path):
    """The kernel still has the folder for some seconds: the second start waits for it."""
    process = start(tmp_path / "run", tmp_path / "out.ipynb")
    wait_for(tmp_path / "run" / "RNN.epoch-1.pt", process)
    process.kill()
    process.communicate()
    process = start(tmp_path / "run", tmp_path / "out.ipynb")
    assert process.communicate() and process.returncode == 0
    assert hashes(tmp_path / "run") == hashes(undisturbed)


def test_runs_of_different_settings_at_the_same_time_do_not_disturb_each_other(
    start, lab, undisturbed, tmp_path
):
    """No output and no run_dir is given: each notebook lies in its own run's folder."""
    processes = [start(tmp_path / "none", run_dir="", seed=seed) for seed in (42, 7)]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    folders = {
        json.loads(path.read_text())["parameters"]["seed"]: path.parent
        for path in tmp_path.rglob("result.json")
    }
    assert hashes(folders[42]) == hashes(undisturbed) != hashes(folders[7])
    for seed, (out, _) in zip((42, 7), said, strict=True):
        assert f"executed notebook: {folders[seed] / lab.name}\n" in out and f"seed {seed}" in out
        assert f'"seed": {seed}' in (folders[seed] / lab.name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_a_clear_line_and_a_whole_notebook(start, tmp_path, number, code):
    old = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("old")])
    nbformat.write(old, tmp_path / "out.ipynb")
    process = start(tmp_path / "run", tmp_path / "out.ipynb")
    wait_for(tmp_path / "run" / "RNN.epoch-1.pt", process)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    assert process.returncode == code
    ours = [
        line for line in errors.splitlines() if not line.startswith("[IPKernelApp]")
    ]  # a kernel may say goodbye later
    assert ours[-1] == "stopped; the same command goes on from the last epoch that was finished"
    assert "Traceback" not in errors
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].source != "old"
    assert re.search(
        r"(RNN|LSTM|LeNet): stopped after \d+ of \d+ steps",
        (tmp_path / "out.ipynb").read_text(encoding="utf-8"),
    )
    assert not list(tmp_path.glob(".*-out.ipynb"))


def test_a_wrong_parameter_is_one_sentence(start, tmp_path):
    process = start(tmp_path / "run", tmp_path / "out.ipynb", hidden_size=-3)
    _, errors = process.communicate()
    ours = [line for line in errors.splitlines() if not line.startswith("[IPKernelApp]")]
    assert process.returncode == 1 and len(ours) == 2, errors
    assert ours[0].startswith("SettingsError: hidden_size = -3 is out of range") and ours[
        1
    ].startswith("failed; the error")


def test_a_repeated_run_agrees_bit_for_bit(undisturbed):
    """The whole notebook, in another time zone and language, with other hashes of strings."""
    elsewhere = {"TZ": "Asia/Shanghai", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    command = [*LABKIT, "rerun", str(undisturbed)]
    done = subprocess.run(command, env=os.environ | elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == last[2] and int(last[0]) > 100, done.stdout
    for name in hashes(undisturbed):
        assert f"same bits    models.{name}.weights_sha256" in done.stdout


def test_a_run_that_cannot_be_repeated_says_in_which_field_and_why(
    undisturbed, tmp_path, monkeypatch
):
    """A record of another machine, in which one digest is another; its repetition is a copy."""
    record = json.loads((undisturbed / "result.json").read_text(encoding="utf-8"))
    record["models"]["LSTM"]["weights_sha256"] = "0" * 64
    record["environment"] |= {"python": "3.11.0", "cpu": "another one"}
    (tmp_path / "result.json").write_text(json.dumps(record), encoding="utf-8")

    def repeat(_, output, parameters):
        shutil.copytree(undisturbed, parameters["run_dir"])
        return 0, output

    monkeypatch.setattr(notebook, "run", repeat)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # `rerun` sets it
    done = CliRunner().invoke(main, ["rerun", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "differs      models.LSTM.weights_sha256" in done.output
    assert "was different beforehand: python: 3.11.0 then, " in done.output
    assert "was different beforehand: cpu: another one then, " in done.output


def test_a_signal_is_not_swallowed_by_a_run_that_is_just_ending(lab, tmp_path, monkeypatch):
    """Else a sweep would begin its next trial, and a scheduler kill it."""
    import papermill

    end = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr(papermill, "execute_notebook", end)
    with pytest.raises(KeyboardInterrupt) as stopped:
        notebook.run(lab, tmp_path / "out.ipynb", {})
    assert stopped.value.args == (signal.SIGTERM,)
