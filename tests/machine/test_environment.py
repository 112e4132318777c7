"""What a result depends on: the source that computes, and the commit where one can be known."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import labkit
from labkit.machine import environment, paths

PACKAGE = Path(labkit.__file__).parent


@pytest.fixture
def package(tmp_path):
    """A copy of labkit that may be edited."""
    no_caches = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PACKAGE, tmp_path / "labkit", ignore=no_caches))


def edit(package, name, old, new):
    path = package / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_copy_has_the_same_source(package):
    assert environment._source_sha256(package) == environment.SOURCE_SHA256


SAME = {
    "a comment": ("training.py", "model.train()\n", "model.train()  # a comment\n"),
    "a comment of its own": ("training.py", "import copy", "# a comment\nimport copy"),
    "a docstring": ("metrics.py", '"""Return the mean', '"""Return, in nats, the mean'),
    "a docstring of many lines": (
        "training.py",
        "The given model is not changed",
        "One line more.\n    It is not changed",
    ),
    "a module's docstring": ("models/linear.py", '"""The linear', '"""A linear'),
    "blank lines": ("models/linear.py", "import time\n", "import time\n\n\n"),
    "a label": ("language.py", "return name.replace", "return name.upper().replace"),
    "a figure": ("figures.py", "def ", "def other_"),
    "a table": ("tables.py", "def results", "def other_results"),
    "a lock": ("machine/locks.py", "WAIT = 40.0", "WAIT = 50.0"),
}
OTHER = {
    "a learning rate": ("training.py", "1e-3", "1e-4"),
    "a score": ("metrics.py", "0.5", "0.6"),
    "a layer": ("models/classifiers.py", "nn.Conv2d(1, 6", "nn.Conv2d(1, 7"),
    "a text that is no docstring": ("data/words.py", '"<unk>"', '"<unknown>"'),
    "a word": ("data/words.py", "text.lower()", "text"),
    "a mean of pixels": ("data/mnist.py", "0.1307", "0.1308"),
    "tiny numbers": ("machine/numerics.py", "denormal(True)", "denormal(False)"),
    "a seed": ("machine/digests.py", "{number} {purpose}", "{number}{purpose}"),
}


@pytest.mark.parametrize("what", SAME)
def test_what_computes_nothing_does_not_count(package, what):
    edit(package, *SAME[what])
    assert environment._source_sha256(package) == environment.SOURCE_SHA256


@pytest.mark.parametrize("what", OTHER)
def test_what_decides_a_number_counts(package, what):
    edit(package, *OTHER[what])
    assert environment._source_sha256(package) != environment.SOURCE_SHA256


def test_any_edit_of_labels_is_free(package):
    (package / "language.py").write_text("nothing = is = left\n", encoding="utf-8")
    assert environment._source_sha256(package) == environment.SOURCE_SHA256


def test_a_new_module_of_models_counts(package):
    (package / "models" / "own.py").write_text("x = 1\n", encoding="utf-8")
    assert environment._source_sha256(package) != environment.SOURCE_SHA256


def told_by(folder):
    """Return what the labkit in a folder says of its surroundings, in a process of its own."""
    code = """
import json, sys, types
import labkit
torch = sys.modules["torch"] = types.ModuleType("torch")  # it takes seconds to load
torch.get_num_threads = int
torch.backends = types.SimpleNamespace(cpu=types.SimpleNamespace(get_cpu_capability=str))
from labkit.machine import environment, paths
print(json.dumps([environment.environment("cpu"), str(paths.CHECKOUT), paths.IN_CHECKOUT]))
"""
    command, env = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=env, cwd=folder, check=True, capture_output=True, text=True)
    told, checkout, in_checkout = json.loads(done.stdout)
    assert checkout == str(folder), "another labkit was loaded"
    return told, in_checkout


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false"]
    command = ["git", *who, "-C", folder, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("in_another", [False, True])
def test_outside_a_checkout_there_is_no_commit(package, unpacked, in_another):
    """Installed somewhere, or unpacked from an archive without git's folder.

    Perhaps below another project's repository, whose commit is not labkit's.
    """
    if in_another:
        project = package.parents[0] / "project"
        package = shutil.move(package, project / "room" / "labkit")
        git(project, "init", "-q")
        git(project, "add", ".")
        git(project, "commit", "-q", "-m", "another's")
    if unpacked:
        (package.parent / "notebooks").mkdir()
        (package.parent / "pyproject.toml").touch()
    told, in_checkout = told_by(package.parent)
    assert in_checkout is unpacked
    assert told["commit"] is None and told["changed_since"] is None
    assert told["source_sha256"] == environment.SOURCE_SHA256


def test_in_a_checkout_the_commit_is_gits(package, monkeypatch):
    """Reference: git itself, in a fresh repository; git's own switch makes it another user's."""
    root = package.parent
    (package.parent / "notebooks").mkdir()
    (package.parent / "pyproject.toml").touch()
    (package.parent / ".gitignore").write_text("__pycache__\n", encoding="utf-8")
    git(root, "init", "-q")
    told, _ = told_by(root)
    assert told["commit"] is None, "nothing is committed yet"
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")
    told, _ = told_by(package.parent)
    assert told["commit"] == git(root, "rev-parse", "HEAD") and told["changed_since"] is False
    edit(package, "language.py", "import functools", "import functools  # edited")
    told, _ = told_by(package.parent)
    assert told["commit"] == git(root, "rev-parse", "HEAD") and told["changed_since"] is True
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    told, _ = told_by(root)
    assert told["commit"] is None and told["changed_since"] is None, "nobody could look"


def test_git_that_is_not_installed_is_no_error(monkeypatch):
    monkeypatch.setattr(paths, "IN_CHECKOUT", True)
    monkeypatch.setenv("PATH", "")
    told = environment.environment("cpu")
    assert told["commit"] is None and told["changed_since"] is None
