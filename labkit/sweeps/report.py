"""What a sweep has found: its table, Optuna's figures, and a record of it all."""

from __future__ import annotations

import datetime
import functools
import json
from pathlib import Path

import optuna
import pandas

from labkit import settings
from labkit.machine import environment, files
from labkit.sweeps import workers
from labkit.sweeps.space import Sweep

TITLES = {
    "parallel_coordinates.png": "the darker, the better on validation",
    "importances.png": "share of the variance in validation accuracy that a parameter explains (fANOVA)",
}


def table(study: optuna.Study) -> pandas.DataFrame:
    """Return one row a point, the best first: its parameters, how it ended, its best validation accuracy and its run folder."""
    rows = []
    for name, tried in workers.by_point(study).items():
        last = tried[-1]
        accuracies = [*last.intermediate_values.values(), *(last.values or ())]
        row = last.params | {
            "validation accuracy": max(accuracies, default=None),
            "epochs": len(last.intermediate_values),
        }
        row["seconds"] = round(last.duration.total_seconds()) if last.duration else None
        rows.append({"point": name} | row | {"state": last.state.name.lower(), "tries": len(tried)})
        lost = (
            "its worker was lost or stopped" if last.state == optuna.trial.TrialState.FAIL else ""
        )
        rows[-1] |= {
            "why": last.user_attrs.get("failed", lost),
            "run_dir": last.user_attrs.get("run_dir", ""),
        }
    return (
        pandas.DataFrame(rows)
        .set_index("point")
        .sort_values("validation accuracy", ascending=False, na_position="last")
    )


def record(study: optuna.Study, sweep: Sweep) -> dict:
    """Return what was asked, every trial, and the machine of this process; each run's own stands in its result.json."""
    device = settings.choose_device(trial.fixed.get("device", "auto"))
    asked = {name: getattr(sweep, name) for name in ("grid", "search", "fixed", "model")}
    found = json.loads(table(study).drop(columns="run_dir").reset_index().to_json(orient="records"))
    made = {"environment": environment.environment(device), "date": f"{datetime.date.today()}"}
    return {"notebook": trial.notebook.stem, **asked, "trials": found, **made}


def write(study: optuna.Study, sweep: Sweep) -> list[Path]:
    """Write trials.csv, sweep.json and Optuna's parallel coordinates and importances into the sweep's folder; return where."""
    from optuna.visualization import matplotlib as figures

    trial.folder.mkdir(parents=True, exist_ok=True)
    folder, text = (
        trial.folder,
        json.dumps(record(study, sweep), indent=1, ensure_ascii=False) + "\n",
    )
    written = [files.write_whole(folder / "trials.csv", lambda path: table(study).to_csv(path))]
    written.append(
        files.write_whole(
            folder / "sweep.json", lambda path: path.write_text(text, encoding="utf-8")
        )
    )
    complete = cells.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    importances = functools.partial(figures.plot_param_importances, evaluator=evaluator)
    drawn = {
        "parallel_coordinates.png": figures.plot_parallel_coordinate,
        "importances.png": importances,
    }
    if len({trial.value for trial in complete}) < 2:
        print("no figures: there are no two trials to compare")
        return written
    for name, draw in drawn.items():
        figure = draw(study, target_name="validation accuracy").figure
        figure.set_size_inches(9, 5)
        for lines in figure.axes[0].collections:
            lines.set_cmap("viridis_r")  # Optuna's own draws the worst trials in white
        figure.axes[0].set_title(
            f"{len(complete)} complete trials: {TITLES[name]}", loc="left", fontsize=11
        )
        if legend := figure.axes[0].get_legend():
            legend.remove()
        save = {"dpi": 150, "bbox_inches": "tight", "format": "png"}
        written.append(files.write_whole(folder / name, functools.partial(figure.savefig, **save)))
    return written
