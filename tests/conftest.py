"""Shared pieces: small made-up data, so that unit tests need no network and no full data."""

from __future__ import annotations

import ast
import json
import os
from types import SimpleNamespace

from labkit import training  # first: it tells PyTorch's threads how to wait

# isort: split

import numpy as np
import pytest
import torch

from labkit.data import imdb, mnist, words
from labkit.machine import paths

os.environ["TQDM_DISABLE"] = "1"
torch.set_num_threads(1)  # the models here are tiny: more threads only wait for each other


DOES = ("training.fit", "folder.test(", "folder.finish(")


@pytest.fixture(scope="session")
def only_the_run(tmp_path_factory):
    """Return a function that copies a notebook without what only shows, most of its time.

    Cells that train, test and finish stay, and those that store a name which a later one needs;
    of the names that one line imports, the needed ones, since imports take a kernel longest.
    """

    def copy(name):
        notebook = json.loads((paths.CHECKOUT / f"notebooks/{name}.ipynb").read_text("utf-8"))
        kept, needed = [], set()
        for cell in reversed([cell for cell in notebook["cells"] if "outputs" in cell]):
            source = "".join(cell["source"])
            nodes = list(ast.walk(tree := ast.parse(source)))
            for node in (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)):
                node.names = [each for each in node.names if each.name in needed] or node.names
                source = ast.unparse(tree)
            names = [node for node in nodes if isinstance(node, ast.Name)]
            stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            stored |= {node.name for node in nodes if isinstance(node, ast.alias)}
            given = "parameters" in cell["metadata"].get("tags", [])
            if given or stored & needed or any(call in source for call in DOES):
                kept.insert(0, cell | {"source": source, "outputs": []})
                needed = needed - stored | {node.id for node in names} - stored
        copied = tmp_path_factory.mktemp("only-the-run") / f"{name}.ipynb"
        copied.write_text(json.dumps(notebook | {"cells": kept}), encoding="utf-8")
        return copied

    return copy


@pytest.fixture
def interrupt_in(monkeypatch):
    """Have the n-th epoch from now on be interrupted, once, as Kernel → Interrupt does."""

    def arrange(epoch):
        whole, calls = training.train_epoch, []

        def interrupted(*given):
            calls.append(1)
            if len(calls) == epoch:
                raise KeyboardInterrupt
            return whole(*given)

        monkeypatch.setattr(training, "train_epoch", interrupted)

    return arrange


@pytest.fixture
def tiny_digits():
    """32 random pictures, labelled with the place of a bright row: every model can learn that."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(32) % 10
    x = 0.1 * torch.randn(32, 32, 32, generator=generator)
    x[torch.arange(32), 3 * y] += 2.0
    part = mnist.Split(x, y)
    parts = {"train": part, "validation": part, "test": part, "classes": mnist.CLASSES}
    return SimpleNamespace(**parts, source="made up", sha256="0")


WORDS = ("bad", "awful", "film", "the", "plot", "actor", "good", "great")


@pytest.fixture
def tiny_reviews():
    """24 made-up reviews of 1 to 12 words, positive if they end in a good word."""
    random = np.random.default_rng(0)
    labels = np.arange(24) % 2
    texts = []
    for label in labels:
        filler = " ".join(random.choice(WORDS[2:6], size=random.integers(0, 12)))
        texts.append(f"{filler} {'good' if label else 'bad'}".strip())
    vocabulary = words.Vocabulary(WORDS)
    part = imdb.encode(texts, labels, vocabulary, max_len=50)
    parts = {"train": part, "validation": part, "test": part, "classes": imdb.CLASSES}
    return SimpleNamespace(**parts, vocabulary=vocabulary, source="made up", sha256="0")
