"""The cells: every arm is trained with every seed, and each such cell leaves one record.

What has a record is never run again, and a cell that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import datetime
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from labkit import metrics, settings, training
from labkit.claims import arms, plan
from labkit.data import mnist
from labkit.machine import digests, environment, files, locks, paths
from labkit.runs import timing
from labkit.runs.checkpoints import Checkpoints

WATCHED = 6_000  # training digits whose loss is looked at without dropout
LOOK = 1.0  # seconds between two looks at the cells that others are at


def default_budget() -> str:
    """Return this machine's budget: `report` on a GPU, else `reduced`, hours on two CPU cores."""
    return "reduced" if settings.choose_device("auto") == "cpu" else "report"


def missing(ids: Sequence[str], budget: str, num_seeds: int | None = None) -> list[tuple[str, int]]:
    """Return the cells that these claims (none: all) need and that have no record, seed by seed.

    ids: of claims, or names of arms. num_seeds: only the first so many; the budget's if None.
    """
    chosen = ids or [claim["id"] for claim in plan.plan()["claims"]]
    needed = {arm for id in chosen for arm in plan.arms_of_id(id)}
    there = {(record["arm"], record["seed"]) for record in plan.records(budget)}
    seeds = range(num_seeds or plan.plan()["budgets"][budget]["seeds"])
    cells = [(arm, seed) for seed in seeds for arm in plan.plan()["arms"] if arm in needed]
    return [cell for cell in cells if cell not in there]


def ahead(cells: Sequence[tuple[str, int]], budget: str, workers: int) -> list[str]:
    """Return a line per arm: its seeds, and their time here. Raises DataError without the data."""
    for arm, _ in cells:
        arms.check_data(arm)
    lines, hours, at_once = [], 0.0, min(workers, len(cells)) or 1
    for arm in dict.fromkeys(arm for arm, _ in cells):
        seeds = [seed for other, seed in cells if other == arm]
        data = arms.load(arm, budget)
        model = arms.build(arm, data, seeds[0], budget)
        seconds = timing.seconds_needed({arm: model}, data, arms.config(arm, seeds[0], budget))
        hours += seconds * len(seeds) / 3600
        shown = ", ".join(map(str, seeds))
        lines.append(f"  {arm}, seeds {shown}: about {seconds / 60:.0f} minutes each")
    return [*lines, f"At best {hours / at_once:.1f} hours in all, with {at_once} at a time."]


def run(ids: Sequence[str], budget: str, num_seeds: int | None = None) -> None:
    """Run every cell that has no record, beside any number of processes that do the same."""
    files.remove_leftovers(plan.RECORDS / budget)
    while left := missing(ids, budget, num_seeds):
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
            record = run_cell(arm, seed, budget, folder)
            plan.keep(record)
            accuracy, seconds = record["test"]["accuracy"], record["train_seconds"]
            found = f"test accuracy {accuracy:.2%}, {seconds:.0f} s of training"
            print(f"{arm}, seed {seed}: {found}", flush=True)
    finally:
        locks.unlock(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return begun


class Watched(Checkpoints):
    """The checkpoints of a cell, with the training loss in evaluation mode after each epoch."""

    def __init__(self, folder: Path, name: str, model: nn.Module, train: mnist.Split):
        super().__init__(folder, name)
        self.model = copy.deepcopy(model).to(settings.choose_device("auto"))
        self.train = dataclasses.replace(train, x=train.x[:WATCHED], y=train.y[:WATCHED])

    def save(self, epoch: int, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        logits = training.predict(self.model, self.train).cpu()
        state["history"][-1]["clean_train_loss"] = float(metrics.loss(logits, self.train.y))
        super().save(epoch, state)


def run_cell(arm: str, seed: int, budget: str, folder: Path) -> dict:
    """Train one cell, going on from its checkpoint in `folder`, and return its record."""
    how, data = plan.settings(arm, budget), arms.load(arm, budget)
    before = arms.build(arm, data, seed, budget)
    place = Checkpoints(folder, folder.name)
    if how["data"] == "mnist":
        place = Watched(folder, folder.name, before, data.train)
    run = training.fit(before, data, arms.config(arm, seed, budget), place)
    logits = training.predict(run.model, data.test).cpu()
    device = next(run.model.parameters()).device.type
    record = {"arm": arm, "seed": seed, "budget": budget, "settings": how}
    record["test"] = metrics.test_scores(logits, data.test.y)
    if how["data"] == "mnist" and how["architecture"] != "LeNet":
        nets = {"before": before, "after": run.model.cpu()}
        slopes = {when: arms.gradient_slope(net, data.validation) for when, net in nets.items()}
        record["slopes"] = slopes
    right = (metrics.predictions(logits) == data.test.y).numpy()
    record |= {name: value for name, value in vars(run).items() if name != "model"}
    record["weights_sha256"] = digests.weights_sha256(run.model.state_dict())
    # one bit per test example, in their order
    record["correct"] = base64.b64encode(np.packbits(right).tobytes()).decode()
    record["data"] = {"source": data.source, "sha256": data.sha256}
    record |= {"claims_sha256": plan.plan()["sha256"], "date": f"{datetime.date.today()}"}
    record["cells_at_once"] = int(os.environ.get("LABKIT_WORKERS", 1))
    return record | {"environment": environment.environment(device)}
