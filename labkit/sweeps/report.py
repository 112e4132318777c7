"""What a sweep has found: its table, a figure, and a record of it all."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import optuna
import pandas
from matplotlib.figure import Figure
from optuna.trial import TrialState

from labkit import settings
from labkit.machine import environment, files
from labkit.sweeps import workers
from labkit.sweeps.space import Sweep


def table(study: optuna.Study) -> pandas.DataFrame:
    """Return one row a point, the best first: parameters, accuracy, how it ended, its folder."""
    rows = []
    for name, tried in workers.by_point(study).items():
        last = tried[-1]
        accuracies = [*last.intermediate_values.values(), *(last.values or ())]
        lost = "its worker was lost or stopped" if last.state == TrialState.FAIL else ""
        row = {"point": name} | last.params
        row["validation accuracy"] = max(accuracies, default=None)
        row["epochs"] = len(last.intermediate_values)
        row["seconds"] = round(last.duration.total_seconds()) if last.duration else None
        row |= {"state": last.state.name.lower(), "tries": len(tried)}
        row["why"] = last.user_attrs.get("failed", lost)
        rows.append(row | {"run_dir": last.user_attrs.get("run_dir", "")})
    found = pandas.DataFrame(rows).set_index("point")
    return found.sort_values("validation accuracy", ascending=False, na_position="last")


def write(study: optuna.Study, sweep: Sweep) -> list[Path]:
    """Write trials.csv, sweep.json and accuracies.png into the sweep's folder; return where.

    sweep.json has what was asked, every trial, and the machine; each run has its own result.json.
    """
    folder, trials = sweep.folder, table(study)
    folder.mkdir(parents=True, exist_ok=True)
    rows = trials.drop(columns="run_dir").reset_index().to_json(orient="records")
    record = {"notebook": sweep.notebook.stem, "trials": json.loads(rows)}
    record |= {name: getattr(sweep, name) for name in ("grid", "search", "fixed", "model")}
    device = settings.choose_device(sweep.fixed.get("device", "auto"))
    record |= {"environment": environment.environment(device), "date": f"{datetime.date.today()}"}
    written = [files.write_whole(folder / "trials.csv", trials.to_csv)]
    written.append(files.write_json(folder / "sweep.json", record))
    reached = trials.dropna(subset="validation accuracy")
    if len(reached):
        figure = accuracies(reached, [*sweep.grid, *sweep.search])
        written.append(files.write_figure(folder / "accuracies.png", figure))
    return written


def accuracies(trials: pandas.DataFrame, names: Sequence[str]) -> Figure:
    """Draw validation accuracy over each parameter that was tried: a dot a trial."""
    figure = Figure(figsize=(1 + 3 * len(names), 4), layout="constrained")
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for name, ax in zip(names, axes, strict=True):
        values = trials[name]
        if values.dtype.kind not in "if":  # texts and truth values
            values = values.map(str)
        elif values.min() > 0 and values.max() / values.min() > 30:  # of 100, what was drawn
            ax.set_xscale("log")
        ax.plot(values, 100 * trials["validation accuracy"], "o", alpha=0.6)
        ax.set_xlabel(name)
    axes[0].set_ylabel("best validation accuracy in %")
    return figure
