"""The ledger: what the seeds of each claim say, and the verdict that follows by rule.

The rules are those of data/study/README.md. Nothing here trains; the records are those of plan.py.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from labkit.claims import measures, plan
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
    found = {}
    for budget in BUDGETS:
        cells = {(record["arm"], record["seed"]): record for record in plan.records(budget)}
        claims = plan.plan()["claims"]
        entries = [_entry(claim, cells, chosen.get(claim["id"]), seeds) for claim in claims]
        found[budget] = judged([entry | {"budget": budget} for entry in entries])
    if not (paths.IN_CHECKOUT or any(entry["seeds"] for entry in found["reduced"])):
        return _shipped() or found["reduced"]
    return [_first(each) for each in zip(*found.values(), strict=True)]


def _first(entries: Sequence[dict]) -> dict:
    """Return a claim's entry of the first budget with enough seeds, the others' verdicts beside."""
    entry = next((each for each in entries if each["seeds"]), entries[-1])
    others = {each["budget"]: said(each) for each in entries if each["seeds"] and each is not entry}
    return entry | {"others": others}


def _shipped() -> list[dict]:
    """Return what the committed records say; nothing by another claims.toml."""
    stored = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return stored["claims"] if stored["claims_sha256"] == plan.plan()["sha256"] else []


def _entry(claim: dict, cells: Cells, margin: float | None, most: int | None) -> dict:
    """Return what the records of one budget say of a claim; no seeds where there are too few."""
    parts, also = plan.comparisons(claim)
    parts = [part | {"margin": margin or part["margin"]} for part in parts]
    arms = list(dict.fromkeys(arm for part in parts for arm in part["a"] + part["b"]))
    there = [n for n in LOOKS if all((arm, seed) in cells for arm in arms for seed in range(n))]
    seeds = list(range(min(there[0], most or LOOKS[0]))) if there else []
    used = [cells[arm, seed] for arm in arms for seed in seeds]
    machines = [record["environment"] for record in used]
    gate = {
        arm: _learnt(arm, cells, seeds) for arm in claim.get("gate", parts[0]["a"] + parts[0]["b"])
    }
    entry = {key: claim[key] for key in ("id", "english", "chinese")} | {"seeds": seeds}
    return entry | {
        "arms": arms,
        "gate": gate,
        "parts": [compare(part, cells, seeds) for part in parts],
        "also": [compare(other, cells, seeds) for other in also],
        "diverged": [f"{each['arm']}, seed {each['seed']}" for each in used if each["diverged"]],
        "devices": sorted({machine["device_name"] for machine in machines}),
        "torch": sorted({machine["versions"]["torch"] for machine in machines}),
    }


def _learnt(arm: str, cells: Cells, seeds: Sequence[int]) -> int:
    """Return how many of the seeds have learnt."""
    records = [cells[arm, seed] for seed in seeds if (arm, seed) in cells]
    return sum(measures.has_learnt(record, measures.best(record)) for record in records)


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
    p_holm, against_holm = holm(p), holm(against)  # a claim that has not run has p = 1
    for entry in entries:
        id, n = entry["id"], len(entry["seeds"])
        entry |= {"p": p[id], "p_holm": p_holm[id], "p_against_holm": against_holm[id]}
        enough = math.ceil(0.8 * n)
        counted = [len(part["seeds"]) >= enough for part in entry["parts"]]
        learnt = any(k >= enough for k in entry["gate"].values()) or not entry["gate"]
        for part in entry["parts"]:
            part["verdict"] = verdict(part, p_holm[id], against_holm[id])
        weakest = min((part["verdict"] for part in entry["parts"]), key=VERDICTS.index)
        entry["verdict"] = weakest if learnt and all(counted) else "not tested"
        entry["verdict"] = entry["verdict"] if n else "not run yet"
        entry["against"] = [
            other for other in entry["also"] if len(other["seeds"]) > 1 and points_away(other)
        ]
    return entries


def said(entry: dict) -> str:
    """Return a verdict with its number of seeds, where more of them could still change it."""
    open_ = entry["verdict"] not in ("not run yet", "not tested") and len(entry["seeds"]) < LOOKS[0]
    return f"{entry['verdict']} (n = {len(entry['seeds'])})" if open_ else entry["verdict"]


def compare(comparison: dict, cells: Cells, seeds: Sequence[int]) -> dict:
    """Return a comparison with seeds, values of both sides, differences and statistics.

    Seeds without a record, and those whose measure is not defined, are left out.
    """
    pairs = {seed: values(comparison, cells, seed) for seed in seeds}
    pairs = {seed: pair for seed, pair in pairs.items() if pair is not None}
    found = {"seeds": list(pairs), "values": list(pairs.values()), "d": [], "won": 0}
    if not pairs:
        nothing = {"mean": 0.0, "low": -math.inf, "high": math.inf, "low90": -math.inf}
        return comparison | found | nothing | {"high90": math.inf, "p": 1.0, "p_against": 1.0}
    d = differences(found["values"], comparison["claimed"], comparison["margin"])
    found |= {"d": d.tolist(), "won": int((d > 0).sum())}
    wide = over_examples(comparison, cells, found["seeds"])
    return comparison | found | statistics(d, comparison["margin"]) | wide


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
    worst = measures.worst(name)
    reached = [
        worst if record["diverged"] else float(value)
        for record, value in zip(records, reached, strict=True)
    ]
    for side in (slice(len(comparison["a"])), slice(len(comparison["a"]), None)):
        both = list(zip(records[side], reached[side], strict=True))
        if comparison["join"] == "chosen" and both:
            sides.append(max(both, key=lambda pair: measures.best(pair[0]))[1])
        else:
            sides.append(sum(value for _, value in both))
    return sides[0], sides[1] if comparison["b"] else comparison["bound"]


def _where(record: dict) -> tuple:
    """Return where seconds were measured: device, processor, and how many cells at a time."""
    machine = record["environment"]
    place = tuple(machine.get(name) for name in ("device_name", "capability", "cpu"))
    return (*place, record.get("cells_at_once"))


def differences(pairs: Sequence[tuple[float, float]], claimed: str, margin: float) -> np.ndarray:
    """Return one difference a seed, positive where the seed is as claimed.

    Where one side diverged the difference is as large as any other seed's, and at least `margin`;
    where both did, 0.
    """
    a, b = np.array(pairs, dtype=float).T
    with np.errstate(invalid="ignore"):
        d = a - b if claimed == "higher" else b - a
    far = max([margin, *np.abs(d[np.isfinite(d)])])
    return np.nan_to_num(d, nan=0.0, posinf=far, neginf=-far)


def statistics(d: np.ndarray, margin: float) -> dict[str, float]:
    """Return the mean of d, (seeds,), its t-intervals, and two p of an exact sign-flip test.

    `low` and `high` bound 95 %, `low90` and `high90` 90 %. Under the null that d is the margin, d
    less the margin is as likely to have the other sign: p is the share of all 2^n choices of signs
    whose mean is at least the observed one (Fisher, 1935). `p_against` is the same of -d.
    """
    mean = float(np.mean(d))
    if len(d) < 2:
        nothing = {"low": -math.inf, "high": math.inf, "low90": -math.inf, "high90": math.inf}
        return {"mean": mean, **nothing, "p": 1.0, "p_against": 1.0}
    bounds = dict.fromkeys(("low", "high", "low90", "high90"), mean)  # all alike: no interval
    if np.ptp(d) > 0:
        t = stats.ttest_1samp(d, 0)
        bounds["low"], bounds["high"] = map(float, t.confidence_interval(0.95))
        bounds["low90"], bounds["high90"] = map(float, t.confidence_interval(0.90))
    flips = {"permutation_type": "samples", "n_resamples": np.inf, "alternative": "greater"}
    p, against = (
        float(stats.permutation_test((sign * d - margin,), np.mean, **flips).pvalue)
        for sign in (1, -1)
    )
    return {"mean": mean, **bounds, "p": p, "p_against": against}


def over_examples(comparison: dict, cells: Cells, seeds: Sequence[int]) -> dict[str, float]:
    """Return the 95 % interval over seeds and test examples, of test accuracies on one test set."""
    known = comparison["measure"] == "test accuracy" and comparison["join"] == "sum"
    if not known or len(seeds) < 2 or not comparison["b"]:
        return {}
    sign = 1 if comparison["claimed"] == "higher" else -1
    rows = []
    for seed in seeds:
        sides = [[correct(cells[arm, seed]) for arm in comparison[side]] for side in "ab"]
        rows.append(sign * (sum(sides[0]) - sum(sides[1])))
    table = np.array(rows)  # (seeds, examples)
    seed_means, example_means = table.mean(axis=1), table.mean(axis=0)
    rest = table - seed_means[:, None] - example_means + table.mean()
    num_seeds, num_examples = table.shape
    variance = seed_means.var(ddof=1) / num_seeds + example_means.var(ddof=1) / num_examples
    variance -= rest.var() / (num_seeds * num_examples)
    half = stats.t.ppf(0.975, num_seeds - 1) * math.sqrt(max(variance, 0.0))
    return {"low_examples": table.mean() - half, "high_examples": table.mean() + half}


def correct(record: dict) -> np.ndarray:
    """Return 1.0 for every test example that a cell got right and 0.0 for the others."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(record["correct"]), np.uint8))
    return bits[: record["test"]["n"]].astype(float)


def holm(ps: dict[str, float]) -> dict[str, float]:
    """Return p of each claim, corrected for how many were tested together (Holm, 1979)."""
    corrected, largest = {}, 0.0
    for k, name in enumerate(sorted(ps, key=ps.get)):
        largest = max(largest, min(1.0, (len(ps) - k) * ps[name]))
        corrected[name] = largest
    return corrected


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
