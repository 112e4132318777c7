"""The cells: every arm is trained with every seed, and each such cell leaves one record.

What has a record is never run again, and a cell that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import base64
import datetime
import shutil
import time
from collections.abc import Sequence

import numpy as np

from labkit import metrics, settings, training
from labkit.claims import arms, plan
from labkit.machine import digests, environment, files, locks, paths
from labkit.machine.numerics import deterministic
from labkit.runs.checkpoints import Checkpoints

LOOK = 1.0  # seconds between two looks at the cells that others are at


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


def run(ids: Sequence[str], budget: str) -> None:
    """Run every cell that has no record, beside any number of processes that do the same.

    Raises ValueError if the data are not there.
    """
    for arm in {arm for arm, _ in missing(ids, budget)}:
        arms.check_data(arm)
    files.remove_leftovers(plan.RECORDS / budget)
    while left := missing(ids, budget):
        if not sum(run_and_keep(arm, seed, budget) for arm, seed in left):
            time.sleep(LOOK)  # others are at all of them


def run_and_keep(arm: str, seed: int, budget: str) -> bool:
    """Run a cell in a folder of its own; tell whether, for another process may be at it."""
    path = plan.record_path(arm, seed, budget)
    folder = paths.runs_root() / "claims" / budget / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    try:
        locks.lock(folder, wait=0)
    except (locks.InUseError, FileNotFoundError):  # which has it, or has just removed it
        return False
    try:
        if begun := not path.exists():
            record = run_cell(arm, seed, budget, Checkpoints(folder, path.stem))
            plan.keep(record)
            accuracy, seconds = record["test"]["accuracy"], record["train_seconds"]
            found = f"test accuracy {accuracy:.2%}, {seconds:.0f} s of training"
            print(f"{arm}, seed {seed}: {found}", flush=True)
    finally:
        locks.unlock(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return begun


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
