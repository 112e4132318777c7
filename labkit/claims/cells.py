"""The cells: every arm is trained with every seed, and each such cell leaves one record.

What has a record is never run again, and a cell that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import base64
import datetime
import shutil
from collections import Counter
from collections.abc import Sequence

import numpy as np
from optuna.trial import Trial, TrialState

from labkit import metrics, settings, training
from labkit.claims import arms, plan
from labkit.machine import digests, environment, files, locks, paths
from labkit.machine.numerics import deterministic
from labkit.runs.checkpoints import Checkpoints
from labkit.sweeps import storage as storages
from labkit.sweeps import workers


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
    files.remove_leftovers(plan.RECORDS / budget)
    folder = paths.runs_root() / "claims" / budget
    folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"{folder / 'journal.log'}"
    code = f"{plan.plan()['sha256'][:8]}-{environment.SOURCE_SHA256[:8]}"
    name = f"claims-{budget}-{code}"
    times = Counter()  # a cell that was run here and has no record any more is a new point
    if not storage:
        study = workers.open_study(name, storages.open_storage(url))
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        times.update((trial.params["arm"], trial.params["seed"]) for trial in done)
    points = {
        f"{arm}, seed {seed}, time {times[arm, seed] + 1}": {"arm": arm, "seed": seed}
        for arm, seed in missing(ids, budget)  # after the journal: what has ended since is there
    }
    seeds = plan.plan()["budgets"][budget]["seeds"]

    def run_trial(trial: Trial) -> float:
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


def _run_and_keep(arm: str, seed: int, budget: str) -> dict:
    """Run a cell in a folder of its own, unless it has a record by now, and return its record."""
    path = plan.record_path(arm, seed, budget)
    folder = paths.runs_root() / "claims" / budget / path.stem
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
    record = {"arm": arm, "seed": seed, "budget": budget, "settings": how | size}
    record |= {"measures": reached, "test": test}
    record |= {name: value for name, value in vars(run).items() if name != "model"}
    record["weights_sha256"] = digests.weights_sha256(run.model.state_dict())
    # one bit a test example, in their order
    record["correct"] = base64.b64encode(np.packbits(right).tobytes()).decode()
    record["data"] = {"source": data.source, "sha256": data.sha256}
    record |= {"claims_sha256": plan.plan()["sha256"], "date": f"{datetime.date.today()}"}
    return record | {"environment": environment.environment(device)}
