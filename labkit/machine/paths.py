"""Where things lie: the checkout, the folder of the data, the folder of the runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CHECKOUT = Path(__file__).resolve().parents[2]
IN_CHECKOUT = (CHECKOUT / "notebooks").is_dir() and (CHECKOUT / "pyproject.toml").is_file()
ROOT = CHECKOUT if IN_CHECKOUT else platformdirs.user_data_path("labkit")


def data_root() -> Path:
    """Return the folder of the official data: $LABKIT_DATA, or `data` under the root."""
    return _root_folder("LABKIT_DATA", "data")


def runs_root() -> Path:
    """Return the folder of the runs: $LABKIT_RUNS, or `runs` under the root."""
    return _root_folder("LABKIT_RUNS", "runs")


def _root_folder(variable: str, default: str) -> Path:
    """Return the folder that an environment variable names, else `default` under the root.

    A relative path is the caller's: JupyterLab and nbval start kernels in another folder than the
    shell they were started from, so the shell's own ($PWD) is looked at as well.
    """
    if not os.environ.get(variable):
        return ROOT / default
    try:
        path = Path(os.environ[variable]).expanduser()
    except RuntimeError:  # ~nobody
        raise ValueError(
            f"{variable} is {os.environ[variable]!r}, and no home folder is known for that user: "
            "give the whole path."
        ) from None
    return (path if path.exists() else Path(os.environ.get("PWD", ".")) / path).resolve()
