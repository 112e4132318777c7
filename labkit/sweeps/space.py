"""What a sweep tries: values or ranges of a notebook's parameters, checked before anything runs."""

from __future__ import annotations

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
from labkit.machine.notebook_parameters import SettingsError, hint, read_value
from labkit.runs import notebook

MODELS = {"01_mnist": ("RNN", "LSTM", "LeNet"), "02_imdb": ("RNN", "LSTM")}  # that can be tuned
NOT_OF_LENET = {"hidden_size", "num_layers", "dropout"}


@dataclass(frozen=True)
class Sweep:
    """All combinations of the values in `grid`, or so many trials within the ranges of `search`."""

    notebook: Path
    grid: dict[str, list] = field(default_factory=dict)
    search: dict[str, list] = field(default_factory=dict)  # [low, high] by name
    trials: int = 0
    fixed: dict[str, object] = field(default_factory=dict)  # the other parameters
    model: str = "LSTM"  # whose best validation accuracy is maximised

    @functools.cached_property
    def name(self) -> str:
        """The same for all workers that would do the same; a search may get more trials."""
        config = self._resolved(self.fixed)
        code = [environment.SOURCE_SHA256, notebook.code(self.notebook)]
        same = [*code, config.preset, config.data_source, config.precision]
        fixed = dict(sorted(self.fixed.items()))  # their order says nothing
        space = json.dumps([same, self.grid, self.search, fixed, self.model])
        return f"{self.notebook.stem}-{hashlib.sha256(space.encode()).hexdigest()[:8]}"

    @property
    def folder(self) -> Path:
        return paths.runs_root() / "sweeps" / self.name

    def points(self) -> dict[str, dict]:
        """Return every combination of the grid's values by a name; of a search, names alone."""
        if not self.grid:
            return {f"{number}": {} for number in range(self.trials)}
        return {name_of(point): point for point in _combinations(self.grid)}

    def check(self) -> None:
        """Raise SettingsError, before anything runs, if something is not allowed."""
        if bool(self.grid) == bool(self.search) or bool(self.search) != bool(self.trials):
            raise SettingsError(
                "Give either --grid NAME=A,B or --search NAME=LOW..HIGH and --trials N."
            )
        stem, asked = self.notebook.stem, self.grid | self.search
        if stem not in settings.PARAMETERS:
            known = ", ".join(settings.PARAMETERS)
            raise SettingsError(f"{self.notebook} is no notebook of the course ({known}).")
        if self.model not in MODELS[stem]:
            known, meant = ", ".join(MODELS[stem]), hint(self.model, MODELS[stem])
            raise SettingsError(f"{stem} can tune {known}, and no {self.model}.{meant}")
        if self.model == "LeNet" and (without := NOT_OF_LENET & set(asked)):
            names = ", ".join(sorted(without))
            raise SettingsError(f"LeNet has no {names}: every trial would be the same.")
        for name, ends in self.search.items():
            numbers = len(ends) == 2 and all(type(end) in (int, float) for end in ends)
            if not numbers or not ends[0] < ends[1]:
                raise SettingsError(
                    f"--search {name} needs a range of numbers, the lower first, like 64..512."
                )
        if twice := set(asked) & set(self.fixed) | {"run_dir", "fresh"} & {*asked, *self.fixed}:
            names = ", ".join(sorted(twice))
            raise SettingsError(f"{names}: given twice, or chosen by the sweep itself.")
        for point in _combinations(asked):  # of a search, the ends of its ranges
            config = vars(self._resolved(self.fixed | point))
            for name in point:
                if config[name] != point[name]:  # 0 and auto, which another value may be
                    raise SettingsError(
                        f"{name} = {point[name]} means {config[name]} here: name that itself."
                    )

    def _resolved(self, parameters: dict) -> SimpleNamespace:
        with contextlib.redirect_stdout(io.StringIO()):  # each run will say which data it has
            return settings.resolve(self.notebook.stem, **parameters)

    def pruner(self) -> optuna.pruners.BasePruner:
        """A grid runs every trial; a search prunes below the median, after some epochs."""
        if self.grid:
            return optuna.pruners.NopPruner()
        epochs = self._resolved(self.fixed).num_epochs
        return optuna.pruners.MedianPruner(n_warmup_steps=epochs // 3)


def name_of(point: dict) -> str:
    """Return the parameters of a point as people read them."""
    return ", ".join(f"{name} = {value}" for name, value in point.items())


def _combinations(values: dict[str, list]) -> list[dict]:
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def read_values(texts: Sequence[str], separator: str) -> dict[str, list]:
    """Turn `hidden_dim=64,128`, or with `..` a range `hidden_dim=64..512`, into name and values."""
    found = {}
    for text in texts:
        name, _, values = text.partition("=")
        parts = values.split(separator)
        if separator == "," and ".." in values:
            raise SettingsError(f"{text!r} is a range: give it to --search, or a list of values.")
        if "[" in values or not name or not all(parts) or name in found:
            raise SettingsError(
                f"{text!r} cannot be read: write hidden_dim=64,128 or =64..512, each name once."
            )
        found[name] = []
        for value in map(read_value, parts):  # each once: 0 and 0.0 are one, 1 and True are two
            if all(value != one or bool in (type(value), type(one)) for one in found[name]):
                found[name].append(value)
    return found
