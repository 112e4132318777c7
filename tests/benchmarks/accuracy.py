"""Accuracy on the official data, over seeds: what each architecture reaches.

A run that stands in this machine's results already is not repeated, so the script may be stopped
and started again. Each run scores the test set once, with its best validation epoch. The settings
of the text were chosen on validation data; the digits' come from trials of which log.md has test
figures (they differ by a tenth of a point, their intervals by two).
usage: accuracy.py [ARM ...] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from types import SimpleNamespace

import common
import numpy as np
import torch
from scipy import stats

from labkit import metrics, training
from labkit.data import imdb, mnist
from labkit.machine import numerics
from labkit.models import classifiers, embeddings
from labkit.training import TrainingConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DIGITS = {"num_epochs": 20, "learning_rate": 1e-3, "peak": 1.0, "clip_norm": 0.25, "shift": 1}
TEXT = {
    "learning_rate": 1e-3,
    "peak": 4.0,
    "clip_norm": 0.25,
    "max_len": 500,
    "tail": 0.5,
    "word_dropout": 0.1,
}
TEXT |= {
    "vectors": "learnt",
    "embedding_rate": 0.1,
    "num_epochs": 3,
    "hidden_dim": 128,
    "bidirectional": False,
}
# arm: architecture, settings, the least mean accuracy, and the seconds allowed on two CPU cores
ARMS = {
    "MNIST LeNet": ("LeNet", DIGITS, 0.993, None),
    "MNIST LSTM": ("LSTM", DIGITS | {"peak": 2.0}, 0.992, None),
    "MNIST RNN": ("RNN", DIGITS, 0.982, None),
    "IMDb RNN": ("RNN", TEXT | {"spread": 0.1, "peak": 2.0, "bidirectional": True}, 0.880, 600),
    "IMDb LSTM": ("LSTM", TEXT, 0.900, 600),
    "IMDb LSTM, bf16": ("LSTM", TEXT | {"precision": "bf16"}, 0.900, 600),
    "IMDb LSTM, in haste": ("LSTM", TEXT | {"num_epochs": 2, "hidden_dim": 64}, 0.885, 100),
}


def run(arm: str, seed: int) -> dict:
    """Train and test one arm with one seed; `seconds` are those of everything, reading included."""
    name, of, _, _ = ARMS[arm]
    of = SimpleNamespace(**of)
    started = time.perf_counter()
    if arm.startswith("MNIST"):
        data = mnist.load(shift=of.shift)
        torch.manual_seed(seed)
        net = (
            classifiers.LeNet()
            if name == "LeNet"
            else classifiers.SequenceClassifier(name, 32, 128, 2, 10, 0.3)
        )
    else:
        data = imdb.load(max_len=of.max_len, tail=of.tail)
        vectors = embeddings.learn(
            data.train, len(data.vocabulary), spread=getattr(of, "spread", 0.3)
        )
        torch.manual_seed(seed)
        net = classifiers.TextClassifier(
            name,
            len(data.vocabulary),
            100,
            of.hidden_dim,
            bidirectional=of.bidirectional,
            dropout=0.5,
            word_dropout=of.word_dropout,
            vectors=vectors,
        )
    names = {field.name for field in dataclasses.fields(TrainingConfig)} & set(vars(of))
    config = TrainingConfig(**{name: vars(of)[name] for name in names}, seed=seed, device=DEVICE)
    trained = training.fit(net, data, config, name=arm)
    logits = training.predict(trained.model, data.test, config.precision)
    scores = metrics.scores(logits, data.test.y)
    return {
        "arm": arm,
        "seed": seed,
        "settings": vars(of),
        "test accuracy": scores["accuracy"],
        "validation accuracy": trained.history[trained.best_epoch - 1]["val_accuracy"],
        "best epoch": trained.best_epoch,
        "training seconds": trained.train_seconds,
        "seconds": time.perf_counter() - started,
        "threads": torch.get_num_threads(),
    }


def stored() -> list[dict]:
    """Return this machine's runs so far, those of today's settings only."""
    path = common.file()
    rows = (
        json.loads(path.read_text(encoding="utf-8")).get("accuracy", {}).get("rows", [])
        if path.exists()
        else []
    )
    return [row for row in rows if row["arm"] in ARMS and row["settings"] == ARMS[row["arm"]][1]]


def summary(rows: list[dict]) -> list[dict]:
    """Return a line an arm: mean test accuracy with its t-interval over seeds, mean seconds."""
    lines = []
    for arm, (_, _, least, within) in ARMS.items():
        found = [row["test accuracy"] for row in rows if row["arm"] == arm]
        if not found:
            continue
        half = (
            stats.t.ppf(0.975, len(found) - 1) * stats.sem(found)
            if len(found) > 1
            else float("nan")
        )
        line = {
            "arm": arm,
            "seeds": len(found),
            "mean": float(np.mean(found)),
            "± (95 %)": float(half),
            "at least": least,
        }
        if within:  # the others need not have had idle cores
            line |= {
                "seconds": float(np.mean([row["seconds"] for row in rows if row["arm"] == arm])),
                "within": within,
            }
        lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arms", nargs="*", help=", ".join(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    for arm in given.arms or [arm for arm in ARMS if numerics.bf16_works() or "bf16" not in arm]:
        if arm not in ARMS:
            parser.error(f"{arm!r} is no arm: choose from {', '.join(ARMS)}")
        for seed in given.seeds:
            if not any(row["arm"] == arm and row["seed"] == seed for row in stored()):
                row = run(arm, seed)
                print(json.dumps(row), flush=True)
                common.save("accuracy", [*stored(), row])
    common.show(summary(stored()))


if __name__ == "__main__":
    main()
