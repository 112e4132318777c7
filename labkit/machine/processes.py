"""Several processes of the same command on one machine."""

from __future__ import annotations

import os
import subprocess
import sys


def run_workers(arguments: list[str], workers: int) -> None:
    """Run `labkit` with these arguments in so many processes, which share processors and GPUs.

    The k-th worker has the k-th GPU. Raises RuntimeError, when all have ended, if one has failed.
    """
    import torch  # here: commands that start no worker do without it

    threads = max(1, torch.get_num_threads() // workers)
    all_gpus = ",".join(map(str, range(torch.cuda.device_count())))
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", all_gpus).split(",")
    command = [sys.executable, "-m", "labkit.cli", *arguments]
    processes = []
    try:
        for k in range(workers):
            own = {"LABKIT_WORKER": f"{k}", "LABKIT_WORKERS": f"{workers}"}
            own |= {"OMP_NUM_THREADS": f"{threads}"}
            own |= {"CUDA_VISIBLE_DEVICES": gpus[k % len(gpus)]}
            processes.append(subprocess.Popen(command, env=os.environ | own))
        failed = sum(process.wait() != 0 for process in processes)
    except BaseException as error:
        # Ctrl-C comes without a signal's number, and the terminal has told all processes of it
        heard = isinstance(error, KeyboardInterrupt) and not error.args
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
