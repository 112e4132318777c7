"""Shared by the tests of the claims: a small plan on made-up digits, and made-up records."""

import base64
import copy
import json

import numpy as np
import pytest
import torch

from labkit.claims import arms, ledger, plan
from labkit.data import mnist


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two seeds of three epochs on made-up digits."""
    draw = torch.Generator().manual_seed(0)
    part = mnist.Split(
        torch.randn(96, 32, 32, generator=draw), torch.randint(10, (96,), generator=draw)
    )
    digits = mnist.Digits(part, part, part, "made up", "0" * 64)
    monkeypatch.setattr(arms, "load", lambda arm, budget: digits)
    monkeypatch.setattr(arms, "check_data", lambda arm: None)
    changed = copy.deepcopy(plan.plan())
    size = {"num_examples": 96, "num_test": 96, "num_epochs": 3}
    changed["budgets"]["reduced"] |= {"seeds": 2, "mnist": size}
    for arm in changed["arms"].values():
        arm |= {"hidden_size": 8} if arm["data"] == "mnist" else {}
    monkeypatch.setattr(plan, "plan", lambda: changed)
    monkeypatch.setattr(plan, "RECORDS", tmp_path / "study")
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.fixture
def record():
    """Return a function that makes up the record of a cell."""

    def make(arm, seed, accuracy, budget="reduced", **changed):
        epoch = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": accuracy, "seconds": 1.0}
        epoch |= {"val_f1": accuracy, "clean_train_loss": 1.0}
        test = {"n": 100, "accuracy": accuracy, "precision": 0.5, "recall": 0.5, "f1": 0.5}
        test["confusion"] = np.eye(10, dtype=int).tolist()
        made = {"arm": arm, "seed": seed, "budget": budget, "history": [epoch] * 3}
        made |= {
            "train_seconds": 3.0,
            "diverged": None,
            "test": test,
            "slopes": {"before": 0.0, "after": 0.0},
        }
        made["settings"] = plan.settings(arm, budget)
        bits = np.arange(100) < round(100 * accuracy)
        made["correct"] = base64.b64encode(np.packbits(bits).tobytes()).decode()
        made["environment"] = {"device_name": "a CPU", "versions": {"torch": "9"}}
        return made | changed

    return make


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that puts records where the ledger looks for them: nowhere else are any."""
    monkeypatch.setattr(plan, "RECORDS", tmp_path)
    monkeypatch.setattr(ledger, "SHIPPED", tmp_path / "ledger.json")

    def put(records):
        for each in records:
            path = plan.record_path(each["arm"], each["seed"], each["budget"])
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(each), encoding="utf-8")

    return put
