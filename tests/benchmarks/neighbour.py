"""A training step beside a busy neighbour: the five models, idle and with one counting process.

Each setting has a process of its own, since OpenMP reads how to wait when PyTorch is loaded:
`spinning` is its default, the others have what labkit sets. They take turns, and the best of their
medians counts, since a virtual machine has neighbours that nobody sees. Data are made up: a step's
time does not depend on them.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import common

STEPS = {"text RNN": 12, "text LSTM": 6, "digits RNN": 30, "digits LSTM": 16, "LeNet": 40}
MOST_BESIDE = 2.5  # times as long beside one busy process as idle
MOST_IDLE = {"text RNN": 1.25, "digits RNN": 1.25}  # times as long as spinning; others 1.15


def measure() -> dict[str, float]:
    """Return the median seconds of a training step of each model, here and now."""
    import torch

    from labkit import metrics
    from labkit.models import classifiers

    torch.manual_seed(0)
    ids, lengths = torch.randint(2, 5000, (64, 230)), torch.full((64,), 230)
    digits, y = torch.randn(64, 32, 32), torch.randint(10, (64,))
    models = {}
    for name in ("RNN", "LSTM"):
        models[f"text {name}"] = classifiers.TextClassifier(name, 5000, 100, 128, readout="pool")
    for name in ("RNN", "LSTM"):
        models[f"digits {name}"] = classifiers.SequenceClassifier(name, 32, 128, 2, 10, 0.3)
    models["LeNet"] = classifiers.LeNet()

    def step(name: str) -> float:
        inputs, labels = ((ids, lengths), y % 2) if "text" in name else ((digits,), y)
        started = time.perf_counter()
        metrics.loss(models[name](*inputs), labels).backward()
        return time.perf_counter() - started

    found = {}
    for name, steps in STEPS.items():
        step(name)
        found[name] = statistics.median(step(name) for _ in range(steps))
    return found


@contextlib.contextmanager
def neighbours(number: int) -> Iterator[None]:
    """So many processes that only count, as long as the context lasts."""
    counting = "k = 0\nwhile True: k += 1"
    others = [subprocess.Popen([sys.executable, "-c", counting]) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def apart(setting: dict[str, str], number: int) -> dict[str, float]:
    """Measure in a process of its own, beside so many neighbours."""
    command = [sys.executable, __file__, "--here"]
    with neighbours(number):
        done = subprocess.run(command, env=os.environ | setting, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> None:
    quick = common.arguments(__doc__).quick
    sides = {"spinning": (common.SPINNING, 0), "idle": ({}, 0), "beside one": ({}, 1)}
    if not quick:
        sides |= {"spinning beside one": (common.SPINNING, 1), "beside two": ({}, 2)}
    rounds = 2 if quick else 5
    found = [{side: apart(*how) for side, how in sides.items()} for _ in range(rounds)]
    rows = []
    for name in STEPS:
        best = {f"{side}, ms": 1000 * min(turn[side][name] for turn in found) for side in sides}
        row = {"work": f"a step of 64, {name}"} | best
        row["beside / idle"] = best["beside one, ms"] / best["idle, ms"]
        row["at most"] = MOST_BESIDE
        row["idle / spinning"] = best["idle, ms"] / best["spinning, ms"]
        rows.append(row | {"at most ": MOST_IDLE.get(name, 1.15)})
    common.show(rows)
    if not quick:
        common.save("neighbour", rows)
    margin = 1.3 if quick else 1.0
    slow = [
        row["work"]
        for row in rows
        if row["beside / idle"] > margin * row["at most"]
        or row["idle / spinning"] > margin * row["at most "]
    ]
    if slow:
        print("over the bound: " + "; ".join(slow))
        sys.exit(quick)


if __name__ == "__main__":
    if sys.argv[1:] == ["--here"]:
        print(json.dumps(measure()))
    else:
        main()
