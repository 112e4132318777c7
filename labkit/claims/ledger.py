"""The claims ledger: what each claim compares, the statistics of the seeds, and the verdict that follows by rule.

The claims stand in claims.toml and the records of the study in data/study; nothing here trains.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from labkit.claims import significance
from labkit.machine import paths

CLAIMS = Path(__file__).parent / "claims.toml"
RECORDS = paths.ROOT / "data" / "study"
BUDGETS = ("report", "reduced")  # records of the first supersede those of the second
EQUAL_TIME = "validation accuracy at equal time"  # the one measure that needs both arms
TIMED = (EQUAL_TIME, "log of the seconds an epoch")
JOINS: dict[str, Callable] = {"sum": sum, "largest": max}
LESS_IS_BETTER = (
    "area",
    "first",
    "last",
    "log",
    "rise",
    "slope",
    "spread",
)  # how such measures begin


@functools.cache
def study() -> dict:
    """Return what claims.toml says: budgets, arms with all their settings, claims, and the file's SHA-256."""
    content = CLAIMS.read_bytes()
    read = tomllib.loads(content.decode())
    read["arms"] = {name: read["common"][arm["data"]] | arm for name, arm in read["arms"].items()}
    return read | {"sha256": hashlib.sha256(content).hexdigest()}


def claim(id: str) -> dict:
    """Return one claim. Raises ValueError if there is none of this id."""
    for found in study()["claims"]:
        if found["id"] == id.upper():
            return found
    raise ValueError(
        f"There is no claim {id}: choose from {', '.join(each['id'] for each in study()['claims'])}."
    )


def comparisons(claim: dict) -> list[dict]:
    """Return the primary comparison of a claim, and then those that are only shown beside it."""
    primary = {key: claim[key] for key in ("measure", "a", "b", "claimed", "margin")} | {
        "join": claim.get("join", "sum")
    }
    return [primary] + [primary | other for other in claim.get("also", [])]


def records(budget: str) -> list[dict]:
    """Return the records of a budget, in the order of arms and seeds. Raises ValueError for a line that is no record."""
    path = RECORDS / f"{budget}.jsonl"
    found = []
    for number, line in enumerate(
        path.read_text(encoding="utf-8").splitlines() if path.exists() else (), 1
    ):
        try:
            found.append(json.loads(line))
        except ValueError:
            raise ValueError(
                f"{path} has no record in line {number}: take that line out, and its cell is run again."
            ) from None
    return found


def values(
    comparison: dict, cells: dict[tuple[str, int], dict], seed: int
) -> tuple[float, float] | None:
    """Return what the arms of both sides reached with one seed; None if a record is missing.

    A run that diverged counts against its arm: it has the worst value there is, plus or minus infinity.
    """
    sides = [[cells.get((arm, seed)) for arm in comparison[side]] for side in "ab"]
    if any(record is None for side in sides for record in side):
        return None
    measure, join = comparison["measure"], JOINS[comparison["join"]]
    if (
        measure in TIMED
        and len({record["environment"]["device_name"] for side in sides for record in side}) > 1
    ):
        return None  # their seconds cannot be compared
    if measure == EQUAL_TIME:
        reached = _at_equal_time(*(side[0]["history"] for side in sides))
        return tuple(
            -math.inf if side[0]["diverged"] else value
            for side, value in zip(sides, reached, strict=True)
        )
    worst = math.inf if measure.startswith(LESS_IS_BETTER) else -math.inf
    reached = [
        [worst if record["diverged"] else record["measures"][measure] for record in side]
        for side in sides
    ]
    return tuple(float(join(side)) if side else 0.0 for side in reached)


