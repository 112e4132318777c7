"""Several processes of the same command on one machine."""

from __future__ import annotations

import os
import subprocess
import sys

import torch


def run_workers(arguments: list[str], workers: int) -> None:
    """Run `labkit` with these arguments in so many processes: they share the processors, and each has a GPU of its own, if any.

    A worker's GPU is chosen by its index. Raises RuntimeError, when all have ended, if one has failed.
    """
    threads = max(1, torch.get_num_threads() // workers)
    gpus = os.environ.get(
        "CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))
    ).split(",")
    processes = []
    try:
        for k in range(workers):
            own = {
                "LABKIT_WORKER": f"{k}",
                "OMP_NUM_THREADS": f"{threads}",
                "CUDA_VISIBLE_DEVICES": gpus[k % len(gpus)],
            }
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "labkit.cli", *arguments], env=os.environ | own
                )
            )
        failed = sum(process.wait() != 0 for process in processes)
    except BaseException as error:
        heard = (
            isinstance(error, KeyboardInterrupt) and not error.args
        )  # Ctrl-C, which the terminal has told all of them
        for process in processes:
            if not heard:
                process.terminate()
        for process in processes:
            process.wait()
        raise
    if failed:
        raise RuntimeError(
            f"{failed} of {workers} workers failed: see above. The same command goes on from here."
        )
