"""What the commands share: one sentence for an error, a clean end when stopped, workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import click


class OneSentence(click.Group):
    """Ends a command with one sentence on what a person can mend."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (BrokenPipeError, click.exceptions.Exit, click.Abort):  # click knows what to do
            raise
        except (OSError, ValueError, MemoryError, RuntimeError) as error:  # PyTorch's are the last
            sys.exit(f"{error}".partition("\n")[0] or type(error).__name__)


@contextlib.contextmanager
def clean_end(what_now: str) -> Iterator[None]:
    """End with a clear last line, and 130 or 143, when Ctrl-C or SIGTERM comes."""

    def hear(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, hear)
    try:
        yield
    except KeyboardInterrupt as stopped:
        if not is_worker():  # its parent says so, once for all
            print(f"stopped; {what_now}", file=sys.stderr)
        sys.exit(128 + (stopped.args or (signal.SIGINT,))[0])


def is_worker() -> bool:
    """Tell whether `run_workers` has started this process, whose parent then says what is said."""
    return "LABKIT_WORKER" in os.environ


def run_workers(workers: int) -> None:
    """Run this very command in so many processes, which share processors and GPUs.

    The k-th worker has the k-th GPU. Raises ChildProcessError, when all have ended, if one failed.
    """
    import torch  # here: commands that start no worker do without it

    threads = max(1, torch.get_num_threads() // workers)
    all_gpus = ",".join(map(str, range(torch.cuda.device_count())))
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", all_gpus).split(",")
    command = [sys.executable, "-m", "labkit.cli", *sys.argv[1:], "--workers", "1"]
    processes = []
    try:
        for k in range(workers):
            own = {"LABKIT_WORKER": f"{k}", "LABKIT_WORKERS": f"{workers}"}
            own |= {"OMP_NUM_THREADS": f"{threads}", "CUDA_VISIBLE_DEVICES": gpus[k % len(gpus)]}
            processes.append(subprocess.Popen(command, env=os.environ | own))
        failed = sum(process.wait() != 0 for process in processes)
    except BaseException as error:
        # Ctrl-C comes without a signal's number, and the terminal has told all processes of it
        heard = isinstance(error, KeyboardInterrupt) and not error.args
        for process in processes if not heard else ():
            process.terminate()
        for process in processes:
            process.wait()
        raise
    if failed:
        ended = f"{failed} of {workers} workers failed (see above) or were stopped"
        raise ChildProcessError(f"{ended}. The same command goes on from here.")
