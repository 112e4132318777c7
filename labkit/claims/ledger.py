"""The ledger: what the seeds of each claim say, and the verdict that follows by rule.

A handful of seeds is judged: differences paired by seed, their interval, and an exact test. Nothing
here trains; the records are those of plan.py.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from labkit.claims import plan
from labkit.machine import paths

ENOUGH = 10  # seeds: with five no p can come under 0.05, and with nine none under 0.05 / 20
SHIPPED = Path(__file__).parent / "ledger.json"  # where labkit is installed without its records
BUDGETS = ("report", "reduced")  # records of the first supersede those of the second
TIMED = (plan.EQUAL_TIME, "log of the seconds an epoch")
JOINS: dict[str, Callable] = {"sum": sum, "largest": max}
LESS_IS_BETTER = re.compile("loss|spread|slope|seconds")  # where this stands in a measure's name


def ledger(margins: dict[str, float] | None = None, seeds: int | None = None) -> list[dict]:
    """Return one entry a claim, in the plan's order: what was compared, the seeds, the verdict.

    margins, seeds: for a reader who wants to see the verdicts move: other margins by id, and only
    the first so many seeds. Raises ValueError for an unknown id and for a margin not above 0.
    """
    own = {claim["id"]: claim["margin"] for claim in plan.plan()["claims"]}
    for id, margin in (margins or {}).items():
        claim = plan.claim(id)
        if not (isinstance(margin, int | float) and 0 < margin < math.inf):
            raise ValueError(
                f"The margin of {claim['id']} is {margin}, but must be above 0: the smallest "
                f"difference in its measure, {claim['measure']}, that matters."
            )
        own[claim["id"]] = margin
    cells = {
        budget: {(record["arm"], record["seed"]): record for record in plan.records(budget)}
        for budget in BUDGETS
    }
    shipped = {} if paths.IN_CHECKOUT else _shipped()
    entries = []
    for claim in plan.plan()["claims"]:
        found = _found(claim, cells)
        if not found["seeds"]:
            found = shipped.get(claim["id"], found)
        entries.append(_entry(claim, found, own[claim["id"]], seeds))
    # corrected for all claims: one that has not run has p = 1
    corrected = holm({entry["id"]: entry["p"] for entry in entries})
    for entry in entries:
        low, high, p_holm = entry["low"], entry["high"], corrected[entry["id"]]
        said = verdict(low, high, p_holm, entry["margin"], len(entry["seeds"]))
        entry |= {"p_holm": p_holm, "verdict": said if entry["seeds"] else "not run yet"}
    return entries


def _shipped() -> dict[str, dict]:
    """Return what the committed records say, by claim; nothing by another claims.toml."""
    stored = json.loads(SHIPPED.read_text(encoding="utf-8"))
    fits = stored["claims_sha256"] == plan.plan()["sha256"]
    return {entry["id"]: entry for entry in stored["claims"]} if fits else {}


def _found(claim: dict, cells: dict[str, dict]) -> dict:
    """Return what a claim's records say: of the first budget that is whole, or has most seeds."""
    primary, *others = plan.comparisons(claim)
    seeds = {budget: plan.plan()["budgets"][budget]["seeds"] for budget in BUDGETS}
    found = {budget: _paired(primary, cells[budget], seeds[budget]) for budget in BUDGETS}
    complete = [budget for budget in BUDGETS if len(found[budget]["seeds"]) == seeds[budget]]
    budget = (complete or sorted(BUDGETS, key=lambda name: -len(found[name]["seeds"])))[0]
    arms = primary["a"] + primary["b"]
    used = [cells[budget][arm, seed] for arm in arms for seed in found[budget]["seeds"]]
    machines = [record["environment"] for record in used]
    return found[budget] | {
        "budget": budget,
        "also": [_paired(other, cells[budget], seeds[budget]) for other in others],
        "diverged": [f"{each['arm']}, seed {each['seed']}" for each in used if each["diverged"]],
        "devices": sorted({machine["device_name"] for machine in machines}),
        "torch": sorted({machine["versions"]["torch"] for machine in machines}),
    }


def _paired(comparison: dict, cells: dict, seeds: int) -> dict:
    """Return the seeds for which both sides have their records, and the two values of each."""
    pairs = {seed: values(comparison, cells, seed) for seed in range(seeds)}
    pairs = {seed: pair for seed, pair in pairs.items() if pair is not None}
    return {"seeds": list(pairs), "values": list(pairs.values())}


