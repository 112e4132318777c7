"""How a handful of seeds is judged: differences paired by seed, their interval, an exact test, and the verdict by rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

ENOUGH = 10  # seeds: with five no p can come under 0.05, and with nine none under 0.05 / 20


def differences(pairs: Sequence[tuple[float, float]], claimed: str, margin: float) -> np.ndarray:
    """Return one difference a seed, positive where the seed is as claimed.

    Where one side diverged the difference is as large as any other seed's, and at least `margin`; where both did, 0.
    """
    a, b = np.array(pairs, dtype=float).T
    with np.errstate(invalid="ignore"):
        d = a - b if claimed == "higher" else b - a
    far = max([margin, *np.abs(d[np.isfinite(d)])])
    return np.nan_to_num(d, nan=0.0, posinf=far, neginf=-far)


def statistics(d: np.ndarray) -> dict[str, float]:
    """Return the mean, its 95 % t-interval [low, high], and the two-sided exact p of a sign-flip test.

    d: (seeds,). Under the null a difference is as likely to have the other sign, so p is the share of all 2^n ways to
    choose the signs whose mean is at least as far from 0 (Fisher, 1935).
    """
    mean = float(np.mean(d))
    low = high = mean  # all alike: no interval to speak of
    if len(d) < 2:
        low, high = -math.inf, math.inf
    elif np.ptp(d) > 0:
        low, high = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    p = (
        stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        if len(d) > 1
        else 1.0
    )
    return {"mean": mean, "low": float(low), "high": float(high), "p": float(p)}


def holm(ps: dict[str, float]) -> dict[str, float]:
    """Return p of each claim, corrected for how many were tested together (Holm, 1979)."""
    corrected, largest = {}, 0.0
    for k, name in enumerate(sorted(ps, key=ps.get)):
        largest = max(largest, min(1.0, (len(ps) - k) * ps[name]))
        corrected[name] = largest
    return corrected


def verdict(low: float, high: float, p_holm: float, margin: float, seeds: int) -> str:
    """Return the verdict that follows from the interval, p and the margin, by the first rule that holds."""
    if low > margin and p_holm < 0.05:
        return "supported"
    if low > margin and seeds < ENOUGH:  # p cannot come under 0.05, whatever the differences are
        return f"points that way (n = {seeds})"
    if high < 0:
        return "contradicted"
    if -margin <= low and high <= margin:
        return "equivalent"
    return "inconclusive"
