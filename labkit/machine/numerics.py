"""What the processor is told once, before any work: precision (fp32, or bf16 where that is faster), tiny numbers, memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import socket
import sys
import time
from pathlib import Path

import torch

from labkit.machine import files

# A gradient that vanishes over hundreds of words falls below 1e-38, where numbers lose their leading 1 and a processor takes
# up to a hundred times as long for each: an LSTM of 256 units, read at the last word, then trains ten times slower. Such
# numbers count as 0 here. Threads take this over when they are started, so it stands where it is done before any work.
torch.set_flush_denormal(True)

# Memory that a step has freed stays with this process for the next step. By default glibc gives it back at once, and the system
# then clears its pages again in every step: a quarter of the time of an LSTM on digits. Blocks of 32 MiB and more do go back:
# batches of texts are of many lengths, and what was kept of them grew to 8 GB.
if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):  # not with other C libraries
    _MAP_FROM, _TRIM_ABOVE, _ASK_FOR = (
        -3,
        -1,
        -2,
    )  # mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD
    for _what, _value in ((_MAP_FROM, 2**25), (_TRIM_ABOVE, 2**31 - 1), (_ASK_FOR, 2**26)):
        ctypes.CDLL(None).mallopt(_what, _value)

# On a GPU: the same bits in every run. TF32, which rounds inputs to 10 bits, is off, so that fp32 means fp32.
if torch.cuda.is_available():
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # older versions of PyTorch want it
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a help in debugging, and slow
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
        torch.backends.cudnn.benchmark
    ) = False


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a model computes: in bf16 what torch holds safe in it, or all in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def choose(memory: Path) -> str:
    """Return `bf16` where that pays, else `fp32`: what this machine was found to be faster with the first time.

    memory: a file that keeps the choice, by machine and PyTorch. A timing near the threshold could go either way, and the
    same command would then be another run.
    """
    if not _has_bf16():
        return "fp32"
    machine = f"{socket.gethostname()}, torch {torch.__version__}"
    chosen = files.read_json(memory, damaged_is_absent=True) or {}
    if machine not in chosen:
        chosen[machine] = "bf16" if bf16_pays() else "fp32"
        with contextlib.suppress(OSError):  # a folder that is only lent
            memory.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(
                memory, lambda partial: partial.write_text(json.dumps(chosen), encoding="utf-8")
            )
    return chosen[machine]


def _has_bf16() -> bool:
    """Tell whether the processor has instructions for bf16."""
    probes = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(probe() for probe in probes if probe)


@functools.cache
def bf16_pays() -> bool:
    """Tell whether this processor multiplies faster in bf16, and this PyTorch trains an LSTM in it.

    Instructions for bf16 are not enough: some processors have them and are half as fast with them as in fp32. So a large
    product is timed both ways, in turn and the best of five; bf16 must need less than two thirds of the time. What was
    chosen is a part of a run's settings. And some versions of PyTorch refuse to train an LSTM in bf16: only a try can tell.
    """
    if not _has_bf16():
        return False
    rounds = [
        (_seconds_of_product(torch.bfloat16), _seconds_of_product(torch.float32)) for _ in range(6)
    ]
    bf16, fp32 = map(min, zip(*rounds[1:], strict=True))  # the first round warms up
    if 1.5 * bf16 > fp32:
        return False
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.random.fork_rng(devices=[]):
            torch.nn.LSTM(8, 16, batch_first=True)(torch.randn(4, 5, 8))[0].sum().backward()
    except RuntimeError:
        return False
    return True


def _seconds_of_product(kind: torch.dtype) -> float:
    """Return the seconds that a product of two matrices (1024, 1024) takes."""
    matrix = torch.ones(1024, 1024, dtype=kind)
    started = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - started
