"""A progress bar for long work where a person watches, and nothing where nobody does."""

from __future__ import annotations

import os
import sys
import time

from tqdm import tqdm

LONG = 120  # seconds: from here on a person is told beforehand
WARM_UP, TIMED = 3, 20  # steps: the first are slower than the rest


def watched() -> bool:
    """Tell whether a person is likely to look on: a terminal, JupyterLab or VS Code, and no CI."""
    if os.environ.get("CI") or os.environ.get("TQDM_DISABLE"):
        return False
    return sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ or "VSCODE_PID" in os.environ


class Progress:
    """Counts the steps of a training; used as a context manager.

    name: shown before the bar; total: steps in all; what: the work in words, for the estimate.
    """

    def __init__(self, name: str, total: int, what: str):
        self.name, self.total, self.what = name, total, what
        self.steps = 0

    def __enter__(self) -> Progress:
        self.bar = tqdm(
            total=self.total,
            desc=self.name,
            unit="step",
            mininterval=0.5,
            leave=False,
            disable=not watched(),
        )
        return self

    def __exit__(self, raised: type | None, *_: object) -> None:
        self.bar.close()
        if raised is KeyboardInterrupt:
            again = "The same run, given again, goes on from its last finished epoch."
            print(f"{self.name}: stopped after {self.steps:,} of {self.total:,} steps. {again}")

    def step(self, loss: object, accuracy: object, batch: int) -> None:
        """Count one step; `loss` and `accuracy` are sums so far, turned into numbers only when they are drawn."""
        self.steps += 1
        if self.steps == WARM_UP:
            self.started = time.perf_counter()
        if self.steps == WARM_UP + TIMED:
            seconds = (time.perf_counter() - self.started) / TIMED * self.total
            if seconds > LONG:
                tqdm.write(
                    f"{self.name}: {in_words(seconds)} for {self.what}. Fewer epochs or examples take less.",
                    sys.stdout,
                )
        if self.bar.update() and not self.bar.disable:
            self.bar.set_postfix_str(
                f"loss {float(loss) / batch:.3f}, accuracy {float(accuracy) / batch:.1%}"
            )


def in_words(seconds: float) -> str:
    """Return a duration as a person says it: `about 3 minutes`."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds:.0f} seconds"
