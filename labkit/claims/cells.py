"""The study behind the claims: every arm is trained with every seed, and each such cell leaves one record.

A record is known by arm, seed and budget. What is there is never run again; a cell that was killed goes on.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import re
import shutil
from collections.abc import Sequence

import numpy as np
from filelock import FileLock

from labkit import metrics, settings, training
from labkit.claims import arms, ledger
from labkit.machine import environment, files, locks, paths
from labkit.runs.checkpoints import Checkpoints, weights_sha256


def run_cell(arm: str, seed: int, budget: str, checkpoints: Checkpoints | None = None) -> dict:
    """Train one cell, going on from its checkpoints, and return its record."""
    how, data = ledger.study()["arms"][arm], arms.load(arm, budget)
    size = ledger.study()["budgets"][budget][how["data"]]
    run = arms.fit(arm, data, seed, size["num_epochs"], checkpoints)
    device = next(run.model.parameters()).device.type
    logits = training.predict(run.model, data.test).cpu()
    test = metrics.test_scores(logits, data.test.y)
    reached = {} if run.diverged else arms.measures(run.history, test)
    if how["data"] == "mnist" and how["cell"] != "LeNet":
        for when, net in (("before", arms.build(arm, data, seed)), ("after", run.model.cpu())):
            reached[f"slope of the log gradient {when} training"] = arms.gradient_slope(
                net, data.validation
            )
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
        "weights_sha256": weights_sha256(run.model.state_dict()),
        "correct": base64.b64encode(
            np.packbits(right).tobytes()
        ).decode(),  # one bit a test example, in their order
        "data": {"source": data.source, "sha256": data.sha256},
        "golden": arms.golden(arm, budget),
        "claims_sha256": ledger.study()["sha256"],
        "environment": environment.environment(device),
        "date": f"{datetime.date.today()}",
    }


def default_budget() -> str:
    """Return the budget that this machine is for: everything on a GPU, and what two cores can do in hours without one."""
    return "reduced" if settings.choose_device("auto") == "cpu" else "report"


def missing(ids: Sequence[str], budget: str) -> list[tuple[str, int]]:
    """Return the cells that these claims (none: all) need and that have no record yet, seed by seed."""
    chosen = [ledger.claim(id) for id in ids] or ledger.study()["claims"]
    needed = {
        arm
        for claim in chosen
        for each in ledger.comparisons(claim)
        for arm in each["a"] + each["b"]
    }
    there = {(each["arm"], each["seed"]) for each in ledger.records(budget)}
    seeds = range(ledger.study()["budgets"][budget]["seeds"])
    cells = [(arm, seed) for seed in seeds for arm in ledger.study()["arms"] if arm in needed]
    return [cell for cell in cells if cell not in there]


def run(ids: Sequence[str], budget: str, storage: str | None = None) -> int:
    """Run every cell that is missing and that no other process has; return how many are still missing, with others.

    Processes that share the runs' folder see by its locks who has a cell. storage: of Optuna, for those that share nothing
    else: records travel through it, and every worker ends with all of them.
    """
    if storage:
        _share(missing(ids, budget), budget, storage)
    for arm, seed in missing(ids, budget):
        try:
            _run_and_keep(arm, seed, budget, wait=0)
        except locks.InUseError:
            continue
    return len(missing(ids, budget))


def _share(asked: list[tuple[str, int]], budget: str, storage: str) -> None:
    """Run cells together with all workers of a storage, and keep the records of all."""
    try:
        from labkit.sweeps import workers
    except ImportError as error:
        raise RuntimeError(f"{error.name} is not installed: pip install -e '.[sweep]'") from error

    seeds = range(ledger.study()["budgets"][budget]["seeds"])
    by_name = {
        f"{arm}, seed {seed}": (arm, seed) for arm in ledger.study()["arms"] for seed in seeds
    }
    points = {name: {} for name, cell in by_name.items() if cell in asked}

    def run_trial(trial) -> float:
        record = _run_and_keep(*by_name[trial.user_attrs["point"]], budget)
        trial.set_user_attr("record", record)
        return record["test"]["accuracy"]

    name = f"claims-{budget}-{ledger.study()['sha256'][:8]}-{environment.SOURCE_SHA256[:8]}"
    for tried in workers.by_point(workers.work(name, storage, points, run_trial)).values():
        if "record" in tried[-1].user_attrs:
            _keep(tried[-1].user_attrs["record"])


def _run_and_keep(arm: str, seed: int, budget: str, wait: float = locks.WAIT) -> dict:
    """Run a cell in a folder of its own, unless somebody has finished it meanwhile, and return its record."""
    folder = paths.runs_root() / "study" / budget / f"{re.sub(r'[^a-zA-Z0-9]+', '-', arm)}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    locks.lock(folder, wait)
    there = [
        record
        for record in ledger.records(budget)
        if (record["arm"], record["seed"]) == (arm, seed)
    ]
    record = there[0] if there else run_cell(arm, seed, budget, Checkpoints(folder, "cell"))
    if not there:
        _keep(record)
        accuracy, seconds = record["test"]["accuracy"], record["train_seconds"]
        print(
            f"{arm}, seed {seed}: test accuracy {accuracy:.2%}, {seconds:.0f} s of training",
            flush=True,
        )
    locks.unlock(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return record


def _keep(record: dict) -> None:
    """Add a record to the file of its budget, in one step: a kill leaves the old file or the new one."""
    path = ledger.RECORDS / f"{record['budget']}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        there = ledger.records(
            record["budget"]
        )  # raises for a line that is no record, before anything is written
        if any((other["arm"], other["seed"]) == (record["arm"], record["seed"]) for other in there):
            return  # another worker has gathered it
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        files.write_whole(path, lambda partial: partial.write_text(old + line, encoding="utf-8"))


def stale(budget: str) -> list[str]:
    """Return the cells that the present source would give other results: their arm's golden run has another loss now."""
    found, now = [], {}
    for record in ledger.records(budget):
        arm = record["arm"]
        now[arm] = now[arm] if arm in now else arms.golden(arm, budget)
        if not math.isclose(
            now[arm], record["golden"], rel_tol=1e-4
        ):  # other machines differ by less
            found.append(
                f"{arm}, seed {record['seed']}: golden loss {record['golden']:.6f} then, {now[arm]:.6f} now"
            )
    return found
