"""Write hand-ins of three invented students, to try `make grade` with; `make example` runs it."""

import sys
from pathlib import Path

import nbformat

SLIPS = {"elman_step": (" + b_hh", ""), "last_state": ("lengths - 1", "lengths - 2")}  # ben's

if there := [name for name in ("ada", "ben", "cleo") if (Path("submitted") / name).exists()]:
    sys.exit(f"grading/submitted has {', '.join(there)} already: move them away first.")

for released in sorted(Path("release/exercises").glob("*.ipynb")):
    source = nbformat.read(Path("source/exercises") / released.name, as_version=4)
    solved = {cell.id: cell.source for cell in source.cells if "BEGIN SOLUTION" in cell.source}
    half = {name: solved[name].replace(*SLIPS.get(name, ("", ""))) for name in list(solved)[:5]}
    first = f"{next(iter(solved))}-check"
    for student, answers, deleted in (
        ("ada", solved, None),  # all of it
        ("ben", half, None),  # the first five exercises, one of them with a slip
        ("cleo", solved, first),  # all of it, but the first check is gone
    ):
        notebook = nbformat.read(released, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if cell.id != deleted]
        for cell in notebook.cells:
            cell.source = answers.get(cell.id, cell.source)
        path = Path("submitted") / student / "exercises" / released.name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
print("Hand-ins of ada, ben and cleo are in grading/submitted: now `make grade`.")
