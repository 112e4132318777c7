"""The figure of the ledger: a dot a seed, in units of the margin."""

import matplotlib
import pytest

from labkit.claims import figure as figures

matplotlib.use("Agg")


def test_claims_are_drawn_in_units_of_their_margins():
    """Differences 0.02 and 0.04 with a margin of 0.01 are at 2 and 4; no run, no row."""
    entry = {"id": "M1", "verdict": "supported", "seeds": [0, 1], "d": [0.02, 0.04], "margin": 0.01}
    entry |= {"mean": 0.03, "low": 0.01, "high": 0.05}
    figure = figures.claim_dots([entry, {"id": "M2", "seeds": []}])
    (ax,) = figure.axes
    drawn = next(
        line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"
    )
    assert list(drawn.get_xdata()) == pytest.approx([2, 4])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["M1  supported"]
