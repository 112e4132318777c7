"""Notebooks run without a person: papermill in a process of its own, an output that is never torn, and a run repeated."""

from __future__ import annotations

import base64
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml

from labkit import files, settings

TOLERANCE = 0.02  # of numbers made on another machine or by other versions
SAME_MACHINE = ("python", "platform", "device_name", "cpu_capability", "tf32", "versions", "labkit_sha256")


class Stopped(Exception):
    """The run was ended by a signal: `code` is what the command exits with, 128 + the signal's number."""

    def __init__(self, number: int):
        super().__init__(number)
        self.code = 128 + number


def run(notebook: Path, output: Path, options: list[str], threads: int | None = None) -> int:
    """Execute a notebook with papermill and return its exit code; `output` is the old notebook or the new, never half of one.

    papermill writes over its output in place, so it writes beside it, and the whole is moved when it has ended.
    options: papermill's own. threads: of the CPU; None leaves them as they are. Raises Stopped if a signal ended the run.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{os.getpid()}-{output.name}")
    command = [sys.executable, "-m", "papermill", str(notebook), str(partial), *options]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    stopped = []
    process = subprocess.Popen(command, env=environment, start_new_session=True)  # a Ctrl-C is passed on once, by us

    def pass_on(number, _):
        stopped.append(number)
        os.killpg(process.pid, signal.SIGTERM if len(stopped) == 1 else signal.SIGKILL)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        try:
            nbformat.read(partial, as_version=4)
        except (OSError, ValueError):  # torn by a kill
            partial.unlink(missing_ok=True)
        else:
            files.put_in_place(partial, output)
    if stopped:
        raise Stopped(stopped[0])
    return code


def rerun(folder: Path, notebook: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Repeat the finished run in `folder` and compare: (field, verdict) for every field, and what was different beforehand.

    A verdict is `same bits`, `within 0.02` or `differs`. Seconds are not compared.
    """
    old = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    known = settings.PARAMETERS[old["notebook"]]
    parameters = {name: value for name, value in old["parameters"].items() if name in known}
    with tempfile.TemporaryDirectory() as beside:
        parameters |= {"run_dir": str(Path(beside) / "run"), "fresh": False}
        packed = base64.b64encode(yaml.safe_dump(parameters).encode()).decode()  # keeps the type of every value
        code = run(notebook, Path(beside) / "out.ipynb", ["-b", packed], old["parameters"]["threads"])
        if code:
            raise RuntimeError(f"the run could not be repeated: papermill ended with {code}")
        new = json.loads((Path(beside) / "run" / "result.json").read_text(encoding="utf-8"))
    then, now = old["environment"], new["environment"]
    reasons = [f"{name}: {then.get(name)} then, {now[name]} now" for name in SAME_MACHINE if then.get(name) != now[name]]
    repeated = fields(new)
    return [(name, verdict(value, repeated.get(name))) for name, value in fields(old).items()], reasons


def fields(result: dict, prefix: str = "") -> dict[str, object]:
    """Return what a result says of data and models, by dotted names: no seconds, and nothing of the machine."""
    found = {}
    for name, value in result.items() if isinstance(result, dict) else enumerate(result):
        if "seconds" in str(name) or (not prefix and name in ("environment", "parameters", "preset", "notebook")):
            continue
        if isinstance(value, (dict, list)):
            found |= fields(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def agrees(verdicts: list[tuple[str, str]], reasons: list[str]) -> bool:
    """Tell whether a repeated run is what it should be: the same bits, or elsewhere test accuracies within the tolerance."""
    if not reasons:
        return all(verdict == "same bits" for _, verdict in verdicts)
    return all(verdict != "differs" for field, verdict in verdicts if field.endswith("test.accuracy"))


def verdict(old: object, new: object) -> str:
    """Say how a repeated value compares."""
    if old == new:
        return "same bits"
    numbers = all(isinstance(value, (int, float)) for value in (old, new))
    return f"within {TOLERANCE}" if numbers and math.isclose(old, new, abs_tol=TOLERANCE, rel_tol=TOLERANCE) else "differs"
