"""The figure of the ledger: a dot a seed, in units of the margin."""

import matplotlib
import pytest

from labkit.claims import figure as figures

matplotlib.use("Agg")


def test_claims_are_drawn_in_units_of_their_margins():
    """Differences 0.02 and 0.04 with a margin of 0.01 are at 2 and 4; no run, no row."""
    part = {"verdict": "supported", "seeds": [0, 1], "d": [0.02, 0.04], "margin": 0.01}
    part |= {"mean": 0.03, "low": 0.01, "high": 0.05}
    against = [{"mean": -0.05, "margin": 0.01}]
    entry = {"id": "M1", "verdict": "supported", "parts": [part], "against": against}
    none = {"id": "M2", "parts": [{"verdict": "inconclusive", "seeds": []}]}
    figure = figures.claim_dots([entry, none])
    (ax,) = figure.axes
    drawn = {line.get_marker(): list(line.get_xdata()) for line in ax.lines}
    assert drawn["o"] == pytest.approx([2, 4]) and drawn["x"] == pytest.approx([-5])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["M1  supported"]


def test_every_seed_has_its_curve_and_chance_its_line(write, record):
    write([record("reviews LSTM", seed, 0.6 + seed / 10, "report") for seed in range(3)])
    left, right = figures.validation_curves(("reviews LSTM", "reviews RNN")).axes
    assert [list(line.get_ydata()) for line in left.lines[:3]] == [[0.6] * 3, [0.7] * 3, [0.8] * 3]
    assert [line.get_ydata()[0] for line in left.lines[3:]] == [0.5, 0.6] and len(right.lines) == 2
