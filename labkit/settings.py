"""Settings of a run: every parameter's type, range and unit, the presets, and one check of them all.

A parameter left at 0 takes its preset's value; what the caller names always wins.
"""

from __future__ import annotations

import ast
import difflib
import math
import os
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from labkit.data import official
from labkit.machine import numerics, paths


class SettingsError(ValueError):
    """A parameter with an unknown name, a wrong type or a value out of range."""


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell: its default, and what else it may be."""

    default: bool | int | float | str
    choices: tuple[str, ...] = ()  # for text: the values allowed, any if empty
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""

    @property
    def kind(self) -> type:
        return type(self.default)

    def check(self, name: str, value: object) -> object:
        """Return `value`, an int turned into a float where one is wanted; raise SettingsError if it does not fit."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            raise SettingsError(
                f"{name} = {value!r} is of type {type(value).__name__}, but {name} is {self.allowed()}; "
                f"for example: {name} = {self.default!r}."
            )
        if (
            self.kind in (int, float) and not self.low <= value <= self.high
        ):  # false for nan as well
            raise SettingsError(f"{name} = {value!r} is out of range: {name} is {self.allowed()}.")
        if self.choices and value not in self.choices:
            raise SettingsError(
                f"{name} = {value!r} is not allowed: {name} is {self.allowed()}.{hint(value, self.choices)}"
            )
        return value

    def allowed(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}[
            self.kind
        ]
        if self.kind in (int, float):
            words += f" from {self.low:,g} to {self.high:,g}"
        return f"{words} ({self.unit})" if self.unit else words


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
        "shift": Parameter(1, low=0, high=16, unit="pixels"),
    },
    "02_imdb": COMMON
    | {
        "hidden_dim": Parameter(0, low=0, high=8_192, unit="units, 0 = the preset's"),
        "n_layers": Parameter(0, low=0, high=32, unit="layers, 0 = the preset's"),
        "bidirectional": Parameter(False),
        "dropout": Parameter(0.5, low=0.0, high=0.99, unit="share of values"),
        "word_dropout": Parameter(0.1, low=0.0, high=0.99, unit="share of words"),
        "embedding_dim": Parameter(100, low=1, high=8_192, unit="numbers a word"),
        "vectors": Parameter("learnt", ("random", "learnt")),
        "max_len": Parameter(500, low=1, high=100_000, unit="words"),
        "tail": Parameter(0.5, low=0.0, high=1.0, unit="share of max_len"),
        "min_freq": Parameter(10, low=1, high=10**9, unit="occurrences"),
        "readout": Parameter("pool", ("padded", "last", "pool")),
    },
}
# What a parameter left at 0 becomes. Four are no parameters of the notebooks: num_test (test examples that are
# scored), peak (of a one-cycle schedule, times learning_rate; 0 = constant), clip_norm (of the gradient; 0 = none) and
# embedding_rate (learning rate of a word's learnt numbers, as a share of the others').
PRESETS = {
    "01_mnist": {
        "quick": {
            "num_epochs": 3,
            "num_examples": 16_000,
            "num_test": 10_000,
            "peak": 4.0,
            "clip_norm": 0.25,
        },
        "full": {
            "num_epochs": 20,
            "num_examples": 48_000,
            "num_test": 10_000,
            "peak": 1.0,
            "clip_norm": 0.25,
        },
    },
    "02_imdb": {
        "quick": {
            "num_epochs": 2,
            "num_examples": 10_000,
            "num_test": 2_000,
            "peak": 2.0,
            "clip_norm": 0.25,
        }
        | {"hidden_dim": 128, "n_layers": 1, "embedding_rate": 0.1},
        "full": {
            "num_epochs": 10,
            "num_examples": 22_500,
            "num_test": 25_000,
            "peak": 2.0,
            "clip_norm": 0.25,
        }
        | {"hidden_dim": 256, "n_layers": 2, "embedding_rate": 0.1},
    },
}


