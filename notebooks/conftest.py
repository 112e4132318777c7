"""Defaults for `pytest --nbval-lax notebooks`: a short run that leaves nothing behind and compares no stderr."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("LABKIT_PRESET", "quick")
os.environ.setdefault("TQDM_DISABLE", "1")
if os.environ.get("LABKIT_DATA"):  # kernels start in this folder, not in the caller's
    os.environ["LABKIT_DATA"] = str(Path(os.environ["LABKIT_DATA"]).expanduser().resolve())


def pytest_configure(config):
    """Give each cell ten minutes unless the caller says otherwise, and the runs a temporary folder."""
    if getattr(config.option, "nbval_cell_timeout", None) == 2000:  # nbval's default: a dead kernel would hang as long
        config.option.nbval_cell_timeout = 600
    if "LABKIT_RUNS" not in os.environ:
        config.labkit_runs = tempfile.TemporaryDirectory(prefix="labkit-runs-")
        os.environ["LABKIT_RUNS"] = config.labkit_runs.name


def pytest_unconfigure(config):
    """Remove the temporary folder."""
    if hasattr(config, "labkit_runs"):
        config.labkit_runs.cleanup()


def pytest_collectstart(collector):
    """Leave stderr out of the comparison: a library's warning there is no result."""
    if getattr(collector, "skip_compare", None) is not None:
        collector.skip_compare += ("stderr",)
