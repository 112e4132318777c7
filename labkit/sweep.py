"""Sweeps over the parameters of a notebook: a trial is one run of it, in a process and a folder of its own.

Trials are compared by validation accuracy. The test set, which a run looks at when it ends, chooses nothing.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import io
import itertools
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import optuna
import psutil
from optuna.trial import Trial

from labkit import files, headless, machine, settings, sources, trials
from labkit.checkpoints import Checkpoints
from labkit.checkpoints import delete as delete_checkpoints

LOOK = 1.0  # seconds between two looks at the checkpoints of a running trial
MODELS = {"01_mnist": ("RNN", "LSTM", "LeNet"), "02_imdb": ("RNN", "LSTM")}  # that a sweep can tune


@dataclass(frozen=True)
class Sweep:
    """What is tried: the values of each parameter in `grid`, or so many trials within the ranges (low, high) of `search`."""

    notebook: Path
    grid: dict[str, list] = field(default_factory=dict)
    search: dict[str, list] = field(default_factory=dict)
    trials: int = 0
    fixed: dict[str, object] = field(default_factory=dict)  # the other parameters
    model: str = "LSTM"  # whose best validation accuracy is maximised

    @functools.cached_property
    def name(self) -> str:
        """The same for all workers that were given the same and would do the same; a search can be asked for more trials."""
        lab = self._resolved(self.fixed)
        same = [machine.SOURCE_SHA256, headless.code(self.notebook), lab.preset, lab.data_source, lab.precision]
        space = json.dumps([same, self.grid, self.search, self.fixed, self.model])
        return f"{self.notebook.stem}-{hashlib.sha256(space.encode()).hexdigest()[:8]}"

    @property
    def folder(self) -> Path:
        return sources.runs_root() / "sweeps" / self.name

    def points(self) -> dict[str, dict]:
        """Return every combination of the grid's values by a name; of a search, names alone."""
        if not self.grid:
            return {f"{number}": {} for number in range(self.trials)}
        combinations = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        return {", ".join(f"{name} = {value}" for name, value in point.items()): point for point in combinations}

    def check(self) -> None:
        """Raise SettingsError, before anything runs, if something is not allowed."""
        if bool(self.grid) == bool(self.search) or bool(self.search) != bool(self.trials):
            raise settings.SettingsError(
                "Give either --grid NAME=A,B (as often as you like), or --search NAME=LOW..HIGH with --trials N."
            )
        if self.notebook.stem not in settings.PARAMETERS:
            known = ", ".join(settings.PARAMETERS)
            raise settings.SettingsError(f"{self.notebook} is no notebook of the course ({known}), whose parameters are known.")
        if self.model not in MODELS[self.notebook.stem]:
            known = ", ".join(MODELS[self.notebook.stem])
            raise settings.SettingsError(f"{self.notebook.stem} has no model {self.model} to tune: choose from {known}.")
        for name, ends in self.search.items():
            numbers = len(ends) == 2 and all(type(end) in (int, float) for end in ends)
            if not numbers or not ends[0] < ends[1]:
                raise settings.SettingsError(f"--search {name} wants a range of numbers, like {name}=64..512, the lower first.")
        corners = [dict(zip(self.search, ends, strict=True)) for ends in itertools.product(*self.search.values())]
        for point in self.points().values() if self.grid else corners:
            if twice := set(point) & set(self.fixed) | {"run_dir", "fresh"} & {*point, *self.fixed}:
                raise settings.SettingsError(f"{', '.join(sorted(twice))}: given twice, or chosen by the sweep itself.")
            self._resolved(self.fixed | point)

    def _resolved(self, parameters: dict) -> SimpleNamespace:
        with contextlib.redirect_stdout(io.StringIO()):  # each run will say which data it has
            return settings.resolve(self.notebook.stem, **parameters)

    def pruner(self) -> optuna.pruners.BasePruner:
        """A grid is wanted whole; a search ends what is worse than half of the others, after a third of its epochs."""
        if self.grid:
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(n_warmup_steps=self._resolved(self.fixed).num_epochs // 3)


def read_values(texts: Sequence[str], separator: str) -> dict[str, list]:
    """Turn `hidden_dim=64,128` into a name and its values, or with the separator `..` a range into a name and its ends."""
    found = {}
    for text in texts:
        name, _, values = text.partition("=")
        parts = values.split(separator)
        if "[" in values or not name or not all(parts) or name in found:
            raise settings.SettingsError(
                f"{text!r} cannot be read: write hidden_dim=64,128 or hidden_dim=64..512, a name once."
            )
        found[name] = list(dict.fromkeys(read_value(part) for part in parts))
    return found


def read_value(text: str) -> object:
    """Return the number or truth value that a text spells, or the text."""
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    return text


def run(sweep: Sweep, storage: str | None = None) -> optuna.Study:
    """Run the trials of a sweep with all workers that share its storage, and return the study when all have ended.

    storage: URL of a database, or a journal file; None: a journal in the sweep's folder.
    """
    sweep.check()
    url = storage or f"{sweep.folder / 'journal.log'}"
    return trials.work(sweep.name, url, sweep.points(), lambda trial: run_trial(trial, sweep), sweep.pruner())


def run_trial(trial: Trial, sweep: Sweep) -> float:
    """Run the notebook with a trial's parameters; return the best validation accuracy of the model that is tuned.

    Given the same parameters again, the run goes on from its last epoch, or is shown if it had ended.
    """
    point = {name: trial.suggest_categorical(name, values) for name, values in sweep.grid.items()}
    for name, (low, high) in sweep.search.items():
        whole = settings.PARAMETERS[sweep.notebook.stem][name].kind is int
        suggest = trial.suggest_int if whole else trial.suggest_float
        point[name] = suggest(name, low, high, log=low > 0 and high / low >= 100)
    known = json.dumps([trial.user_attrs["point"], point], sort_keys=True)
    folder = sweep.folder / hashlib.sha256(known.encode()).hexdigest()[:12]
    trial.set_user_attr("run_dir", f"{folder}")
    wait_until_free(folder)
    if not (folder / "result.json").exists():
        # fresh: what a worker with another device or number of threads has begun is not gone on with, but begun again
        parameters = headless.packed(sweep.fixed | point | {"run_dir": f"{folder}", "fresh": True})
        with _watched(trial, Checkpoints(folder, sweep.model)) as hopeless:
            code, where = headless.run(sweep.notebook, folder / sweep.notebook.name, ["--no-progress-bar", *parameters])
        if code == headless.KERNEL_DIED:  # there was no memory left, for example
            raise trials.TrialLost
        if code:
            delete_checkpoints(folder)
            raise optuna.TrialPruned if hopeless.is_set() else trials.TrialError(f"the run ended with {code}; see {where}")
    history = files.read_json(folder / "result.json")["models"][sweep.model]["history"]
    if not history:
        raise trials.TrialError("the loss was no number in the first epoch")
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    for epoch in history:  # the last of them may have ended since the last look
        if epoch["epoch"] not in reported:
            trial.report(epoch["val_accuracy"], epoch["epoch"])
    best = max(epoch["val_accuracy"] for epoch in history)
    print(f"trial {trial.number}: {trial.user_attrs['point']}: best validation accuracy {best:.2%}", flush=True)
    return best


def wait_until_free(folder: Path) -> None:
    """Wait for as long as another process has a folder: a kernel that outlives its worker, or one that was taken for lost."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with contextlib.suppress(files.InUseError):
            files.claim(folder)
            return files.let_go(folder)


@contextlib.contextmanager
def _watched(trial: Trial, checkpoints: Checkpoints) -> Iterator[threading.Event]:
    """Report each epoch of a running trial; interrupt it, and set the event that this yields, if others did better by then."""
    hopeless, over = threading.Event(), threading.Event()

    def watch():
        seen = 0
        with contextlib.suppress(optuna.exceptions.OptunaError, OSError, ValueError):  # a storage that is gone ends the looking
            while not over.wait(LOOK):
                finished = checkpoints.history(seen)
                for epoch in finished:
                    trial.report(epoch["val_accuracy"], epoch["epoch"])
                if finished and trial.should_prune():
                    hopeless.set()
                seen += len(finished)
                for kernel in psutil.Process().children() if hopeless.is_set() else ():
                    with contextlib.suppress(psutil.NoSuchProcess):  # told every second: between two cells it does not hear
                        kernel.send_signal(signal.SIGINT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield hopeless
    finally:
        over.set()
        thread.join()
