"""The plan: what claims.toml fixes, and the records of the cells that have been trained.

A cell is one arm trained with one seed within one budget. It leaves one record, a file of its own.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import tomllib
from pathlib import Path

from labkit.machine import files, paths

CLAIMS = Path(__file__).parent / "claims.toml"
RECORDS = paths.ROOT / "data" / "study"


@functools.cache
def plan() -> dict:
    """Return what claims.toml says: budgets, arms with all settings, claims, and a SHA-256.

    That is of the claims and their arms: a further budget, or an arm of no claim, leaves the
    records of others as they are.
    """
    read = tomllib.loads(CLAIMS.read_text(encoding="utf-8"))
    read["arms"] = {name: read["common"][arm["data"]] | arm for name, arm in read["arms"].items()}
    used = {arm for claim in read["claims"] for arm in arms_of(claim)}
    tested = [{arm: read["arms"][arm] for arm in used}, read["claims"]]
    content = json.dumps(tested, sort_keys=True)
    return read | {"sha256": hashlib.sha256(content.encode()).hexdigest()}


def claim(id: str) -> dict:
    """Return one claim. Raises ValueError if there is none of this id."""
    known = {found["id"]: found for found in plan()["claims"]}
    if id.upper() not in known:
        raise ValueError(f"There is no claim {id}: choose from {', '.join(known)}, or name an arm.")
    return known[id.upper()]


def settings(arm: str, budget: str) -> dict:
    """Return all settings of an arm within a budget."""
    how = plan()["arms"][arm]
    return how | plan()["budgets"][budget][how["data"]]


def comparisons(claim: dict) -> tuple[list[dict], list[dict]]:
    """Return the parts of a claim, which decide, and the comparisons that are shown beside them."""
    parts = [{"join": "sum", "bound": 0.0} | part for part in claim["parts"]]
    return parts, [parts[0] | other for other in claim["also"]]


def arms_of(claim: dict) -> list[str]:
    """Return the arms that a claim compares, each once."""
    compared = [each for side in comparisons(claim) for each in side]
    return list(dict.fromkeys(arm for each in compared for arm in each["a"] + each["b"]))


def arms_of_id(id: str) -> list[str]:
    """Return the arms of a claim, or the one arm of this name. Raises ValueError for neither."""
    return [id] if id in plan()["arms"] else arms_of(claim(id))


def record_path(arm: str, seed: int, budget: str) -> Path:
    """Return where the record of a cell is, or would be."""
    return RECORDS / budget / f"{re.sub(r'[^a-zA-Z0-9]+', '-', arm)}-{seed}.json"


def read(path: Path) -> dict:
    """Return a record. Raises ValueError, naming the file, for one that is damaged or misnamed."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        named = record_path(record["arm"], record["seed"], record["budget"]) == path
        if named and _is_whole(record):
            return record
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise ValueError(
        f"{path} is damaged, or is not the record that its name says: delete it, and "
        "`labkit claims run` runs its cell again."
    )


def _is_whole(record: dict) -> bool:
    """Tell whether a record has what the ledger asks of all; what it lacks may also raise."""
    machine, epochs, test = record["environment"], record["history"], record["test"]
    texts = [machine["device_name"], machine["versions"]["torch"], record["settings"]["data"]]
    numbers = [epoch[name] for epoch in epochs for name in ("val_accuracy", "seconds")]
    numbers += [test["accuracy"], record["train_seconds"]]
    bits = len(base64.b64decode(record["correct"])) == -(-test["n"] // 8)
    return bool("".join(texts) and sum(numbers) >= 0 and (record["diverged"] or epochs)) and bits


def records(budget: str) -> list[dict]:
    """Return the records of a budget, in the order of their names. Raises ValueError, as `read`."""
    return [read(path) for path in sorted((RECORDS / budget).glob("[!.]*.json"))]


def keep(record: dict) -> None:
    """Write the record of a cell, whole, unless it has one."""
    path = record_path(record["arm"], record["seed"], record["budget"])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, record)
