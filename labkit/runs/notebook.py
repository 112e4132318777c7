"""Notebooks run without a person: papermill with an output that is never torn and a clean end, and a run repeated."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import yaml

from labkit import settings
from labkit.machine import files, paths

# Of numbers made on another machine or by other versions. A tanh RNN makes much of a last bit: quick runs with other
# instructions, or one thread instead of two, were up to 0.022 away in test accuracy, and up to 0.009 for other models.
TOLERANCE, RNN_TOLERANCE = 0.02, 0.05
KERNEL_DIED = 138  # papermill's exit code then
SAME_MACHINE = (
    "python",
    "platform",
    "device_name",
    "capability",
    "cpu",
    "blas",
    "tf32",
    "versions",
    "labkit_sha256",
)


def run(
    notebook: Path, output: Path | None, options: list[str], threads: int | None = None
) -> tuple[int, Path]:
    """Execute a notebook with papermill; return the exit code and where the executed notebook lies: the old or the new one.

    papermill writes over its output in place, so it writes into a file of its own, and that is put in place when it has ended.
    output: None puts it into the run's own folder. options: papermill's own. threads: of the CPU; None leaves them as they
    are. Raises KeyboardInterrupt with the number of the signal that ended the run; a kernel whose papermill is killed ends
    by itself after some seconds.
    """
    from papermill.cli import papermill
    from papermill.exceptions import PapermillExecutionError

    folder = output.parent if output else paths.runs_root()
    folder.mkdir(parents=True, exist_ok=True)
    partial = files.partial_of(folder / f"running-{(output or notebook).name}")
    files.remove_leftovers(folder)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    code = 0
    with _stopped_by_signals() as stopped:
        try:
            quiet = ["--log-level", "WARNING"]  # it would name the file of its own
            with papermill.make_context(
                "papermill", [str(notebook), str(partial), *quiet, *options]
            ) as context:
                papermill.invoke(context)
        except SystemExit as error:  # KERNEL_DIED, for example
            code = error.code
        except Exception as error:
            code = 1
            if isinstance(error, PapermillExecutionError) and not stopped:
                print(
                    f"{error.ename}: {error.evalue}", file=sys.stderr
                )  # the rest stands in the notebook
            elif not stopped:
                raise
        finally:
            where = _put_in_place(partial, output or folder / notebook.name, to_run=not output)
    if stopped:
        raise KeyboardInterrupt(stopped[0])
    return code, where


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM interrupt the kernel, so that the training says where it stopped; a second one ends us at once.

    Yields a list that then has the signal's number. A kernel between two cells does not hear it, so it is told every second.
    """
    stopped = []

    def stop(number, _):
        stopped.append(number)
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 1.0)

    def interrupt(*_):
        for kernel in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                kernel.send_signal(signal.SIGINT)

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGALRM: interrupt}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stopped
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _put_in_place(partial: Path, output: Path, to_run: bool) -> Path:
    """Put what papermill wrote in place, unless it is torn, and return where: with `to_run`, the run's own folder."""
    try:
        own = run_folder(partial)
    except (OSError, ValueError):  # not there yet, or torn by a kill
        partial.unlink(missing_ok=True)
        return output
    output = own / output.name if to_run and own and own.is_dir() else output
    try:
        files.write_whole(output, lambda path: shutil.copyfile(partial, path))
    finally:
        partial.unlink(missing_ok=True)
    return output


def run_folder(notebook: Path) -> Path | None:
    """Return the run folder that an executed notebook printed, or None if it has not come that far."""
    found = re.search(r"^run folder: (.+)$", printed(notebook), re.MULTILINE)
    return Path(found[1]) if found else None


def printed(notebook: Path) -> str:
    """Return what an executed notebook printed. Raises ValueError for a file that is no notebook."""
    cells = nbformat.read(notebook, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def code(notebook: Path) -> str:
    """Return the code of a notebook's cells."""
    return "\n".join(
        cell.source
        for cell in nbformat.read(notebook, as_version=4).cells
        if cell.cell_type == "code"
    )


def rerun(folder: Path, notebook: Path | None = None) -> tuple[list[tuple[str, str]], list[str]]:
    """Repeat the finished run in `folder`, with the checkout's notebook if no other is given; return what `compare` does."""
    old = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    notebook = notebook or paths.ROOT / "notebooks" / f"{old['notebook']}.ipynb"
    known = settings.PARAMETERS[old["notebook"]]
    parameters = {name: value for name, value in old["parameters"].items() if name in known}
    with tempfile.TemporaryDirectory() as beside:
        parameters |= {"run_dir": str(Path(beside) / "run"), "fresh": False}
        code, _ = run(
            notebook, Path(beside) / "out.ipynb", packed(parameters), old["parameters"]["threads"]
        )
        if code:
            raise RuntimeError(f"the run could not be repeated: papermill ended with {code}")
        new = json.loads((Path(beside) / "run" / "result.json").read_text(encoding="utf-8"))
    return compare(old, new)


def packed(parameters: dict[str, object]) -> list[str]:
    """Return papermill's option that gives a notebook these parameters, each with its type."""
    return ["-b", base64.b64encode(yaml.safe_dump(parameters).encode()).decode()]


def compare(old: dict, new: dict) -> tuple[list[tuple[str, str]], list[str]]:
    """Compare two results: (field, verdict) for every field of the old one, and what was different beforehand.

    A verdict is `same bits`, `within 0.02` (or 0.05, for an RNN) or `differs`. Seconds are not compared.
    """
    then, now = old["environment"], new["environment"]
    reasons = [
        f"{name}: {then.get(name)} then, {now[name]} now"
        for name in SAME_MACHINE
        if then.get(name) != now[name]
    ]
    repeated = fields(new)
    return [
        (name, verdict(name, value, repeated.get(name))) for name, value in fields(old).items()
    ], reasons


def fields(result: dict, prefix: str = "") -> dict[str, object]:
    """Return what a result says of data and models, by dotted names: no seconds, and nothing of the machine."""
    found = {}
    for name, value in result.items() if isinstance(result, dict) else enumerate(result):
        if "seconds" in str(name) or (
            not prefix and name in ("environment", "parameters", "preset", "notebook")
        ):
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
    return all(
        verdict != "differs" for field, verdict in verdicts if field.endswith("test.accuracy")
    )


def verdict(field: str, old: object, new: object) -> str:
    """Say how a repeated value compares."""
    if old == new:
        return "same bits"
    tolerance = RNN_TOLERANCE if field.startswith("models.RNN.") else TOLERANCE
    numbers = all(isinstance(value, (int, float)) for value in (old, new))
    return (
        f"within {tolerance}"
        if numbers and math.isclose(old, new, abs_tol=tolerance, rel_tol=tolerance)
        else "differs"
    )