def _entry(claim: dict, found: dict, margin: float, most: int | None) -> dict:
    """Return a claim's entry: what was found, of its first so many seeds, and what that says."""
    primary, *others = plan.comparisons(claim)
    primary["margin"] = margin
    pairs = zip(others, found["also"], strict=True)
    entry = {key: claim[key] for key in ("id", "english", "chinese")} | primary
    entry |= {key: found[key] for key in ("budget", "diverged", "devices", "torch")}
    entry["also"] = [other | _judged(other, each, most) for other, each in pairs]
    return entry | _judged(primary, found, most)


def _judged(comparison: dict, found: dict, most: int | None) -> dict:
    """Return seeds, values of both sides, differences and statistics; no seeds without a pair."""
    seeds = [seed for seed in found["seeds"] if seed < (most or ENOUGH)]
    if not seeds:
        empty = {"seeds": [], "values": [], "d": [], "mean": 0.0}
        return empty | {"low": -math.inf, "high": math.inf, "p": 1.0, "won": 0}
    worst = _worst(comparison["measure"])  # JSON has no infinity, but null
    pairs = [[worst if value is None else value for value in pair] for pair in found["values"]]
    pairs = pairs[: len(seeds)]
    d = differences(pairs, comparison["claimed"], comparison["margin"])
    shown = {"seeds": seeds, "values": pairs, "d": d.tolist(), "won": int((d > 0).sum())}
    return shown | statistics(d)


def values(comparison: dict, cells: dict, seed: int) -> tuple[float, float] | None:
    """Return what the arms of both sides reached with one seed; None if a record is missing.

    A run that diverged counts against its arm: it has the worst value there is, infinite.
    """
    records = [cells.get((arm, seed)) for arm in comparison["a"] + comparison["b"]]
    if None in records:
        return None
    measure, join = comparison["measure"], JOINS[comparison["join"]]
    devices = {record["environment"]["device_name"] for record in records}
    if measure in TIMED and len(devices) > 1:
        return None  # their seconds cannot be compared
    if measure == plan.EQUAL_TIME:
        reached = _at_equal_time(*(record["history"] for record in records))
    else:
        reached = [record["diverged"] or record["measures"][measure] for record in records]
    worst = _worst(measure)
    pairs = zip(records, reached, strict=True)
    reached = [worst if record["diverged"] else value for record, value in pairs]
    a, b = reached[: len(comparison["a"])], reached[len(comparison["a"]) :]
    return float(join(a)), float(join(b)) if b else 0.0


def _worst(measure: str) -> float:
    return math.inf if LESS_IS_BETTER.search(measure) else -math.inf


def _at_equal_time(*histories: list[dict]) -> list[float]:
    """Return each arm's validation accuracy when the fastest had ended; 0 before an epoch."""
    times = [np.cumsum([epoch["seconds"] for epoch in history]) for history in histories]
    until = min((ended[-1] for ended in times if len(ended)), default=0.0)
    done = [int((ended <= until).sum()) for ended in times]  # epochs by then
    pairs = zip(histories, done, strict=True)
    return [history[number - 1]["val_accuracy"] if number else 0.0 for history, number in pairs]


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


def statistics(d: np.ndarray) -> dict[str, float]:
    """Return the mean of d, (seeds,), its 95 % t-interval [low, high], and p of a sign-flip test.

    p is exact and two-sided: under the null a difference is as likely to have the other sign, so p
    is the share of all 2^n choices of signs whose mean is at least as far from 0 (Fisher, 1935).
    """
    mean = float(np.mean(d))
    if len(d) < 2:
        return {"mean": mean, "low": -math.inf, "high": math.inf, "p": 1.0}
    p = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    low = high = mean  # all alike: no interval to speak of
    if np.ptp(d) > 0:
        low, high = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    return {"mean": mean, "low": float(low), "high": float(high), "p": float(p)}


def holm(ps: dict[str, float]) -> dict[str, float]:
    """Return p of each claim, corrected for how many were tested together (Holm, 1979)."""
    corrected, largest = {}, 0.0
    for k, name in enumerate(sorted(ps, key=ps.get)):
        largest = max(largest, min(1.0, (len(ps) - k) * ps[name]))
        corrected[name] = largest
    return corrected


def verdict(low: float, high: float, p_holm: float, margin: float, seeds: int) -> str:
    """Return the verdict that follows from interval, p and margin, by the first rule that holds."""
    if low > margin and p_holm < 0.05:
        return "supported"
    if low > margin and seeds < ENOUGH:  # p cannot come under 0.05, whatever the differences are
        return f"points that way (n = {seeds})"
    if high < 0:
        return "contradicted"
    if -margin <= low and high <= margin:
        return "equivalent"
    return "inconclusive"
