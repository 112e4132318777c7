"""Settings of a run: every parameter's default, range and unit, the presets, and one check of all.

A parameter whose unit says so takes the preset's value when it is 0; any other value given wins.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from types import SimpleNamespace

import torch

from labkit.data import official
from labkit.machine import numerics
from labkit.machine.notebook_parameters import (
    Parameter,
    SettingsError,
    injected_names,
    no_parameter,
)
from labkit.training import TrainingConfig

COMMON = {
    "preset": Parameter("auto", ("auto", "quick", "full")),
    "data_source": Parameter("auto", ("auto", "official", "sample")),
    "seed": Parameter(42, low=0, high=2**31 - 1),
    "num_epochs": Parameter(0, low=0, high=10_000, unit="epochs, 0 = the preset's"),
    "num_examples": Parameter(0, low=0, high=10**9, unit="training examples, 0 = the preset's"),
    "batch_size": Parameter(64, low=1, high=65_536, unit="examples"),
    "learning_rate": Parameter(1e-3, low=1e-8, high=10.0),
    "device": Parameter("auto", unit="auto, cpu, cuda or cuda:N"),
    "precision": Parameter("auto", ("auto", "fp32", "bf16")),
    "lang": Parameter("en", ("en", "zh")),
    "run_dir": Parameter("", unit="a folder, empty = chosen for you"),
    "fresh": Parameter(False),
}
PARAMETERS = {
    "01_mnist": COMMON
    | {
        "hidden_size": Parameter(128, low=1, high=8_192, unit="units"),
        "num_layers": Parameter(2, low=1, high=32, unit="layers"),
        "dropout": Parameter(0.3, low=0.0, high=0.99, unit="share of values"),
        "shift": Parameter(1, low=0, high=4, unit="pixels"),
    },
    "02_imdb": COMMON
    | {
        "hidden_dim": Parameter(0, low=0, high=8_192, unit="units, 0 = the preset's"),
        "n_layers": Parameter(0, low=0, high=32, unit="layers, 0 = the preset's"),
        "bidirectional": Parameter(False),
        "dropout": Parameter(0.5, low=0.0, high=0.99, unit="share of values"),
        "word_dropout": Parameter(0.1, low=0.0, high=0.99, unit="share of words"),
        "embedding_dim": Parameter(100, low=1, high=8_192, unit="components"),
        "vectors": Parameter("learnt", ("random", "learnt")),
        "max_len": Parameter(500, low=1, high=100_000, unit="words"),
        "tail": Parameter(0.5, low=0.0, high=1.0, unit="share of max_len"),
        "min_freq": Parameter(10, low=1, high=10**9, unit="occurrences"),
        "readout": Parameter("pool", ("padded", "last", "pool")),
    },
}
# What a parameter left at 0 becomes. Four are no parameters of the notebooks: num_test, the test
# examples that are scored, and peak, clip_norm and embedding_rate of TrainingConfig.
PRESETS = {
    "01_mnist": {
        "quick": dict(num_epochs=3, num_examples=16_000, num_test=10_000, peak=4.0, clip_norm=0.25),
        "full": dict(num_epochs=20, num_examples=48_000, num_test=10_000, peak=1.0, clip_norm=0.25),
    },
    "02_imdb": {
        "quick": dict(num_epochs=2, num_examples=10_000, num_test=2_000, peak=2.0, clip_norm=0.25)
        | dict(hidden_dim=128, n_layers=1, embedding_rate=0.1),
        "full": dict(num_epochs=10, num_examples=22_500, num_test=25_000, peak=2.0, clip_norm=0.25)
        | dict(hidden_dim=256, n_layers=2, embedding_rate=0.1),
    },
}
DATA_SETS = {"01_mnist": "mnist", "02_imdb": "imdb"}


class Config(SimpleNamespace):
    """Every parameter of a run, resolved, and `asked`: what stood in the parameters cell."""

    @property
    def defaults(self) -> dict[str, object]:
        """What stands in the notebook's parameters cell until somebody changes it."""
        return {name: parameter.default for name, parameter in PARAMETERS[self.notebook].items()}

    @property
    def training(self) -> TrainingConfig:
        """How every model of the run is trained."""
        names = [field.name for field in dataclasses.fields(TrainingConfig)]
        return TrainingConfig(**{name: vars(self)[name] for name in names if name in vars(self)})


