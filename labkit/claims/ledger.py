"""The ledger: what the seeds of each claim say, and the verdict that follows by rule.

A handful of seeds is judged: differences paired by seed, their interval, and an exact test. Nothing
here trains; the records are those of plan.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from labkit.claims import plan

ENOUGH = 10  # seeds: with five no p can come under 0.05, and with nine none under 0.05 / 20
BUDGETS = ("report", "reduced")  # records of the first supersede those of the second
EQUAL_TIME = "validation accuracy at equal time"  # the one measure that needs both arms
TIMED = (EQUAL_TIME, "log of the seconds an epoch")
JOINS: dict[str, Callable] = {"sum": sum, "largest": max}
# where less is better, a run that diverged counts as plus infinity, elsewhere as minus infinity
LESS_IS_BETTER = {
    "test accuracy": False,
    "test precision": False,
    "test recall": False,
    "test F1": False,
    EQUAL_TIME: False,
    "best validation accuracy": False,
    "validation accuracy in the first two epochs": False,
    "share of 4 and 9 in the errors, above the mean of the other pairs": False,
    "area under the training loss": True,
    "first training loss": True,
    "last training loss": True,
    "log of the seconds an epoch": True,
    "rise of the validation loss from its lowest": True,
    "slope of the log gradient before training": True,
    "slope of the log gradient after training": True,
    "spread of validation accuracy": True,
    "spread of validation loss": True,
}


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
    entries = [_entry(claim, cells, own[claim["id"]], seeds) for claim in plan.plan()["claims"]]
    # corrected for all claims: one that has not run has p = 1
    corrected = holm({entry["id"]: entry["p"] for entry in entries})
    for entry in entries:
        low, high, p_holm = entry["low"], entry["high"], corrected[entry["id"]]
        found = verdict(low, high, p_holm, entry["margin"], len(entry["seeds"]))
        entry |= {"p_holm": p_holm, "verdict": found if entry["seeds"] else "not run yet"}
    return entries


def _entry(claim: dict, cells: dict[str, dict], margin: float, most: int | None) -> dict:
    """Return what the records say of a claim.

    They are those of the first budget whose seeds are all there, or of the one that has most.
    """
    primary, *others = plan.comparisons(claim)
    primary["margin"] = margin
    paired = {budget: _paired(primary, cells[budget], budget, most) for budget in BUDGETS}
    budgets = plan.plan()["budgets"]
    complete = [budget for budget in BUDGETS if len(paired[budget]) >= budgets[budget]["seeds"]]
    budget = (complete or sorted(BUDGETS, key=lambda name: -len(paired[name])))[0]
    arms = primary["a"] + primary["b"]
    used = [cells[budget][arm, seed] for arm in arms for seed in paired[budget]]
    entry = {key: claim[key] for key in ("id", "english", "chinese")} | primary
    entry |= {"budget": budget} | _compared(primary, paired[budget])
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
    """Return what both sides reached with each seed that both have and that is among the first."""
    seeds = range(min(most or ENOUGH, plan.plan()["budgets"][budget]["seeds"]))
    found = {seed: values(comparison, cells, seed) for seed in seeds}
    return {seed: pair for seed, pair in found.items() if pair is not None}


def _compared(comparison: dict, paired: dict[int, tuple[float, float]]) -> dict:
    """Return seeds, values of both sides, differences and statistics; no seeds without a pair."""
    if not paired:
        empty = {"seeds": [], "values": [], "d": [], "mean": 0.0}
        return empty | {"low": -math.inf, "high": math.inf, "p": 1.0, "won": 0}
    pairs = list(paired.values())
    d = differences(pairs, comparison["claimed"], comparison["margin"])
    won = int((d > 0).sum())
    wilson = stats.binomtest(won, len(d)).proportion_ci(0.95, method="wilson")
    found = {"seeds": list(paired), "values": pairs, "d": d.tolist()} | statistics(d)
    return found | {"won": won, "won_interval": [float(wilson.low), float(wilson.high)]}


# --- what both sides reached ----------------------------------------------------------------------


def values(
    comparison: dict, cells: dict[tuple[str, int], dict], seed: int
) -> tuple[float, float] | None:
    """Return what the arms of both sides reached with one seed; None if a record is missing.

    A run that diverged counts against its arm: it has the worst value there is, infinite.
    """
    sides = [[cells.get((arm, seed)) for arm in comparison[side]] for side in "ab"]
    records = [record for side in sides for record in side]
    if None in records:
        return None
    measure, join = comparison["measure"], JOINS[comparison["join"]]
    devices = {record["environment"]["device_name"] for record in records}
    if measure in TIMED and len(devices) > 1:
        return None  # their seconds cannot be compared
    worst = math.inf if LESS_IS_BETTER[measure] else -math.inf
    if measure == EQUAL_TIME:
        in_time = _at_equal_time(*(side[0]["history"] for side in sides))
        pairs = zip(sides, in_time, strict=True)
        reached = [[worst if side[0]["diverged"] else accuracy] for side, accuracy in pairs]
    else:
        reached = [
            [worst if record["diverged"] else record["measures"][measure] for record in side]
            for side in sides
        ]
    return tuple(float(join(side)) if side else 0.0 for side in reached)


def _at_equal_time(*histories: list[dict]) -> list[float]:
    """Return each arm's validation accuracy when the fastest had ended.

    It is that of the arm's last epoch by then, 0 if there was none.
    """
    times = [np.cumsum([0.0, *(epoch["seconds"] for epoch in each)])[1:] for each in histories]
    until = min((ended[-1] for ended in times if len(ended)), default=0.0)
    reached = []
    for history, ended in zip(histories, times, strict=True):
        pairs = zip(history, ended, strict=True)
        in_time = [epoch["val_accuracy"] for epoch, at in pairs if at <= until]
        reached.append(in_time[-1] if in_time else 0.0)
    return reached


# --- statistics and verdict -----------------------------------------------------------------------


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
    mean, p = float(np.mean(d)), 1.0
    low = high = mean  # all alike: no interval to speak of
    if len(d) < 2:
        low, high = -math.inf, math.inf
    else:
        how = {"permutation_type": "samples", "n_resamples": np.inf}
        p = stats.permutation_test((d,), np.mean, **how).pvalue
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
