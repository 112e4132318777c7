"""The plan: what claims.toml fixes, and the records of the cells that have been trained.

A cell is one arm trained with one seed within one budget. It leaves one record, a file of its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import tomllib
from pathlib import Path

from labkit.machine import files, paths

CLAIMS = Path(__file__).parent / "claims.toml"
EQUAL_TIME = "validation accuracy at equal time"  # the one measure that needs both arms
RECORDS = paths.ROOT / "data" / "study"


@functools.cache
def plan() -> dict:
    """Return what claims.toml says: budgets, arms with all settings, claims, its own SHA-256."""
    content = CLAIMS.read_bytes()
    read = tomllib.loads(content.decode())
    read["arms"] = {name: read["common"][arm["data"]] | arm for name, arm in read["arms"].items()}
    return read | {"sha256": hashlib.sha256(content).hexdigest()}


def claim(id: str) -> dict:
    """Return one claim. Raises ValueError if there is none of this id."""
    known = {found["id"]: found for found in plan()["claims"]}
    if id.upper() not in known:
        raise ValueError(f"There is no claim {id}: choose from {', '.join(known)}.")
    return known[id.upper()]


def comparisons(claim: dict) -> list[dict]:
    """Return the primary comparison of a claim, and then those that are only shown beside it."""
    primary = {key: claim[key] for key in ("measure", "a", "b", "claimed", "margin")}
    primary |= {"join": claim.get("join", "sum")}
    return [primary] + [primary | other for other in claim.get("also", [])]


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
    """Tell whether a record has what the ledger asks of it; what it lacks may also raise."""
    machine, epochs = record["environment"], record["history"]
    texts = [machine["device_name"], machine["versions"]["torch"]]
    numbers = [epoch[name] for epoch in epochs for name in ("val_accuracy", "seconds")]
    compared = [each for claim in plan()["claims"] for each in comparisons(claim)]
    asked = {each["measure"] for each in compared if record["arm"] in each["a"] + each["b"]}
    lacking = asked - {EQUAL_TIME} - record["measures"].keys()
    return "".join(texts) != "" and sum(numbers) >= 0 and bool(record["diverged"] or not lacking)


def records(budget: str) -> list[dict]:
    """Return the records of a budget, in the order of their names. Raises ValueError, as `read`."""
    return [read(path) for path in sorted((RECORDS / budget).glob("[!.]*.json"))]


def keep(record: dict) -> None:
    """Write the record of a cell, whole, unless it has one."""
    path = record_path(record["arm"], record["seed"], record["budget"])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, record)
