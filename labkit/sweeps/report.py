"""What a sweep has found: its table, Optuna's figures, and a record of it all."""

from __future__ import annotations

import datetime
import functools
import json
from pathlib import Path

import optuna
import pandas
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
    """Write trials.csv, sweep.json and Optuna's figures into the sweep's folder; return where.

    sweep.json has what was asked, every trial, and the machine; each run has its own result.json.
    """
    from optuna.visualization import matplotlib as figures

    folder, trials = sweep.folder, table(study)
    folder.mkdir(parents=True, exist_ok=True)
    rows = trials.drop(columns="run_dir").reset_index().to_json(orient="records")
    record = {"notebook": sweep.notebook.stem, "trials": json.loads(rows)}
    record |= {name: getattr(sweep, name) for name in ("grid", "search", "fixed", "model")}
    device = settings.choose_device(sweep.fixed.get("device", "auto"))
    record |= {"environment": environment.environment(device), "date": f"{datetime.date.today()}"}
    written = [files.write_whole(folder / "trials.csv", trials.to_csv)]
    written.append(files.write_json(folder / "sweep.json", record))
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({trial.value for trial in complete}) < 2:
        print("no figures: there are no two trials to compare")
        return written
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    importances = functools.partial(figures.plot_param_importances, evaluator=evaluator)
    drawn = {"parallel_coordinates.png": figures.plot_parallel_coordinate}
    drawn["importances.png"] = importances
    for name, draw in drawn.items():
        figure = draw(study, target_name="validation accuracy").figure
        figure.set_size_inches(9, 5)
        for lines in figure.axes[0].collections:
            lines.set_cmap("viridis_r")  # Optuna's own draws the worst trials in white
        save = functools.partial(figure.savefig, dpi=150, bbox_inches="tight", format="png")
        written.append(files.write_whole(folder / name, save))
    return written
