"""The ledger: what the seeds of each claim say, and the verdict that follows by rule.

The rules are those of data/study/README.md. Nothing here trains; the records are those of plan.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labkit.claims import measures, plan, statistics
from labkit.machine import paths

LOOKS = (10, 5)  # seeds: ten are final, five are an interim look; no other number is judged
SHIPPED = Path(__file__).parent / "ledger.json"  # where labkit is installed without its records
BUDGETS = ("report", "reduced")  # the first that has five seeds of a claim counts
VERDICTS = ("not run yet", "not tested") + (  # from the weakest part to the strongest
    ("contradicted", "points the other way", "equivalent")
    + ("inconclusive", "points that way", "supported")
)
Cells = dict[tuple[str, int], dict]  # records by arm and seed


def ledger(margins: dict[str, float] | None = None, seeds: int | None = None) -> list[dict]:
    """Return one entry a claim, in the plan's order: what was compared, the seeds, the verdict.

    margins, seeds: for a reader who wants to see the verdicts move: other margins by id, for all
    parts of a claim, and only the first so many seeds. Raises ValueError for an unknown id and for
    a margin not above 0.
    """
    for id, margin in (margins or {}).items():
        claim, (parts, _) = plan.claim(id), plan.comparisons(plan.claim(id))
        if not (isinstance(margin, int | float) and 0 < margin < math.inf):
            raise ValueError(
                f"The margin of {claim['id']} is {margin}, but must be above 0: the smallest "
                f"difference in its measure, {parts[0]['measure']}, that matters."
            )
    chosen = {id.upper(): margin for id, margin in (margins or {}).items()}

    def seen(entry: dict) -> dict:
        return _seen(entry, chosen.get(entry["id"]), seeds)

    found = {}
    for budget in BUDGETS:
        cells = {(record["arm"], record["seed"]): record for record in plan.records(budget)}
        entries = [_found(claim, cells) | {"budget": budget} for claim in plan.plan()["claims"]]
        found[budget] = judged(list(map(seen, entries)))
    entries = [_first(each) for each in zip(*found.values(), strict=True)]
    if not paths.IN_CHECKOUT:
        shipped = _shipped()
        entries = [
            each if each["seeds"] else seen(shipped.get(each["id"], each)) for each in entries
        ]
    return judged(entries)


def _first(entries: Sequence[dict]) -> dict:
    """Return a claim's entry of the first budget with enough seeds, the others' verdicts beside."""
    entry = next((each for each in entries if each["seeds"]), entries[-1])
    others = {each["budget"]: said(each) for each in entries if each["seeds"] and each is not entry}
    return entry | {"others": others}


def _shipped() -> dict[str, dict]:
    """Return what the committed records say, by claim; nothing by another claims.toml."""
    stored = json.loads(SHIPPED.read_text(encoding="utf-8"))
    fits = stored["claims_sha256"] == plan.plan()["sha256"]
    return {entry["id"]: entry for entry in stored["claims"]} if fits else {}


def _found(claim: dict, cells: Cells) -> dict:
    """Return what the records of one budget hold of a claim; no seeds where there are too few."""
    parts, also = plan.comparisons(claim)
    arms = list(dict.fromkeys(arm for part in parts for arm in part["a"] + part["b"]))
    there = [n for n in LOOKS if all((arm, seed) in cells for arm in arms for seed in range(n))]
    seeds = list(range(there[0] if there else 0))
    used = [cells[arm, seed] for arm in arms for seed in seeds]
    machines = [record["environment"] for record in used]
    gate = claim.get("gate", parts[0]["a"] + parts[0]["b"])
    return {
        **{key: claim[key] for key in ("id", "english", "chinese")},
        "seeds": seeds,
        "learnt": {arm: [measures.has_learnt(cells[arm, seed]) for seed in seeds] for arm in gate},
        "parts": [_pairs(part, cells, seeds) for part in parts],
        "also": [_pairs(other, cells, seeds) for other in also],
        "diverged": [f"{each['arm']}, seed {each['seed']}" for each in used if each["diverged"]],
        "devices": sorted({machine["device_name"] for machine in machines}),
        "torch": sorted({machine["versions"]["torch"] for machine in machines}),
    }


def _pairs(comparison: dict, cells: Cells, seeds: Sequence[int]) -> dict:
    """Return a comparison with its seeds and the values of both sides.

    Seeds without a record, and those whose measure is not defined, are left out.
    """
    pairs = {seed: values(comparison, cells, seed) for seed in seeds}
    pairs = {seed: pair for seed, pair in pairs.items() if pair is not None}
    found = comparison | {"seeds": list(pairs), "values": list(pairs.values())}
    return found | statistics.over_examples(comparison, cells, found["seeds"])


def _seen(entry: dict, margin: float | None, most: int | None) -> dict:
    """Return an entry with its statistics: by another margin, and only the first so many seeds."""
    last = most or LOOKS[0]
    parts = [part | {"margin": margin or part["margin"]} for part in entry["parts"]]
    return entry | {
        "seeds": [seed for seed in entry["seeds"] if seed < last],
        "gate": {arm: sum(learnt[:last]) for arm, learnt in entry["learnt"].items()},
        "parts": [_judged(part, last) for part in parts],
        "also": [_judged(other, last) for other in entry["also"]],
    }


def _judged(comparison: dict, last: int) -> dict:
    """Return a comparison of the seeds before `last`, with its differences and statistics."""
    seeds = [seed for seed in comparison["seeds"] if seed < last]
    fewer = {"low_examples", "high_examples"} if seeds != comparison["seeds"] else set()
    kept = {key: value for key, value in comparison.items() if key not in fewer}
    worst = measures.worst(comparison["measure"])  # JSON has no infinity, but null
    pairs = [[worst if each is None else each for each in pair] for pair in comparison["values"]]
    kept |= {"seeds": seeds, "values": pairs[: len(seeds)], "d": [], "won": 0}
    if not seeds:
        return kept | statistics.summary(np.zeros(1), 1.0) | {"mean": None}
    d = statistics.differences(kept["values"], comparison["claimed"], comparison["margin"])
    kept |= {"d": d.tolist(), "won": int((d > 0).sum())}
    return kept | statistics.summary(d, comparison["margin"])


def judged(entries: list[dict]) -> list[dict]:
    """Return the entries of one budget with their corrected p, verdicts, and what speaks against.

    A claim's p is the largest of its parts', for all must hold; its p against the smallest, times
    their number.
    """
    p = {each["id"]: max(part["p"] for part in each["parts"]) for each in entries}
    against = {
        each["id"]: min(1.0, len(each["parts"]) * min(part["p_against"] for part in each["parts"]))
        for each in entries
    }
    # a claim that has not run has p = 1
    p_holm, against_holm = statistics.holm(p), statistics.holm(against)
    for entry in entries:
        id, n = entry["id"], len(entry["seeds"])
        entry |= {"p": p[id], "p_holm": p_holm[id], "p_against_holm": against_holm[id]}
        enough = math.ceil(0.8 * n)
        counted = [len(part["seeds"]) >= enough for part in entry["parts"]]
        learnt = any(k >= enough for k in entry["gate"].values()) or not entry["gate"]
        for part in entry["parts"]:
            part["verdict"] = verdict(part, p_holm[id], against_holm[id])
        tested = deciding(entry)["verdict"] if learnt and all(counted) else "not tested"
        entry["verdict"] = tested if n else "not run yet"
        beside = (other for other in entry["also"] if len(other["seeds"]) > 1)
        entry["against"] = list(filter(points_away, beside))
    return entries


def deciding(entry: dict) -> dict:
    """Return the weakest part of a claim, which decides."""
    return min(entry["parts"], key=lambda part: VERDICTS.index(part["verdict"]))


def said(entry: dict) -> str:
    """Return a verdict with its number of seeds, where more of them could still change it."""
    open_ = entry["verdict"] not in ("not run yet", "not tested") and len(entry["seeds"]) < LOOKS[0]
    return f"{entry['verdict']} (n = {len(entry['seeds'])})" if open_ else entry["verdict"]


def values(comparison: dict, cells: Cells, seed: int) -> tuple[float, float] | None:
    """Return what both sides reached with one seed; None if a record or its measure is missing.

    A run that diverged counts against its arm: it has the worst value there is, infinite.
    """
    name, sides = comparison["measure"], []
    records = [cells.get((arm, seed)) for arm in comparison["a"] + comparison["b"]]
    if None in records:
        return None
    timed = name in (measures.EQUAL_TIME, measures.SECONDS)
    if timed and len({_where(record) for record in records}) > 1:
        return None  # their seconds cannot be compared
    if name == measures.EQUAL_TIME:
        whole = not any(record["diverged"] for record in records)
        reached = measures.at_equal_time(records) if whole else [0.0] * len(records)
    else:
        try:
            reached = [each["diverged"] or measures.measure(each, name) for each in records]
        except KeyError:  # an older record lacks what this measure needs
            return None
        if None in reached:
            return None
    worst, found = measures.worst(name), list(zip(records, reached, strict=True))
    found = [(each, worst if each["diverged"] else float(value)) for each, value in found]
    for side in (found[: len(comparison["a"])], found[len(comparison["a"]) :]):
        if comparison["join"] == "chosen" and side:
            side = [max(side, key=lambda pair: measures.best(pair[0]))]
        sides.append(sum(value for _, value in side))
    return sides[0], sides[1] if comparison["b"] else comparison["bound"]


def _where(record: dict) -> tuple:
    """Return where seconds were measured: device, processor, and how many cells at a time."""
    machine = record["environment"]
    place = tuple(machine.get(name) for name in ("device_name", "capability", "cpu"))
    return (*place, record.get("cells_at_once"))


def verdict(part: dict, p: float, p_against: float) -> str:
    """Return the verdict of a part, with the corrected p of its claim, by the first rule."""
    margin, final = part["margin"], len(part["seeds"]) >= 0.8 * LOOKS[0]
    if -margin < part["low90"] and part["high90"] < margin:
        return "equivalent"
    if part["low"] > margin:
        return "supported" if final and p < 0.05 else "points that way"
    if points_away(part):
        return "contradicted" if final and p_against < 0.05 else "points the other way"
    return "inconclusive"


def points_away(part: dict) -> bool:
    """Tell whether a comparison's whole interval lies beyond the margin, against its sentence."""
    return part["high"] < -part["margin"]