def from_notebook(notebook: str, namespace: Mapping[str, object]) -> Config:
    """Resolve the parameters that a notebook has set: `namespace` is its `globals()`.

    Raises SettingsError with one sentence, also for a misspelt name that papermill has injected.
    """
    table = PARAMETERS[notebook]
    given = {name: namespace[name] for name in table if name in namespace}
    injected = injected_names(namespace.get("In", []))
    wrong = [name for name in injected if name not in table]
    return resolve(notebook, **dict.fromkeys(wrong) | given)


def resolve(notebook: str, **given: object) -> Config:
    """Check the parameters of a notebook and fill in what was left open.

    The result has every parameter resolved (source, device and precision too), `notebook`,
    `threads`, and what only presets have. Raises SettingsError, or DataError if there are no data.
    """
    table = PARAMETERS[notebook]
    for name in given:
        if name not in table:
            raise SettingsError(no_parameter(name, notebook, table))
    asked = {
        name: parameter.check(name, given.get(name, parameter.default))
        for name, parameter in table.items()
    }
    device = choose_device(asked["device"])
    preset = choose_preset(asked["preset"], device)
    source = official.choose(DATA_SETS[notebook], asked["data_source"])
    values = PRESETS[notebook][preset]
    config = Config(**asked | {name: asked.get(name) or value for name, value in values.items()})
    config.preset, config.device, config.data_source = preset, device, source
    config.notebook, config.asked, config.threads = notebook, asked, torch.get_num_threads()
    if config.precision == "auto":
        config.precision = "fp32"  # bf16 pays only on processors that multiply faster in it
    if config.precision == "bf16" and device == "cpu" and not numerics.bf16_works():
        raise SettingsError("precision = 'bf16' does not work on this processor: choose fp32.")
    if asked.get("vectors") == "random":  # they have everything to learn
        config.embedding_rate = 1.0

    available = official.NUM_EXAMPLES[DATA_SETS[notebook]][source]
    config.num_test = min(config.num_test, available["test"])
    if asked["num_examples"] > available["train"]:
        raise SettingsError(
            f"num_examples = {asked['num_examples']:,} is more than the {available['train']:,} "
            f"training examples of the {source} data: choose fewer, or 0 for the preset's number."
        )
    if config.num_examples > available["train"]:  # here only a preset's own number can be more
        if preset == "quick" and not asked["num_epochs"]:  # quick is a budget of examples seen
            times = config.num_examples / available["train"]
            config.num_epochs = math.ceil(config.num_epochs * times)
        config.num_examples = available["train"]
    return config


def choose_device(device: str) -> str:
    """Turn `auto` into cuda or cpu, else return `device`; SettingsError if it is not here."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0  # a driver may be too old
    if device == "auto":
        return "cuda" if count else "cpu"
    allowed = ["cpu"] + (["cuda"] + [f"cuda:{n}" for n in range(count)] if count else [])
    if device not in allowed:
        choices = ", ".join(allowed)
        raise SettingsError(f"device = {device!r} is not on this machine: choose auto, {choices}.")
    return device


def choose_preset(preset: str, device: str) -> str:
    """Turn `auto` into $LABKIT_PRESET if that is set, else `full` on a GPU and `quick` on a CPU."""
    if preset == "auto":
        preset = os.environ.get("LABKIT_PRESET") or "auto"
        COMMON["preset"].check("$LABKIT_PRESET", preset)
    if preset == "auto":
        preset = "quick" if device == "cpu" else "full"
    return preset
