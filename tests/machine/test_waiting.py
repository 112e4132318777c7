"""How PyTorch's threads wait: asleep, through every door. Reference: what OpenMP has read."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FRESH = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}


@functools.cache
def python(code: str, **more: str) -> str:
    """Return what Python and OpenMP say on stderr; a process that loads PyTorch takes seconds."""
    command, more = [sys.executable, "-c", code], {"OMP_DISPLAY_ENV": "TRUE"} | more
    done = subprocess.run(command, env=FRESH | more, capture_output=True, text=True, check=True)
    return done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's OpenMP says what it has read")
@pytest.mark.parametrize(
    ("code", "more", "policy"),
    [
        ("import labkit, torch", {}, "PASSIVE"),
        ("import labkit.training", {}, "PASSIVE"),
        ("import labkit.cli, torch", {}, "PASSIVE"),
        ("import labkit, torch", {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),  # the caller's own
    ],
)
def test_threads_sleep_unless_the_caller_says_otherwise(code, more, policy):
    assert f"OMP_WAIT_POLICY = '{policy}'" in python(code, **more)


def test_who_imports_pytorch_first_is_told():
    assert "Import labkit first" in python("import torch, labkit")
    assert "Import labkit first" not in python("import labkit, torch")
    assert "Import labkit first" not in python("import torch, labkit", OMP_WAIT_POLICY="PASSIVE")


@pytest.mark.parametrize("name", ["01_mnist", "02_imdb"])
def test_a_notebook_imports_labkit_first(name):
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    assert next(line for line in lines if "import" in line).startswith("from labkit")
