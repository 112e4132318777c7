"""Sweeps over the parameters of a notebook: a trial is one run of it, in a process of its own.

Trials are compared by validation accuracy. The test set, which a run looks at when it ends, chooses
nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.trial import Trial

from labkit import settings
from labkit.machine import files, locks
from labkit.runs import checkpoints, notebook
from labkit.sweeps import space, workers

LOOK = 1.0  # seconds between two looks at the checkpoints of a running trial


def run(sweep: space.Sweep, storage: str | None = None) -> optuna.Study:
    """Run the trials of a sweep with all workers that share its storage; return the ended study.

    storage: URL of a database, or a journal file; None: a journal in the sweep's folder.
    """
    if not storage:
        sweep.folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"{sweep.folder / 'journal.log'}"
    run_one = functools.partial(run_trial, sweep=sweep)
    return workers.work(sweep.name, url, sweep.points(), run_one, sweep.pruner())


def run_trial(trial: Trial, sweep: space.Sweep) -> float:
    """Run the notebook with a trial's parameters; return the model's best validation accuracy.

    Given the same parameters again, the run goes on from its last epoch, or is only read.
    """
    point = suggest(trial, sweep)
    said = f"trial {trial.number}, {space.name_of(point)}"
    print(f"{said}: begins", flush=True)
    known = json.dumps([trial.user_attrs["point"], point], sort_keys=True)
    folder = sweep.folder / hashlib.sha256(known.encode()).hexdigest()[:12]
    trial.set_user_attr("run_dir", f"{folder}")
    wait_until_free(folder)
    if not (folder / "result.json").exists():
        parameters = sweep.fixed | point | {"run_dir": f"{folder}"}
        with _watched(trial, checkpoints.Checkpoints(folder, sweep.model)) as hopeless:
            code, where = notebook.run(sweep.notebook, folder / sweep.notebook.name, parameters)
        if code == notebook.KERNEL_DIED:  # there was no memory left, for example
            raise workers.TrialLost
        if code:
            checkpoints.delete(folder)
            failed = workers.TrialError(f"the run ended with {code}; see {where}")
            raise optuna.TrialPruned if hopeless.is_set() else failed
    history = files.read_json(folder / "result.json")["models"][sweep.model]["history"]
    if not history:
        raise workers.TrialError("the loss became NaN or infinite in the first epoch")
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    for epoch in history:  # the last of them may have ended since the last look
        if epoch["epoch"] not in reported:
            trial.report(epoch["val_accuracy"], epoch["epoch"])
    best = max(epoch["val_accuracy"] for epoch in history)
    print(f"{said}: best validation accuracy {best:.2%}", flush=True)
    return best


def suggest(trial: Trial, sweep: space.Sweep) -> dict[str, object]:
    """Return the parameters that a trial is to try; a range over a factor of 100 is logarithmic."""
    point = {name: trial.suggest_categorical(name, values) for name, values in sweep.grid.items()}
    for name, (low, high) in sweep.search.items():
        whole = settings.PARAMETERS[sweep.notebook.stem][name].kind is int
        draw = trial.suggest_int if whole else trial.suggest_float
        point[name] = draw(name, low, high, log=low > 0 and high / low >= 100)
    return point


def wait_until_free(folder: Path) -> None:
    """Wait while another process has a folder: a kernel that outlives its worker, for example."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with contextlib.suppress(locks.InUseError):
            locks.lock(folder)
            return locks.unlock(folder)


@contextlib.contextmanager
def _watched(trial: Trial, place: checkpoints.Checkpoints) -> Iterator[threading.Event]:
    """Report each epoch of a running trial; prune it, and set the event, if it is to be pruned."""
    hopeless, over = threading.Event(), threading.Event()

    def watch():
        seen = 0
        # a storage that is gone ends the looking
        with contextlib.suppress(optuna.exceptions.OptunaError, OSError, ValueError):
            while not over.wait(LOOK):
                finished = place.history(seen)
                for epoch in finished:
                    trial.report(epoch["val_accuracy"], epoch["epoch"])
                if finished and trial.should_prune():
                    hopeless.set()
                seen += len(finished)
                if hopeless.is_set():  # told every second: between two cells a kernel does not hear
                    notebook.interrupt_kernel()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield hopeless
    finally:
        over.set()
        thread.join()
