"""SHA-256 of weights and data, and seeds drawn from names: the same whatever ran before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np
import torch
from torch import Tensor


def of(*values: object) -> str:
    """Return SHA-256 over tensors, texts, numbers, and whatever holds them, bit by bit."""
    digest = hashlib.sha256()
    for value in values:
        _add(digest, value)
    return digest.hexdigest()


def _add(digest, value: object) -> None:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        digest.update(f"{value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"{len(value)}\n".encode())
        for key in sorted(value):
            _add(digest, f"{key}")
            _add(digest, value[key])
    elif is_dataclass(value):
        _add(digest, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, (list, tuple)):
        digest.update(f"{len(value)}\n".encode())
        for part in value:
            _add(digest, part)
    elif isinstance(value, (str, int, float, bool, type(None), np.generic)):
        digest.update(f"{value!r}\n".encode())
    else:  # an object of the reader's own
        _add(digest, vars(value))


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Return SHA-256 over the names, shapes and bytes of all weights, ordered by name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def seed(number: int, purpose: str, epoch: int) -> int:
    """Return a seed for one purpose in one epoch: nothing depends on what was drawn before."""
    return int.from_bytes(
        hashlib.sha256(f"{number} {purpose} {epoch}".encode()).digest()[:7], "big"
    )
