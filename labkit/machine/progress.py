"""How a training shows itself: a line per epoch, and in between a bar where a person watches."""

from __future__ import annotations

import os
import sys
import time

from torch import Tensor
from tqdm import tqdm


def watched() -> bool:
    """Tell whether a person looks on: at a terminal, or at a notebook that may ask questions."""
    if os.environ.get("CI") or os.environ.get("TQDM_DISABLE"):
        return False
    if kernel := _kernel():  # papermill, nbval and nbconvert say that nobody could answer
        return kernel.get_parent("shell").get("content", {}).get("allow_stdin", False)
    return sys.stderr.isatty()


def _kernel():
    """Return the kernel that this process is, None for any other process."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython.get_ipython(), "kernel", None) if ipython else None


class Progress:
    """Counts the steps of a training, `total` of them; used as a context manager.

    A person at a terminal sees a bar, one at a notebook a line of text that changes in place (a bar
    would be a red block there, and stay); a log gets the lines of the epochs alone.
    """

    def __init__(self, name: str, total: int):
        self.name, self.total, self.steps, self.lines = name, total, 0, []
        self.bar = self.live = None

    def __enter__(self) -> Progress:
        self.started = self.shown = time.perf_counter()
        if watched() and _kernel():
            from IPython.display import display

            self.live = display({"text/plain": self.name}, raw=True, display_id=True)
        elif watched():
            how = {"unit": "step", "mininterval": 0.5, "leave": False}
            self.bar = tqdm(total=self.total, desc=self.name, **how)
        return self

    def __exit__(self, raised: type | None, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        if raised is KeyboardInterrupt:
            print(
                f"{self.name}: stopped after {self.steps:,} of {self.total:,} steps. "
                "Run it again: where checkpoints are kept, it goes on from its last finished epoch."
            )

    def step(self, total_loss: Tensor, num_correct: Tensor, num_seen: int) -> None:
        """Count one step; the sums so far become numbers only when they are shown."""
        self.steps += 1
        if self.bar is not None and self.bar.update():
            self.bar.set_postfix_str(_reached(total_loss / num_seen, num_correct / num_seen))
        elif self.live and time.perf_counter() - self.shown > 0.5:
            self.shown = time.perf_counter()
            reached = _reached(total_loss / num_seen, num_correct / num_seen)
            self._update(f"step {self.steps:,} of {self.total:,}, {reached}{self._left()}")

    def epoch(self, record: dict, of: int) -> None:
        """Say in a line what an epoch has reached, of so many."""
        line = f"{self.name}, epoch {record['epoch']} of {of}: loss {record['train_loss']:.3f}, "
        line += f"validation accuracy {record['val_accuracy']:.1%}{self._left()}"
        self.lines.append(line)
        if self.live:
            self._update("")
        else:
            tqdm.write(line, sys.stdout)

    def _left(self) -> str:
        seconds = (time.perf_counter() - self.started) / self.steps * (self.total - self.steps)
        return f", {in_words(seconds)} left" if self.steps < self.total else ""

    def _update(self, now: str) -> None:
        text = "\n".join([*self.lines, f"{self.name}: {now}" if now else ""]).rstrip()
        self.live.update({"text/plain": text}, raw=True)


def _reached(loss: Tensor, accuracy: Tensor) -> str:
    return f"loss {float(loss):.3f}, accuracy {float(accuracy):.1%}"


def in_words(seconds: float) -> str:
    """Return a duration as a person says it: `about 3 minutes`."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}"
    return "about 1 second" if round(seconds) == 1 else f"about {seconds:.0f} seconds"
