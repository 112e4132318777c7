"""Notebooks run without a person: papermill with an output that is never torn, and a clean end."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
from tqdm import tqdm

from labkit.machine import files, paths
from labkit.machine.notebook_parameters import assigned_names, no_parameter

KERNEL_DIED = 138  # the exit code then, which is papermill's


def run(
    notebook: Path, output: Path | None, parameters: dict[str, object], progress_bar: bool = False
) -> tuple[int, Path]:
    """Execute a notebook; return the exit code and where the executed notebook lies.

    papermill writes over its output in place, so it writes into a file of its own, which is put in
    place when it has ended. output: may name parameters, like `{seed}`; None puts it into the run's
    own folder. Raises ValueError if the output is no place for a file or `notebook` is none in
    Python, and KeyboardInterrupt with the number of the signal that ended the run.
    """
    import nbclient
    import papermill

    how = {"progress_bar": progress_bar, "stdout_file": _AboveTheBar(), **_kernel(notebook)}
    output = _checked(output, parameters) if output else None
    folder = output.parent if output else paths.runs_root()
    folder.mkdir(parents=True, exist_ok=True)
    partial = files.partial_of(folder / f"running-{(output or notebook).stem}.ipynb")
    files.remove_leftovers(folder)
    code = 0
    with _stopped_by_signals() as stopped:
        try:
            papermill.execute_notebook(str(notebook), str(partial), parameters, **how)
        except nbclient.exceptions.DeadKernelError:
            code = KERNEL_DIED
        except papermill.PapermillExecutionError as error:  # the notebook has all of it
            code = 1
            if not stopped:
                print(f"{error.ename}: {error.evalue}", file=sys.stderr)
        except Exception:
            if not stopped:
                raise
        finally:
            where = _put_in_place(partial, output or folder / notebook.name, to_run=not output)
    if stopped:
        raise KeyboardInterrupt(stopped[0])
    return code, where


class _AboveTheBar:
    """What a notebook prints, line for line as it comes, above papermill's bar if there is one."""

    def write(self, text: str) -> None:
        tqdm.write(text, sys.stdout, end="")

    def flush(self) -> None:
        sys.stdout.flush()


def _kernel(notebook: Path) -> dict[str, object]:
    """Return how papermill starts a kernel: encrypted, and of this Python, whatever it is called.

    Raises ValueError if the notebook is not in Python.
    """
    from traitlets.config import Config

    language = _read(notebook)["metadata"].get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise ValueError(f"{notebook} is written in {language}: labkit runs notebooks in Python.")
    encrypted = Config(KernelManager={"transport_encryption": "auto"})  # else ipykernel warns
    return {"config": encrypted, "language": language, "kernel_name": "python3"}


def check_names(notebook: Path, names: Iterable[str]) -> None:
    """Raise ValueError if one of the names is not in the notebook's parameters cell.

    The notebook would say so itself, but a kernel takes a quarter of a minute to come that far.
    """
    known = parameter_names(notebook)
    if known and (wrong := [name for name in names if name not in known]):
        raise ValueError(no_parameter(wrong[0], notebook.stem, known))


def parameter_names(notebook: Path) -> list[str]:
    """Return the names in a notebook's parameters cell; raise ValueError if it is no notebook."""
    cells = [cell for cell in _read(notebook)["cells"] if "parameters" in cell["tags"]]
    return [name for cell in cells for name in assigned_names(cell["source"])]


def _checked(output: Path, parameters: dict[str, object]) -> Path:
    """Return the output's path, parameters filled in; raise ValueError if no file can be there."""
    from papermill.exceptions import PapermillMissingParameterException
    from papermill.parameterize import add_builtin_parameters, parameterize_path

    try:
        found = Path(parameterize_path(str(output), add_builtin_parameters(parameters)))
    except PapermillMissingParameterException as error:
        raise ValueError(f"{output}: {error}: give it with -p.") from None
    remote = re.match(r"\w+:/", str(output))
    if remote or str(output) == "-" or (found.exists() and not found.is_file()):
        raise ValueError(f"{output} is no place for a file: name a file, like out.ipynb.")
    return found.resolve()  # a link stays one


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM interrupt the kernel, so that the training says where it stopped.

    Yields a list that then has the signal's number; a second signal ends us at once. A kernel
    between two cells does not hear an interrupt, so it is told every second.
    """
    stopped = []

    def stop(number, _):
        stopped.append(number)
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 1.0)

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop}
    handlers[signal.SIGALRM] = lambda *_: interrupt_kernel()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stopped
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_kernel() -> None:
    """Interrupt the kernel that this process has started."""
    for kernel in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            kernel.send_signal(signal.SIGINT)


def _put_in_place(partial: Path, output: Path, to_run: bool) -> Path:
    """Put what papermill wrote in place, unless it is torn, and return where.

    to_run: into the run's own folder, if there is one.
    """
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
    """Return the run folder that an executed notebook printed, None if it has not come that far.

    Raises ValueError if it is no notebook.
    """
    outputs = [output for cell in _read(notebook)["cells"] for output in cell["outputs"]]
    printed = "\n".join("".join(output.get("text", "")) for output in outputs)
    found = re.search(r"^run folder: (.+)$", printed, re.MULTILINE)
    return Path(found[1]) if found else None


def code(notebook: Path) -> str:
    """Return the code of a notebook's cells."""
    cells = _read(notebook)["cells"]
    return "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")


def _read(notebook: Path) -> dict:
    """Return a notebook with each cell's source, tags and outputs; nbformat takes two seconds.

    Raises ValueError if it is none.
    """
    try:
        content = json.loads(notebook.read_text(encoding="utf-8-sig"))
        for cell in content["cells"]:
            cell["source"] = "".join(cell["source"])  # may be a list of lines
            cell["tags"] = cell["metadata"].get("tags", [])
            cell["outputs"] = [dict(output) for output in cell.get("outputs", [])]
        return content | {"metadata": dict(content["metadata"])}
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"{notebook} is no notebook, or damaged.") from error