def resolve(notebook: str, **given: object) -> SimpleNamespace:
    """Check the parameters of a notebook and fill in what was left open.

    Returns a namespace with every parameter resolved (source, device and precision too), `notebook`, `threads`, and
    what only presets have. Raises SettingsError with one sentence.
    """
    table = PARAMETERS[notebook]
    for name in [*given, *injected_names()]:
        if name not in table:
            raise SettingsError(
                f"{name} is no parameter of {notebook}.{hint(name, table)} Known: {', '.join(table)}."
            )
    asked = {
        name: parameter.check(name, given.get(name, parameter.default))
        for name, parameter in table.items()
    }

    device = choose_device(asked["device"])
    preset = choose_preset(asked["preset"], device)
    source = official.choose(notebook, asked["data_source"])
    lab = asked | {
        name: asked.get(name) or value for name, value in PRESETS[notebook][preset].items()
    }
    lab |= {"preset": preset, "device": device, "data_source": source, "notebook": notebook}
    if asked["precision"] == "auto":
        lab["precision"] = (
            numerics.choose(paths.runs_root() / ".precision.json") if device == "cpu" else "fp32"
        )
    lab["threads"] = torch.get_num_threads()
    if lab.get("vectors") == "random":  # they have everything to learn
        lab["embedding_rate"] = 1.0

    available = official.NUM_EXAMPLES[notebook][source]
    lab["num_test"] = min(lab["num_test"], available["test"])
    if asked["num_examples"] > available["train"]:
        raise SettingsError(
            f"num_examples = {asked['num_examples']:,} is more than the {available['train']:,} training examples "
            f"of the {source} data: choose fewer, or 0 for the preset's number."
        )
    if lab["num_examples"] > available["train"]:  # only the preset's own number can be
        if preset == "quick" and not asked["num_epochs"]:  # quick is a budget of examples seen
            lab["num_epochs"] = math.ceil(
                lab["num_epochs"] * lab["num_examples"] / available["train"]
            )
        lab["num_examples"] = available["train"]
    return SimpleNamespace(**lab)


def choose_device(device: str) -> str:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that is there; raise SettingsError if it is not."""
    count = (
        torch.cuda.device_count() if torch.cuda.is_available() else 0
    )  # a driver may be too old for this torch
    if device == "auto":
        return "cuda" if count else "cpu"
    allowed = ["cpu"] + (["cuda"] + [f"cuda:{n}" for n in range(count)] if count else [])
    if device not in allowed:
        raise SettingsError(
            f"device = {device!r} is not on this machine: choose auto, {', '.join(allowed)}."
        )
    return device


def choose_preset(preset: str, device: str) -> str:
    """Turn `auto` into $LABKIT_PRESET if that is set, else `full` on a GPU and `quick` on a CPU."""
    if preset != "auto":
        return preset
    wanted = os.environ.get("LABKIT_PRESET", "auto") or "auto"
    COMMON["preset"].check("$LABKIT_PRESET", wanted)
    if wanted != "auto":
        return wanted
    return "quick" if device == "cpu" else "full"


def injected_names() -> list[str]:
    """Names that papermill set in this kernel and that have not been checked yet.

    papermill takes any name and only warns, and a name that nobody reads can be seen nowhere but in
    the cell it injects, which begins with `# Parameters`. Only the last such cell since the last check
    counts, so that working on in JupyterLab never meets an old one again.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return []
    shell = get_ipython()
    for cell in reversed(shell.user_ns.get("In", [])[:-1] if shell else []):
        if "settings.resolve(" in cell:
            break
        if cell.startswith("# Parameters\n"):
            assignments = [node for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
            return [
                node.targets[0].id for node in assignments if isinstance(node.targets[0], ast.Name)
            ]
    return []


def hint(wrong: object, known: object) -> str:
    """Return ` Did you mean hidden_dim?` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(
        str(wrong).lower(), names := {str(name).lower(): name for name in known}, n=1
    )
    return f" Did you mean {names[near[0]]}?" if near else ""
