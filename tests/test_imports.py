"""The arrows between the modules: one direction, and leaves that do not know each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import labkit

FOLDER = Path(labkit.__file__).parent
ALLOWED = {
    "__init__": set(),
    "sources": set(),
    "recurrence": set(),
    "models": {"recurrence", "words"},
    "metrics": set(),
    "progress": set(),
    "labels": set(),
    "precision": {"files"},
    "settings": {"precision", "sources"},
    "downloads": {"files", "sources"},
    "mnist": {"sources", "downloads"},
    "words": set(),
    "imdb": {"sources", "downloads", "words"},
    "files": set(),
    "checkpoints": {"files"},
    "training": {"checkpoints", "metrics", "models", "precision", "progress"},
    "embeddings": {"imdb", "words"},
    "linear": {"imdb", "training", "words"},
    "machine": {"sources"},
    "results": {"checkpoints", "files", "machine", "sources", "training"},
    "reports": {"labels"},
    "plotting": {"labels"},
    "headless": {"files", "settings", "sources"},
    "significance": set(),
    "verdicts": {"significance", "sources"},
    "claim_reports": {"files", "labels", "verdicts"},
    "arms": {
        "checkpoints",
        "imdb",
        "metrics",
        "mnist",
        "models",
        "progress",
        "settings",
        "sources",
        "training",
        "verdicts",
    },
    "study": {
        "arms",
        "checkpoints",
        "files",
        "machine",
        "metrics",
        "settings",
        "sources",
        "training",
        "trials",
        "verdicts",
    },
    "storages": set(),
    "trials": {"storages"},
    "space": {"headless", "machine", "settings", "sources"},
    "sweep": {"checkpoints", "files", "headless", "settings", "space", "trials"},
    "sweep_reports": {"files", "machine", "settings", "space", "trials"},
    "stopping": set(),
    "cli_claims": {
        "claim_reports",
        "machine",
        "plotting",
        "sources",
        "stopping",
        "study",
        "verdicts",
    },
    "cli_sweep": {"machine", "space", "stopping", "sweep", "sweep_reports"},
    "cli": {
        "__version__",
        "cli_claims",
        "cli_sweep",
        "sources",
        "downloads",
        "headless",
        "reports",
        "stopping",
    },
}


def imported(path):
    """Return the names that a module takes from labkit, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "labkit":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labkit."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("labkit.")
            }
    return names


def test_every_module_is_known():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(ALLOWED)


@pytest.mark.parametrize("module", ALLOWED)
def test_imports_follow_the_arrows(module):
    assert imported(FOLDER / f"{module}.py") <= ALLOWED[module]


@pytest.mark.parametrize("module", ALLOWED)
def test_a_module_can_be_read_in_one_sitting(module):
    assert len((FOLDER / f"{module}.py").read_text(encoding="utf-8").splitlines()) < 200


def test_importing_labkit_loads_nothing_heavy():
    code = (
        "import sys, labkit; sys.exit(bool({'torch', 'datasets', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_notebook_imports_load_no_download_library():
    """`datasets` reads its environment when it is imported and takes seconds: only a download may load it."""
    code = "import sys; from labkit import imdb, linear, mnist, plotting, results, settings; sys.exit('datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
