"""What papermill does with parameters: the cell it injects, and what `-p NAME VALUE` means."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable


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
