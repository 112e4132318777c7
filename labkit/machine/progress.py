"""A progress bar for long work where a person watches, and nothing where nobody does."""

from __future__ import annotations

import os
import sys
import time

from torch import Tensor
from tqdm import tqdm

LONG = 120  # seconds: from here on a person is told beforehand
WARM_UP, TIMED = 3, 20  # steps: the first are slower than the rest


def watched() -> bool:
    """Tell whether a person is likely to look on: a terminal, JupyterLab or VS Code, and no CI."""
    if os.environ.get("CI") or os.environ.get("TQDM_DISABLE"):
        return False
    return sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ or "VSCODE_PID" in os.environ


class Progress:
    """Counts the steps of a training, `total` of them; used as a context manager."""

    def __init__(self, name: str, total: int):
        self.name, self.total, self.steps = name, total, 0

    def __enter__(self) -> Progress:
        how = {"unit": "step", "mininterval": 0.5, "leave": False, "disable": not watched()}
        self.bar = tqdm(total=self.total, desc=self.name, **how)
        return self

    def __exit__(self, raised: type | None, *_: object) -> None:
        self.bar.close()
        if raised is KeyboardInterrupt:
            print(
                f"{self.name}: stopped after {self.steps:,} of {self.total:,} steps. "
                "The same run, given again, goes on from its last finished epoch."
            )

    def step(self, total_loss: Tensor, num_correct: Tensor, num_seen: int) -> None:
        """Count one step; the sums so far become numbers only when they are drawn."""
        self.steps += 1
        if self.steps == WARM_UP:
            self.started = time.perf_counter()
        if self.steps == WARM_UP + TIMED:
            seconds = (time.perf_counter() - self.started) / TIMED * self.total
            if seconds > LONG:
                less = "Fewer epochs or examples take less."
                tqdm.write(f"{self.name}: {in_words(seconds)} of training. {less}", sys.stdout)
        if self.bar.update() and not self.bar.disable:
            loss, accuracy = float(total_loss) / num_seen, float(num_correct) / num_seen
            self.bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.1%}")


def in_words(seconds: float) -> str:
    """Return a duration as a person says it: `about 3 minutes`."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds:.0f} seconds"
