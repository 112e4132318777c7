"""The cells: every arm is trained with every seed, and each such cell leaves one record.

What has a record is never run again, and a cell that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import base64
import datetime
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labkit import metrics, settings, training
from labkit.claims import arms, plan
from labkit.machine import digests, environment, files, locks, paths
from labkit.machine.numerics import deterministic
from labkit.runs.checkpoints import Checkpoints


def default_budget() -> str:
    """Return the budget for this machine: everything on a GPU, else what takes two cores hours."""
    return "reduced" if settings.choose_device("auto") == "cpu" else "report"


def missing(ids: Sequence[str], budget: str) -> list[tuple[str, int]]:
    """Return the cells that these claims (none: all) need and that have no record, seed by seed."""
    chosen = [plan.claim(id) for id in ids] or plan.plan()["claims"]
    compared = [each for claim in chosen for each in plan.comparisons(claim)]
    needed = {arm for each in compared for arm in each["a"] + each["b"]}
    there = {(record["arm"], record["seed"]) for record in plan.records(budget)}
    seeds = range(plan.plan()["budgets"][budget]["seeds"])
    cells = [(arm, seed) for seed in seeds for arm in plan.plan()["arms"] if arm in needed]
    return [cell for cell in cells if cell not in there]


def run(ids: Sequence[str], budget: str, storage: str | None = None) -> None:
    """Run every cell that is missing, with all workers that share a storage, and keep its record.

    storage: a database or a journal file, for workers that do not share this folder: records travel
    through it. None: a journal in the runs' folder. Raises ValueError or RuntimeError if the data
    are not there, the storage cannot be used, or a cell was given up.
    """
    for arm in {arm for arm, _ in missing(ids, budget)}:
        arms.check_data(arm)
    if not missing(ids, budget):
        return
    from labkit.sweeps import workers  # here: who only reads the ledger does without Optuna

    files.remove_leftovers(plan.RECORDS / budget)
    folder = _folder(budget)
    folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"{folder / 'journal.log'}"
    code = f"{plan.plan()['sha256'][:8]}-{environment.SOURCE_SHA256[:8]}"
    name = f"claims-{budget}-{code}"
    times = Counter() if storage else _times_run(name, url)
    points = {
        f"{arm}, seed {seed}, time {times[arm, seed] + 1}": {"arm": arm, "seed": seed}
        for arm, seed in missing(ids, budget)  # after the journal: what has ended since is there
    }
    seeds = plan.plan()["budgets"][budget]["seeds"]

    def run_trial(trial) -> float:
        arm = trial.suggest_categorical("arm", list(plan.plan()["arms"]))
        record = _run_and_keep(arm, trial.suggest_int("seed", 0, seeds - 1), budget)
        trial.set_user_attr("record", record)
        return record["test"]["accuracy"]

    tried = workers.by_point(workers.work(name, url, points, run_trial))
    for point in points:
        if "record" in tried[point][-1].user_attrs:
            plan.keep(tried[point][-1].user_attrs["record"])
    if left := [f"{arm}, seed {seed}" for arm, seed in missing(ids, budget)]:
        again = "give another --storage" if storage else f"delete {url}"
        raise RuntimeError(
            f"{'; '.join(left)}: given up, because their workers were lost {workers.TRIES} times. "
            f"To try again, {again}."
        )


def _times_run(name: str, journal: str) -> Counter:
    """Count how often a journal's workers have run each cell.

    A cell that has been run and has no record any more is to be run again: its point is a new one.
    """
    import optuna

    from labkit.sweeps import storage

    how = {"direction": "maximize", "load_if_exists": True}
    study = optuna.create_study(study_name=name, storage=storage.open_storage(journal), **how)
    trials = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return Counter((trial.params["arm"], trial.params["seed"]) for trial in trials)


def _folder(budget: str) -> Path:
    """Return where the journal of a budget lies, and the folders of the cells that have begun."""
    return paths.runs_root() / "claims" / budget


def _run_and_keep(arm: str, seed: int, budget: str) -> dict:
    """Run a cell in a folder of its own, unless it has a record by now, and return its record."""
    path = plan.record_path(arm, seed, budget)
    folder = _folder(budget) / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    locks.lock(folder)
    try:
        if not path.exists():
            record = run_cell(arm, seed, budget, Checkpoints(folder, path.stem))
            plan.keep(record)
            accuracy, seconds = record["test"]["accuracy"], record["train_seconds"]
            found = f"test accuracy {accuracy:.2%}, {seconds:.0f} s of training"
            print(f"{arm}, seed {seed}: {found}", flush=True)
    finally:
        locks.unlock(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return plan.read(path)


def run_cell(arm: str, seed: int, budget: str, place: training.Place | None = None) -> dict:
    """Train one cell, going on from its checkpoint, and return its record."""
    how, data = plan.plan()["arms"][arm], arms.load(arm, budget)
    size = plan.plan()["budgets"][budget][how["data"]]
    run = arms.fit(arm, data, seed, size["num_epochs"], place)
    device = next(run.model.parameters()).device.type
    with deterministic(device):
        logits = training.predict(run.model, data.test).cpu()
    test = metrics.test_scores(logits, data.test.y)
    reached = {} if run.diverged else arms.measures(run.history, test)
    if how["data"] == "mnist" and how["architecture"] != "LeNet":
        for when, model in (("before", arms.build(arm, data, seed)), ("after", run.model.cpu())):
            slope = arms.gradient_slope(model, data.validation)
            reached[f"slope of the log gradient {when} training"] = slope
    right = (metrics.predictions(logits) == data.test.y).numpy()
    return {
        "arm": arm,
        "seed": seed,
        "budget": budget,
        "settings": how | size,
        "measures": reached,
        "diverged": run.diverged,
        "history": run.history,
        "best_epoch": run.best_epoch,
        "test": test,
        "train_seconds": run.train_seconds,
        "num_parameters": run.num_parameters,
        "weights_sha256": digests.weights_sha256(run.model.state_dict()),
        # one bit a test example, in their order
        "correct": base64.b64encode(np.packbits(right).tobytes()).decode(),
        "data": {"source": data.source, "sha256": data.sha256},
        "golden": arms.golden(arm, budget),
        "claims_sha256": plan.plan()["sha256"],
        "environment": environment.environment(device),
        "date": f"{datetime.date.today()}",
    }


def stale(budget: str) -> list[str]:
    """Return the cells to which the present source would give other results.

    These are the cells whose arm now has another golden loss.
    """
    found, now = [], {}
    for record in plan.records(budget):
        arm, then = record["arm"], record["golden"]
        now[arm] = now[arm] if arm in now else arms.golden(arm, budget)
        if not math.isclose(now[arm], then, rel_tol=1e-4):  # other machines differ by less
            losses = f"golden loss {then:.6f} then, {now[arm]:.6f} now"
            found.append(f"{arm}, seed {record['seed']}: {losses}")
    return found
