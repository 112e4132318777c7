"""What a sweep tries: values or ranges of a notebook's parameters, checked before anything runs."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import optuna

from labkit import settings
from labkit.machine import environment, paths
from labkit.runs import notebook

MODELS = {"01_mnist": ("RNN", "LSTM", "LeNet"), "02_imdb": ("RNN", "LSTM")}  # that a sweep can tune
NOT_OF_LENET = {"hidden_size", "num_layers", "dropout"}


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
        same = [
            environment.SOURCE_SHA256,
            notebook.code(self.notebook),
            lab.preset,
            lab.data_source,
            lab.precision,
        ]
        space = json.dumps([same, self.grid, self.search, self.fixed, self.model])
        return f"{self.notebook.stem}-{hashlib.sha256(space.encode()).hexdigest()[:8]}"

    @property
    def folder(self) -> Path:
        return paths.runs_root() / "sweeps" / self.name

    def points(self) -> dict[str, dict]:
        """Return every combination of the grid's values by a name; of a search, names alone."""
        if not self.grid:
            return {f"{number}": {} for number in range(self.trials)}
        combinations = [
            dict(zip(self.grid, values, strict=True))
            for values in itertools.product(*self.grid.values())
        ]
        return {
            ", ".join(f"{name} = {value}" for name, value in point.items()): point
            for point in combinations
        }

    def check(self) -> None:
        """Raise SettingsError, before anything runs, if something is not allowed."""
        if bool(self.grid) == bool(self.search) or bool(self.search) != bool(self.trials):
            raise settings.SettingsError(
                "Give either --grid NAME=A,B (as often as you like), or --search NAME=LOW..HIGH with --trials N."
            )
        if self.notebook.stem not in settings.PARAMETERS:
            known = ", ".join(settings.PARAMETERS)
            raise settings.SettingsError(
                f"{self.notebook} is no notebook of the course ({known}), whose parameters are known."
            )
        if self.model not in MODELS[self.notebook.stem]:
            known = MODELS[self.notebook.stem]
            meant = settings.hint(self.model, known)
            raise settings.SettingsError(
                f"{self.notebook.stem} can tune {', '.join(known)}, and no {self.model}.{meant}"
            )
        if self.model == "LeNet" and (without := NOT_OF_LENET & {*self.grid, *self.search}):
            raise settings.SettingsError(
                f"LeNet has no {', '.join(sorted(without))}: every trial would be the same."
            )
        for name, ends in self.search.items():
            numbers = len(ends) == 2 and all(type(end) in (int, float) for end in ends)
            if not numbers or not ends[0] < ends[1]:
                why = "wants a range of numbers, the lower first, like 64..512; lists of values belong to --grid"
                raise settings.SettingsError(f"--search {name} {why}.")
        corners = [
            dict(zip(self.search, ends, strict=True))
            for ends in itertools.product(*self.search.values())
        ]
        for point in self.points().values() if self.grid else corners:
            if twice := set(point) & set(self.fixed) | {"run_dir", "fresh"} & {*point, *self.fixed}:
                raise settings.SettingsError(
                    f"{', '.join(sorted(twice))}: given twice, or chosen by the sweep itself."
                )
            self._resolved(self.fixed | point)

    def _resolved(self, parameters: dict) -> SimpleNamespace:
        with contextlib.redirect_stdout(io.StringIO()):  # each run will say which data it has
            return settings.resolve(self.notebook.stem, **parameters)

    def pruner(self) -> optuna.pruners.BasePruner:
        """A grid is wanted whole; a search ends what is worse than half of the others, after a third of its epochs."""
        if self.grid:
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(
            n_warmup_steps=self._resolved(self.fixed).num_epochs // 3
        )


def read_values(texts: Sequence[str], separator: str) -> dict[str, list]:
    """Turn `hidden_dim=64,128` into a name and its values, or with the separator `..` a range into a name and its ends."""
    found = {}
    for text in texts:
        name, _, values = text.partition("=")
        parts = values.split(separator)
        if separator == "," and ".." in values:
            raise settings.SettingsError(
                f"{text!r} is a range, which belongs to --search: --grid wants a list, like 64,128."
            )
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
