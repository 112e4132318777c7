"""Trials that any number of workers share, on any number of machines, over a storage of Optuna.

A point is what one trial is to try; all workers are given the same points, by their names. A worker that is killed loses
nothing: what it had begun is seen to be without a worker and put back in line, with the same parameters.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from labkit.sweeps import storage

SETTLED = 60  # seconds after which a trial that has begun surely says whose it is
TRIES = 5  # a point whose worker was lost so often is left: it may be what kills them

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


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
    """Run trials of the study `name` until every point has one that has ended, whoever ran it, and return the study.

    url: of a database, or the path of a journal file on a folder that all workers see. points: the parameters that are fixed,
    by a name of the point; none are for a search. run: returns the value to maximise, or raises TrialPruned, TrialError or
    TrialLost. Raises ValueError or RuntimeError if the storage cannot be used, or no more.
    """
    url = url if "://" in url else f"{Path(url).expanduser().resolve()}"
    storage = storage.open_storage(url)
    how = {
        "direction": "maximize",
        "pruner": pruner or optuna.pruners.NopPruner(),
        "load_if_exists": True,
    }
    with _sign_of_life(url) as me:
        try:
            study = optuna.create_study(study_name=name, storage=storage, **how)
            _work(study, url, points, functools.partial(_run_one, me=me, storage=storage, run=run))
        except optuna.exceptions.StorageInternalError as error:
            raise RuntimeError(
                f"The storage failed ({error}). The same command goes on from here."
            ) from error
    return study


def _work(
    study: optuna.Study, url: str, points: dict[str, dict], run_one: Callable[..., float]
) -> None:
    seen_since = {}
    while True:
        _give_up_lost(study, url, seen_since)
        unfinished = cells.get_trials(
            deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING)
        )
        running = sum(trial.state == TrialState.RUNNING for trial in unfinished)
        missing = _missing(study, points)
        if running == len(unfinished) and missing:
            # near the front, so that a worker alone keeps their order, and many seldom meet
            point = random.choice(list(missing)[: 1 + 4 * running])
            cells.enqueue_trial(missing[point], user_attrs={"point": point})
        elif unfinished and running == len(unfinished):
            time.sleep(
                storage.HEARTBEAT / 2 if "://" in url else 1
            )  # idle workers should not be a server's only work
            continue
        elif not unfinished:
            return
        begun, raised = [], []
        try:
            cells.optimize(
                functools.partial(run_one, begun=begun, raised=raised),
                n_trials=1,
                catch=(TrialError, TrialLost),
            )
        except (optuna.exceptions.OptunaError, ValueError, AssertionError):
            if (
                raised
                or not begun
                or cells.get_trials(deepcopy=False)[begun[0]].state != TrialState.FAIL
            ):
                raise
            print(
                "A trial of this worker had been taken for lost and was given to another: what that one finds counts."
            )


def ended(trial: FrozenTrial) -> bool:
    """Tell whether a trial has done what was asked: it is complete, pruned, or has failed by itself and would do so again."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "failed" in trial.user_attrs


def by_point(study: optuna.Study) -> dict[str, list[FrozenTrial]]:
    """Return the trials of each point, in their order, without those that another worker was before."""
    found = {}
    for trial in cells.get_trials(deepcopy=False):
        if "point" in trial.user_attrs and "surplus" not in trial.user_attrs:
            found.setdefault(trial.user_attrs["point"], []).append(trial)
    return found


def _missing(study: optuna.Study, points: dict[str, dict]) -> dict[str, dict]:
    """Return the points that no trial has ended or is at, with their parameters; what a lost trial had drawn is kept."""
    found = dict(points)
    for name, tried in by_point(study).items():
        lost = sum("stopped" not in trial.user_attrs for trial in tried)
        if any(ended(trial) or trial.state != TrialState.FAIL for trial in tried) or lost >= TRIES:
            found.pop(name, None)
        elif name in found:
            found[name] = tried[-1].system_attrs.get("fixed_params", {}) | tried[-1].params
    return found


def _run_one(
    trial: Trial,
    me: str,
    storage: BaseStorage,
    run: Callable[[Trial], float],
    begun: list[int],
    raised: list[Exception],
) -> float:
    """Run a trial that has just begun, unless another is at its point, or has ended it.

    begun: gets its number. raised: gets an error of the run's own, to tell it from one of the storage.
    """
    begun.append(trial.number)
    if isinstance(storage, RDBStorage):
        storage.record_heartbeat(
            trial._trial_id
        )  # Optuna's thread is about to: a trial without any is never taken for lost
    trial.set_user_attr("worker", me)
    # reproducible with one worker, and different random numbers for each of many
    trial.study.sampler = optuna.samplers.TPESampler(seed=trial.number, constant_liar=True)
    name = trial.user_attrs.get("point")
    before = [other for other in by_point(trial.study).get(name, []) if other.number < trial.number]
    if name is None or any(ended(other) or other.state != TrialState.FAIL for other in before):
        trial.set_user_attr(
            "surplus", True
        )  # two workers had put the point in line at the same time
        raise TrialError("surplus")
    try:
        return run(trial)
    except TrialError as error:
        trial.set_user_attr("failed", f"{error}")
        raise
    except KeyboardInterrupt:
        with contextlib.suppress(optuna.exceptions.OptunaError):
            trial.set_user_attr("stopped", True)  # by a person or a scheduler: no fault of its own
        raise
    except optuna.exceptions.OptunaError:
        raise
    except Exception as error:
        raised.append(error)
        raise


@contextlib.contextmanager
def _sign_of_life(url: str) -> Iterator[str]:
    """Yield this worker's name. Beside a journal, which hears no heartbeats, it holds a lock as long as it lives."""
    me = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    if "://" in url:
        yield me
        return
    try:
        with FileLock(_lock_of(url, me)):
            yield me
    finally:
        _lock_of(url, me).unlink(missing_ok=True)


def _lock_of(journal: str, worker: str) -> Path:
    path = Path(journal)
    return path.with_name(f".{path.name}-{worker}.lock")


def _give_up_lost(study: optuna.Study, url: str, seen_since: dict[int, float]) -> None:
    """Mark running trials as failed whose worker is gone: a database has not heard from it, or its lock is free.

    seen_since: when we first saw a trial that is nobody's; clocks of other machines are not asked.
    """
    optuna.storages.fail_stale_trials(study)  # nothing with a journal
    for trial in cells.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get("worker")
        if worker is None:  # just begun, or killed in that very moment
            lost = (
                time.monotonic() - seen_since.setdefault(trial.number, time.monotonic()) > SETTLED
            )
        else:
            lost = "://" not in url and _is_free(_lock_of(url, worker))
        if lost:
            with contextlib.suppress(
                ValueError, optuna.exceptions.UpdateFinishedTrialError
            ):  # another was quicker
                cells.tell(trial.number, state=TrialState.FAIL)


def _is_free(path: Path) -> bool:
    with contextlib.suppress(Timeout), FileLock(path, timeout=0):
        path.unlink(missing_ok=True)
        return True
    return False