def _at_equal_time(*histories: list[dict]) -> list[float]:
    """Return each arm's validation accuracy when the fastest had ended: that of its last epoch by then, 0 if there was none."""
    times = [
        np.cumsum([0.0, *(epoch["seconds"] for epoch in history)])[1:] for history in histories
    ]
    until = min((ended[-1] for ended in times if len(ended)), default=0.0)
    reached = []
    for history, ended in zip(histories, times, strict=True):
        in_time = [
            epoch["val_accuracy"] for epoch, at in zip(history, ended, strict=True) if at <= until
        ]
        reached.append(in_time[-1] if in_time else 0.0)
    return reached


def ledger(margins: dict[str, float] | None = None, seeds: int | None = None) -> list[dict]:
    """Return one entry a claim, in the order of claims.toml: what was compared, every seed, the statistics, the verdict.

    margins, seeds: for a reader who wants to see the verdicts move: other margins by id, and only the first so many seeds.
    """
    cells = {
        budget: {(each["arm"], each["seed"]): each for each in records(budget)}
        for budget in BUDGETS
    }
    entries = [
        _entry(each, cells, (margins or {}).get(each["id"], each["margin"]), seeds)
        for each in study()["claims"]
    ]
    corrected = significance.holm(
        {entry["id"]: entry["p"] for entry in entries}
    )  # all: what has not run has p = 1
    for entry in entries:
        entry["p_holm"] = corrected[entry["id"]]
        found = significance.verdict(
            entry["low"], entry["high"], entry["p_holm"], entry["margin"], len(entry["seeds"])
        )
        entry["verdict"] = found if entry["seeds"] else "not run yet"
    return entries


def _entry(claim: dict, cells: dict[str, dict], margin: float, most: int | None) -> dict:
    """Return what the records say of a claim, within the first budget whose seeds are all there, or that has most of them."""
    primary, *others = comparisons(claim)
    paired = {budget: _paired(primary, cells[budget], budget, most) for budget in BUDGETS}
    complete = [
        budget for budget in BUDGETS if len(paired[budget]) >= study()["budgets"][budget]["seeds"]
    ]
    budget = (complete or sorted(BUDGETS, key=lambda name: -len(paired[name])))[0]
    arms = primary["a"] + primary["b"]
    used = [cells[budget][arm, seed] for arm in arms for seed in paired[budget]]
    entry = (
        {key: claim[key] for key in ("id", "english", "chinese")}
        | primary
        | {"margin": margin, "budget": budget}
    )
    entry |= _compared(primary | {"margin": margin}, paired[budget])
    return entry | {
        "also": [
            other | _compared(other, _paired(other, cells[budget], budget, most))
            for other in others
        ],
        "diverged": [
            f"{record['arm']}, seed {record['seed']}" for record in used if record["diverged"]
        ],
        "devices": sorted({record["environment"]["device_name"] for record in used}),
        "torch": sorted({record["environment"]["versions"]["torch"] for record in used}),
    }


def _paired(
    comparison: dict, cells: dict, budget: str, most: int | None
) -> dict[int, tuple[float, float]]:
    """Return what both sides reached with each seed that both have, and that is among the first `most`."""
    seeds = range(min(most or significance.ENOUGH, study()["budgets"][budget]["seeds"]))
    found = {seed: values(comparison, cells, seed) for seed in seeds}
    return {seed: pair for seed, pair in found.items() if pair is not None}


def _compared(comparison: dict, paired: dict[int, tuple[float, float]]) -> dict:
    """Return seeds, values of both sides, differences and their statistics; with nothing to compare, no seeds."""
    if not paired:
        return {
            "seeds": [],
            "values": [],
            "d": [],
            "mean": 0.0,
            "low": -math.inf,
            "high": math.inf,
            "p": 1.0,
            "won": 0,
        }
    pairs = list(paired.values())
    d = significance.differences(pairs, comparison["claimed"], comparison["margin"])
    found = {
        "seeds": list(paired),
        "values": pairs,
        "d": d.tolist(),
        **significance.statistics(d),
        "won": int((d > 0).sum()),
    }
    interval = stats.binomtest(found["won"], len(d)).proportion_ci(0.95, method="wilson")
    return found | {"won_interval": [float(interval.low), float(interval.high)]}
