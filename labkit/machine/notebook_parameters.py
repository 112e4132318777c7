"""Parameters of a notebook: what one may be, what papermill injects, what `-p` means."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass


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
        """Return `value`, as a float where one is due; raise SettingsError if it does not fit."""
        wrong = f"{name} = {value!r} is"
        if type(value) is not self.kind and not (self.kind is float and type(value) is int):
            raise SettingsError(
                f"{wrong} of type {type(value).__name__}, but must be {self.allowed()}; "
                f"for example: {name} = {self.default!r}."
            )
        if self.kind in (int, float) and not self.low <= value <= self.high:  # not true of nan
            raise SettingsError(f"{wrong} out of range: {name} must be {self.allowed()}.")
        if self.choices and value not in self.choices:
            meant = hint(value, self.choices)
            raise SettingsError(f"{wrong} not allowed: {name} must be {self.allowed()}.{meant}")
        return self.kind(value)

    def allowed(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kinds = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
        words = kinds[self.kind]
        if self.kind in (int, float):
            words += f" from {self.low:,} to {self.high:,}"
        return f"{words} ({self.unit})" if self.unit else words


def injected_names(cells: list[str]) -> list[str]:
    """Return the names that papermill has set and that have not been checked yet.

    cells: the code that a kernel has run. papermill takes any name and only warns, and a name that
    nobody reads is seen nowhere but in the cell it injects, which begins with `# Parameters`. Only
    the last such cell since the last check counts: working on in JupyterLab never meets an old one.
    """
    for cell in reversed(cells[:-1]):
        if "settings.from_notebook(" in cell:
            break
        if cell.startswith("# Parameters\n"):
            return assigned_names(cell)
    return []


def assigned_names(cell: str) -> list[str]:
    """Return the names that a cell assigns, none if it is more than plain Python."""
    try:
        nodes = list(ast.walk(ast.parse(cell)))
    except SyntaxError:
        return []
    names = (node for node in nodes if isinstance(node, ast.Name))
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def no_parameter(name: str, notebook: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that a notebook does not know."""
    return f"{name} is no parameter of {notebook}.{hint(name, known)} Known: {', '.join(known)}."


def hint(wrong: object, known: Iterable) -> str:
    """Return ` Did you mean hidden_dim?` for the nearest known name, or nothing."""
    names = {str(name).lower(): name for name in known}
    near = difflib.get_close_matches(str(wrong).lower(), names, n=1)
    return f" Did you mean {names[near[0]]}?" if near else ""


def read_value(text: str) -> object:
    """Return what papermill makes of the text behind `-p NAME`: a truth value, number or text."""
    from papermill.cli import _resolve_type  # papermill has no other door to its own rule

    return _resolve_type(text)
