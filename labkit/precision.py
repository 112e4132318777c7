"""Precision: fp32, or bf16 where the processor has instructions for it; and what is too small to count."""

from __future__ import annotations

import functools

import torch

# A gradient that vanishes over hundreds of words falls below 1e-38, where numbers lose their leading 1 and a processor takes
# up to a hundred times as long for each: an LSTM of 256 units, read at the last word, then trains ten times slower. Such
# numbers count as 0 here. Threads take this over when they are started, so it stands where it is done before any work.
torch.set_flush_denormal(True)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a model computes: in bf16 what torch holds safe in it, or all in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@functools.cache
def bf16_pays() -> bool:
    """Tell whether this processor multiplies in bf16 and this PyTorch trains an LSTM in it.

    Without such instructions (AVX512-BF16, AMX) bf16 is emulated and twice as slow as fp32. With them some
    versions of PyTorch still refuse an LSTM, which only a try can tell.
    """
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    if not any(probe() for probe in probes if probe):
        return False
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.random.fork_rng(devices=[]):
            torch.nn.LSTM(8, 16, batch_first=True)(torch.randn(4, 5, 8))[0].sum().backward()
    except RuntimeError:
        return False
    return True
