"""What papermill does with parameters: the cell it injects, and what `-p NAME VALUE` means."""

from __future__ import annotations

import ast


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
            assignments = [node for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
            targets = [assignment.targets[0] for assignment in assignments]
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def read_value(text: str) -> object:
    """Return what papermill makes of the text behind `-p NAME`: a truth value, number or text."""
    from papermill.cli import _resolve_type  # papermill has no other door to its own rule

    return _resolve_type(text)
