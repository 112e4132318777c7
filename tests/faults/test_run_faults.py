"""Faults of a whole run under papermill: killed, stopped, repeated. Reference: the record of a run that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_mnist.ipynb"
SMALL = {"preset": "quick", "data_source": "sample", "num_examples": 1_600, "num_epochs": 3}
pytestmark = pytest.mark.slow


def start(folder, output):
    """Start `labkit run` as a person would."""
    command = [sys.executable, "-c", "from labkit.cli import main; main()", "run", str(NOTEBOOK), str(output)]
    for name, value in (SMALL | {"run_dir": folder}).items():
        command += ["-p", name, str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    until = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)


def hashes(folder):
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {name: model["weights_sha256"] for name, model in result["models"].items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder / "run", folder / "out.ipynb")
    out, errors = process.communicate()
    assert process.returncode == 0 and f"executed notebook: {folder / 'out.ipynb'}" in out, errors
    return folder / "run"


def test_killed_under_papermill_it_goes_on_and_ends_with_the_same_weights(undisturbed, tmp_path):
    """Once in the first model and once in the second, papermill and kernel together; the next start waits for no one."""
    for model in ("RNN", "LSTM"):
        process = start(tmp_path / "run", tmp_path / "out.ipynb")
        wait_for(tmp_path / "run" / f"{model}.epoch-1.pt", process)
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.communicate()
        assert not (tmp_path / "run" / "result.json").exists() and not (tmp_path / "out.ipynb").exists()
    process = start(tmp_path / "run", tmp_path / "out.ipynb")
    assert process.communicate() and process.returncode == 0
    assert "LSTM: going on after epoch" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert hashes(tmp_path / "run") == hashes(undisturbed)
    assert not list((tmp_path / "run").glob("*.epoch-*")), "a finished run needs no checkpoints"


def test_papermill_alone_is_killed_and_its_kernel_lives_on_for_a_while(undisturbed, tmp_path):
    """The kernel still has the folder for some seconds: the second start waits for it."""
    process = start(tmp_path / "run", tmp_path / "out.ipynb")
    wait_for(tmp_path / "run" / "RNN.epoch-1.pt", process)
    (papermill,) = psutil.Process(process.pid).children()
    papermill.kill()
    assert process.communicate() and process.returncode != 0
    process = start(tmp_path / "run", tmp_path / "out.ipynb")
    assert process.communicate() and process.returncode == 0
    assert hashes(tmp_path / "run") == hashes(undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_a_clear_line_and_a_whole_notebook(tmp_path, number, code):
    old = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("old")])
    nbformat.write(old, tmp_path / "out.ipynb")
    process = start(tmp_path / "run", tmp_path / "out.ipynb")
    wait_for(tmp_path / "run" / "RNN.epoch-1.pt", process)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    assert process.returncode == code
    ours = [line for line in errors.splitlines() if not line.startswith("[IPKernelApp]")]  # a kernel may say goodbye later
    assert ours[-1] == "stopped; the same command goes on from the last epoch that was finished"
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert not list(tmp_path.glob(".[0-9]*-out.ipynb"))


def test_a_repeated_run_agrees_bit_for_bit(undisturbed):
    command = [sys.executable, "-c", "from labkit.cli import main; main()", "rerun", str(undisturbed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == last[2] and int(last[0]) > 100, done.stdout
    for name in hashes(undisturbed):
        assert f"same bits    models.{name}.weights_sha256" in done.stdout
