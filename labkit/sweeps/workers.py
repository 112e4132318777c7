"""Trials that any number of workers share, on any number of machines, over a storage of Optuna.

A point is what one trial is to try; all workers are given the same points, by their names. A worker
that is killed loses nothing: its trial is recognised as orphaned and queued again, with the same
parameters.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from filelock import SoftFileLease, Timeout
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from labkit.machine.locks import LEASE
from labkit.sweeps import storage as storages

SETTLED = 60  # seconds after which a trial that has begun surely says whose it is
TRIES = 5  # a point whose worker was lost so often is left: it may be what kills them

optuna.logging.set_verbosity(optuna.logging.ERROR)


class TrialError(RuntimeError):
    """A trial that has failed and would fail again; its message says why."""


class TrialLost(RuntimeError):
    """A trial that came to nothing by no fault of its own, and may be tried again."""


def work(
    name: str,
    url: str,
    points: dict[str, dict],
    run: Callable[[Trial], float],
    pruner: BasePruner | None = None,
) -> optuna.Study:
    """Run trials of the study `name` until every point has one that has ended; return the study.

    url: of a database, or the path of a journal file on a folder that all workers see. points: the
    parameters that are fixed, by a name of the point; none are for a search. run: returns the
    value to maximise, or raises TrialPruned, TrialError or TrialLost. Raises ValueError if the
    storage cannot be used, and OSError if it cannot be used any more.
    """
    url = url if "://" in url else f"{Path(os.path.expanduser(url)).resolve()}"
    storage = storages.open_storage(url)
    me = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    try:
        # a journal hears no heartbeats: beside it a lease is renewed
        with contextlib.nullcontext() if "://" in url else _lease(url, me):
            how = {"direction": "maximize", "load_if_exists": True}
            how["pruner"] = pruner or optuna.pruners.NopPruner()
            study = optuna.create_study(study_name=name, storage=storage, **how)
            _work(study, url, points, lambda: Attempt(me, storage, run))
    except optuna.exceptions.StorageInternalError as error:
        said = storages.without_password(url, f"{error}")
        raise ConnectionError(f"{said} The same command goes on from here.") from error
    except OSError as error:
        error.filename = error.filename or url  # a folder without locks, for example
        raise
    except (ValueError, UnboundLocalError):  # Optuna's own slip over a line that is torn
        storages.open_storage(url)  # has a sentence for a journal that was damaged meanwhile
        raise
    return study


def _work(study: optuna.Study, url: str, points: dict[str, dict], attempt: Callable) -> None:
    lost = LostWorkers(url)
    while True:
        lost.give_up_their_trials(study)
        states = (TrialState.WAITING, TrialState.RUNNING)
        unfinished = study.get_trials(deepcopy=False, states=states)
        running = sum(trial.state == TrialState.RUNNING for trial in unfinished)
        missing = _missing(study, points)
        if running == len(unfinished) and missing:
            # near the front: a worker alone keeps their order, and many seldom meet
            point = random.choice(list(missing)[: 1 + 4 * running])
            study.enqueue_trial(missing[point], user_attrs={"point": point})
        elif not unfinished:
            return
        elif running == len(unfinished):
            time.sleep(storages.HEARTBEAT / 2 if "://" in url else 1)  # a server has other work too
            continue
        this = attempt()
        try:
            study.optimize(this, n_trials=1, catch=(TrialError, TrialLost))
        except (optuna.exceptions.OptunaError, ValueError, AssertionError):
            begun = this.number is not None and not this.failed
            if not begun or study.get_trials(deepcopy=False)[this.number].state != TrialState.FAIL:
                raise
            print("A trial of this worker was given up as lost: what another finds counts.")


@dataclass
class Attempt:
    """What Optuna calls to run one trial, unless another is at its point, or has ended it."""

    me: str
    storage: BaseStorage
    run: Callable[[Trial], float]
    number: int | None = None  # of the trial, once it has begun
    failed: bool = False  # by an error of the run's own, not of the storage

    def __call__(self, trial: Trial) -> float:
        self.number = trial.number
        if isinstance(self.storage, RDBStorage):  # a trial without a heartbeat is never given up
            self.storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr("worker", self.me)
        # reproducible with one worker, and different random numbers for each of many
        trial.study.sampler = optuna.samplers.TPESampler(seed=trial.number, constant_liar=True)
        name = trial.user_attrs.get("point")
        others = by_point(trial.study).get(name, [])
        if name is None or any(busy(other) for other in others if other.number < trial.number):
            trial.set_user_attr("surplus", True)  # two workers queued the point at the same time
            raise TrialError("surplus")
        try:
            return self.run(trial)
        except TrialError as error:
            trial.set_user_attr("failed", f"{error}")
            raise
        except KeyboardInterrupt:
            with contextlib.suppress(optuna.exceptions.OptunaError):
                trial.set_user_attr("stopped", True)  # by a person or a scheduler
            raise
        except Exception as error:
            self.failed = not isinstance(error, optuna.exceptions.OptunaError)
            raise


def busy(trial: FrozenTrial) -> bool:
    """Tell whether a trial's point needs no other: it is under way, or ended for good."""
    return trial.state != TrialState.FAIL or "failed" in trial.user_attrs


def by_point(study: optuna.Study) -> dict[str, list[FrozenTrial]]:
    """Return the trials of each point, in order, without those that another worker was before."""
    found = {}
    for trial in study.get_trials(deepcopy=False):
        if "point" in trial.user_attrs and "surplus" not in trial.user_attrs:
            found.setdefault(trial.user_attrs["point"], []).append(trial)
    return found


def _missing(study: optuna.Study, points: dict[str, dict]) -> dict[str, dict]:
    """Return the points that no trial has ended or is at; a lost trial's parameters are kept."""
    found = dict(points)
    for name, tried in by_point(study).items():
        lost = sum("stopped" not in trial.user_attrs for trial in tried)
        if any(map(busy, tried)) or lost >= TRIES:
            found.pop(name, None)
        elif name in found:
            found[name] = tried[-1].system_attrs.get("fixed_params", {}) | tried[-1].params
    return found


def _lease(journal: str, worker: str) -> SoftFileLease:
    path = Path(journal).with_name(f".{Path(journal).name}-{worker}.lock")
    return SoftFileLease(path, lease_duration=LEASE, thread_local=False)


@dataclass
class LostWorkers:
    """Finds running trials whose worker is gone; clocks of other machines are not asked."""

    url: str
    nobodys: dict = field(default_factory=dict)  # when we first saw a trial without a worker
    leases: dict = field(default_factory=dict)  # of workers; each remembers since when it is still

    def give_up_their_trials(self, study: optuna.Study) -> None:
        """Mark their trials as failed: a database hears nothing of them, or their lease is free."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)  # nothing with a journal
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get("worker")
            if worker is None:  # just begun, or killed in that very moment
                first = self.nobodys.setdefault(trial.number, time.monotonic())
                lost = time.monotonic() - first > SETTLED
            else:
                lost = "://" not in self.url and self._is_gone(worker)
            if lost:
                gone = (ValueError, optuna.exceptions.UpdateFinishedTrialError)
                with contextlib.suppress(*gone):  # another was quicker
                    study.tell(trial.number, state=TrialState.FAIL)

    def _is_gone(self, worker: str) -> bool:
        lease = self.leases.setdefault(worker, _lease(self.url, worker))
        with contextlib.suppress(Timeout), lease.acquire(timeout=0):
            return True
        return False
