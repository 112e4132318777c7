"""Sweeps over the parameters of a notebook: a trial is one run of it, in a process and a folder of its own.

Trials are compared by validation accuracy. The test set, which a run looks at when it ends, chooses nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil
from optuna.trial import Trial

from labkit import settings
from labkit.machine import files, locks
from labkit.runs import notebook
from labkit.runs.checkpoints import Checkpoints
from labkit.runs.checkpoints import delete as delete_checkpoints
from labkit.sweeps import workers
from labkit.sweeps.space import Sweep

LOOK = 1.0  # seconds between two looks at the checkpoints of a running trial


def run(sweep: Sweep, storage: str | None = None) -> optuna.Study:
    """Run the trials of a sweep with all workers that share its storage, and return the study when all have ended.

    storage: URL of a database, or a journal file; None: a journal in the sweep's folder.
    """
    trial.check()
    if not storage:
        trial.folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"{trial.folder / 'journal.log'}"
    return workers.work(
        trial.name, url, trial.points(), lambda trial: run_trial(trial, sweep), trial.pruner()
    )


def run_trial(trial: Trial, sweep: Sweep) -> float:
    """Run the notebook with a trial's parameters; return the best validation accuracy of the model that is tuned.

    Given the same parameters again, the run goes on from its last epoch, or is shown if it had ended.
    """
    point = {name: trial.suggest_categorical(name, values) for name, values in trial.grid.items()}
    for name, (low, high) in trial.search.items():
        whole = settings.PARAMETERS[trial.notebook.stem][name].kind is int
        suggest = trial.suggest_int if whole else trial.suggest_float
        point[name] = suggest(name, low, high, log=low > 0 and high / low >= 100)
    shown = {
        name: f"{value:.4g}" if type(value) is float else value for name, value in point.items()
    }
    said = (
        f"trial {trial.number}, {', '.join(f'{name} = {value}' for name, value in shown.items())}"
    )
    print(f"{said}: begins", flush=True)
    known = json.dumps([trial.user_attrs["point"], point], sort_keys=True)
    folder = trial.folder / hashlib.sha256(known.encode()).hexdigest()[:12]
    trial.set_user_attr("run_dir", f"{folder}")
    wait_until_free(folder)
    if not (folder / "result.json").exists():
        # fresh: what a worker with another device or number of threads has begun is not gone on with, but begun again
        parameters = notebook.packed(trial.fixed | point | {"run_dir": f"{folder}", "fresh": True})
        with _watched(trial, Checkpoints(folder, trial.model)) as hopeless:
            code, where = notebook.run(
                trial.notebook, folder / trial.notebook.name, ["--no-progress-bar", *parameters]
            )
        if code == notebook.KERNEL_DIED:  # there was no memory left, for example
            raise workers.TrialLost
        if code:
            delete_checkpoints(folder)
            raise (
                optuna.TrialPruned
                if hopeless.is_set()
                else workers.TrialError(f"the run ended with {code}; see {where}")
            )
    history = files.read_json(folder / "result.json")["models"][trial.model]["history"]
    if not history:
        raise workers.TrialError("the loss was no number in the first epoch")
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    for epoch in history:  # the last of them may have ended since the last look
        if epoch["epoch"] not in reported:
            trial.report(epoch["val_accuracy"], epoch["epoch"])
    best = max(epoch["val_accuracy"] for epoch in history)
    print(f"{said}: best validation accuracy {best:.2%}", flush=True)
    return best


def wait_until_free(folder: Path) -> None:
    """Wait for as long as another process has a folder: a kernel that outlives its worker, or one that was taken for lost."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with contextlib.suppress(locks.InUseError):
            locks.lock(folder)
            return locks.unlock(folder)


@contextlib.contextmanager
def _watched(trial: Trial, checkpoints: Checkpoints) -> Iterator[threading.Event]:
    """Report each epoch of a running trial; interrupt it, and set the event that this yields, if others did better by then."""
    hopeless, over = threading.Event(), threading.Event()

    def watch():
        seen = 0
        with contextlib.suppress(
            optuna.exceptions.OptunaError, OSError, ValueError
        ):  # a storage that is gone ends the looking
            while not over.wait(LOOK):
                finished = checkpoints.history(seen)
                for epoch in finished:
                    trial.report(epoch["val_accuracy"], epoch["epoch"])
                if finished and trial.should_prune():
                    hopeless.set()
                seen += len(finished)
                for kernel in psutil.Process().children() if hopeless.is_set() else ():
                    with contextlib.suppress(
                        psutil.NoSuchProcess
                    ):  # told every second: between two cells it does not hear
                        kernel.send_signal(signal.SIGINT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield hopeless
    finally:
        over.set()
        thread.join()
