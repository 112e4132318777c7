"""The statistics of the ledger: differences paired by seed, intervals, an exact test, Holm."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


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


def summary(d: np.ndarray, margin: float) -> dict[str, float]:
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


def over_examples(comparison: dict, cells: dict, seeds: Sequence[int]) -> dict[str, float]:
    """Return the 95 % interval over seeds and test examples, of test accuracies on one test set."""
    used = [cells[arm, seed] for seed in seeds for arm in comparison["a"] + comparison["b"]]
    known = comparison["measure"] == "test accuracy" and comparison["join"] == "sum"
    broken = any(record["diverged"] for record in used)
    if not known or broken or len(seeds) < 2 or not comparison["b"]:
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
    seeds_alone = seed_means.var(ddof=1) / num_seeds
    left = (rest**2).sum() / ((num_seeds - 1) * (num_examples - 1))
    variance = seeds_alone + example_means.var(ddof=1) / num_examples
    variance -= left / (num_seeds * num_examples)  # both of the others hold it
    half = stats.t.ppf(0.975, num_seeds - 1) * math.sqrt(max(variance, seeds_alone))
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


def lottery(pairs: Sequence[tuple[float, float]], size: int) -> float:
    """Return how often the other side wins, or neither, if `size` seeds of each side are drawn.

    pairs: the values of both sides with each seed. All draws of either side are gone through.
    """
    sides = np.array(pairs, dtype=float).T
    means = [[np.mean(draw) for draw in itertools.combinations(side, size)] for side in sides]
    winner = np.sign(sides[0].mean() - sides[1].mean())
    return float((np.subtract.outer(*means) * winner <= 0).mean())
