"""Defaults for `pytest --nbval-lax notebooks`: a short run that leaves nothing behind."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("LABKIT_PRESET", "quick")
os.environ.setdefault("TQDM_DISABLE", "1")
for variable in ("LABKIT_DATA", "LABKIT_CHECKED_RUNS"):  # kernels start in another folder
    if os.environ.get(variable):
        os.environ[variable] = str(Path(os.environ[variable]).expanduser().resolve())


def pytest_configure(config):
    """Give each cell an hour unless the caller says otherwise, and runs their own folder."""
    # 2000 is nbval's default: a dead kernel would hang as long
    if getattr(config.option, "nbval_cell_timeout", None) == 2000:
        config.option.nbval_cell_timeout = 3600  # a slow machine is no failure
    config.labkit_runs = tempfile.TemporaryDirectory(prefix="labkit-runs-")
    # never a folder with runs of before: a finished one would be shown instead of made
    os.environ["LABKIT_RUNS"] = os.environ.get("LABKIT_CHECKED_RUNS") or config.labkit_runs.name


def pytest_unconfigure(config):
    """Remove the temporary folder."""
    config.labkit_runs.cleanup()


def pytest_collectstart(collector):
    """Leave stderr out of the comparison: a library's warning there is no result."""
    if getattr(collector, "skip_compare", None) is not None:
        collector.skip_compare += ("stderr",)
