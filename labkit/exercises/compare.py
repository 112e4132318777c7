"""Two results side by side: whether they agree, by how much they differ, and how they look."""

from __future__ import annotations

import unicodedata
from numbers import Number

import numpy as np
import torch
from torch import Tensor, nn

from labkit.language import asked, word


def same(a, b, tolerance: float) -> bool:
    """Return whether two results agree: numbers to a tolerance, errors in kind and message."""
    if isinstance(a, Exception) or isinstance(b, Exception):
        return type(a) is type(b) and str(a) == str(b)
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        return same(a.state_dict(), b.state_dict(), tolerance)
    if _is_numeric(a) and _is_numeric(b):
        a, b = _numbers(a), _numbers(b)
        return a.shape == b.shape and torch.allclose(a, b, tolerance, tolerance, equal_nan=True)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b, [tolerance] * len(a)))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key], tolerance) for key in a)
    return type(a) is type(b) and a == b


def differences(yours: list, ours: list, tolerance: float) -> str:
    """Return one line: equal exactly, equal to the tolerance, and the largest difference."""
    a, b = _flat(yours), _flat(ours)
    if [_kind(value) for value in a] != [_kind(value) for value in b]:
        return word("The shapes differ, or the kinds.", asked())
    exact, near = (word("yes" if same(yours, ours, at) else "no", asked()) for at in (0, tolerance))
    both = [pair for pair in zip(a, b, strict=True) if all(map(_is_numeric, pair))]
    pairs = [(_numbers(x), _numbers(y)) for x, y in both]
    largest = max((float((x - y).abs().max()) for x, y in pairs if x.numel()), default=0.0)
    line = word("exact: {exact} · to {tolerance:g}: {near} · largest difference: {most}", asked())
    return line.format(exact=exact, tolerance=tolerance, near=near, most=f"{largest:.2g}")


def table(rows: dict) -> str:
    """Return one line a value: its name, its shape or type, and its numbers if they are few."""
    widest = max(map(_width, rows), default=0)
    lines = []
    for name, value in rows.items():
        parts = _flat(value)
        shown = ", ".join(f"{_kind(part)} {_few(part)}".strip() for part in parts[:12])
        space = " " * (widest - _width(name))
        lines.append(f"{name}{space}  {shown}{' …' if len(parts) > 12 else ''}")
    return "\n".join(["```", *lines, "```"])


def _width(name: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def _flat(value) -> list:
    """Return the parts of nested lists, tuples and dictionaries, in order."""
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if not isinstance(value, (list, tuple)):
        return [value]
    return [leaf for part in value for leaf in _flat(part)]


def _is_numeric(value) -> bool:
    return isinstance(value, (Tensor, np.ndarray, Number))


def _numbers(value) -> Tensor:
    return torch.as_tensor(value).detach().double()


def _kind(value) -> str:
    if isinstance(value, (Tensor, np.ndarray)) and np.shape(value):
        return str(tuple(value.shape))
    return "" if _is_numeric(value) or isinstance(value, str) else type(value).__name__


def _few(value) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        numbers = np.asarray(torch.as_tensor(value).detach())
        numbers = numbers.astype(float).round(4) if numbers.dtype.kind == "f" else numbers
        return str(numbers.tolist()) if numbers.size <= 12 else "…"
    return repr(value) if isinstance(value, (str, Number)) else ""
