"""What the processor is told: denormal numbers, memory, and on a GPU the same bits in every run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

import torch

# A gradient that vanishes over hundreds of words falls below 1e-38. Such denormal numbers cost a
# processor up to a hundred times as long: an LSTM of 256 units, read at the last word, then trains
# ten times slower. They count as 0 here. Threads take this over when they start, so it is said
# before any work.
torch.set_flush_denormal(True)

# Memory that a step has freed stays with this process for the next step. By default glibc gives it
# back at once, and the system then clears its pages again in every step: a quarter of the time of
# an LSTM on digits. Blocks of 32 MiB and more do go back: batches of texts are of many lengths, and
# what was kept of them grew to 8 GB.
if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):  # not with other C libraries
    _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD = -3, -1, -2  # mallopt(3)
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**25)
    ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    ctypes.CDLL(None).mallopt(_M_TOP_PAD, 2**26)


@contextlib.contextmanager
def deterministic(device: str) -> Iterator[None]:
    """Compute the same bits in every run on a GPU, as a CPU does; afterwards all is as before.

    TF32, which rounds inputs to 10 bits, is off, so that fp32 means fp32.
    """
    if not device.startswith("cuda"):
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # older versions of PyTorch want it
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled()
    tf32 = matmul.allow_tf32
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a help in debugging, and slow
    matmul.allow_tf32 = False
    try:
        with cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
        matmul.allow_tf32 = tf32


def bf16_works() -> bool:
    """Tell whether this processor and this PyTorch train an LSTM in bf16: only a try can tell."""
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.random.fork_rng(devices=[]):
            torch.nn.LSTM(8, 16, batch_first=True)(torch.randn(4, 5, 8))[0].sum().backward()
    except RuntimeError:
        return False
    return True


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a model computes: fp32, or `bf16` where torch holds that safe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
