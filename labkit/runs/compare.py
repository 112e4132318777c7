"""A finished run repeated, and two results compared field by field."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path

from labkit.machine import paths
from labkit.runs import notebook, summary

# For numbers made on another machine or by other versions. A tanh RNN amplifies rounding: in quick
# runs with other instructions, or one thread instead of two, its test accuracy was up to 0.022
# away, and up to 0.009 for other models.
TOLERANCE, RNN_TOLERANCE = 0.02, 0.05
SAME_MACHINE = "python platform device_name capability cpu blas versions source_sha256".split()
NOT_COMPARED = ("environment", "parameters", "preset", "notebook")


def rerun(folder: Path, of: Path | None = None) -> tuple[list[tuple[str, str]], list[str]]:
    """Repeat the finished run in `folder` in another place; return what `compare` does.

    of: its notebook, by default the checkout's. Raises ValueError if there is nothing to repeat, or
    if the repetition failed.
    """
    old = read_result(folder / "result.json")
    of = of or paths.CHECKOUT / "notebooks" / f"{old['notebook']}.ipynb"
    if not of.exists():
        raise ValueError(f"{of} is not there: name the run's notebook with --notebook.")
    known = notebook.parameter_names(of)
    parameters = {name: value for name, value in old["parameters"].items() if name in known}
    with tempfile.TemporaryDirectory() as beside:
        new = Path(beside) / "run"
        parameters |= {"run_dir": str(new), "fresh": False}
        os.environ["OMP_NUM_THREADS"] = f"{old['parameters']['threads']}"
        code, _ = notebook.run(of, Path(beside) / "out.ipynb", parameters)
        if code or not (new / "result.json").exists():
            raise ValueError(f"The run could not be repeated: {of} ended with {code}, no result.")
        return compare(old, read_result(new / "result.json"))


def read_result(path: Path) -> dict:
    """Return what a result.json of ours holds; raise ValueError if it does not."""
    folder = path.parent
    if not path.exists():
        begun = (folder / "run.json").exists() or (folder / "journal.log").exists()
        why = "the same command goes on" if begun else "name the folder of one run on this machine"
        raise ValueError(f"{folder}: no finished run here ({path.name} is not there; {why}).")
    try:
        result = json.loads(path.read_text(encoding="utf-8-sig"))
        asked = result["parameters"]
        if asked["threads"] and summary.summary(result, asked["lang"]):  # has all that is shown
            return result
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError(f"{path} is no result of a run, or damaged.")


def compare(old: dict, new: dict) -> tuple[list[tuple[str, str]], list[str]]:
    """Compare two results: (field, verdict) for each field, and what differed beforehand.

    A verdict is `same bits`, `within 0.02` (0.05 for an RNN) or `differs`. Seconds do not count.
    """
    then, now = old["environment"], new["environment"]
    differ = [name for name in SAME_MACHINE if then.get(name) != now.get(name)]
    reasons = [f"{name}: {then.get(name)} then, {now.get(name)} now" for name in differ]
    again = fields(new)
    verdicts = [(name, verdict(name, one, again.get(name))) for name, one in fields(old).items()]
    return verdicts, reasons


def fields(result: dict, prefix: str = "") -> dict[str, object]:
    """Return what a result says of data and models, by dotted names, without any seconds."""
    found = {}
    for name, value in result.items() if isinstance(result, dict) else enumerate(result):
        if "seconds" in str(name) or (not prefix and name in NOT_COMPARED):
            continue
        if isinstance(value, (dict, list)):
            found |= fields(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def agrees(verdicts: list[tuple[str, str]], reasons: list[str]) -> bool:
    """Tell whether a repeated run is what it should be.

    That is the same bits, or, where something differed beforehand, accuracies within the tolerance.
    """
    if not reasons:
        return all(verdict == "same bits" for _, verdict in verdicts)
    accuracies = [verdict for field, verdict in verdicts if field.endswith("test.accuracy")]
    return all(verdict != "differs" for verdict in accuracies)


def verdict(field: str, old: object, new: object) -> str:
    """Say how a repeated value compares."""
    if old == new:
        return "same bits"
    tolerance = RNN_TOLERANCE if field.startswith("models.RNN.") else TOLERANCE
    if not all(isinstance(value, (int, float)) for value in (old, new)):
        return "differs"
    near = math.isclose(old, new, abs_tol=tolerance, rel_tol=tolerance)
    return f"within {tolerance}" if near else "differs"
