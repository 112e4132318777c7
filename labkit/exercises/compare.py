"""Two results side by side: whether they agree, by how much they differ, and how they look."""

from __future__ import annotations

import unicodedata
from numbers import Number

import numpy as np
import torch
from torch import Tensor, nn

from labkit.language import asked, word

LINE = "exact: {exact} · to {at:g}, relative or absolute: {near} · largest difference: {most}"


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
    """Return one line: equal exactly and, of decimals, to the tolerance, and by how much not."""
    a, b = _flat(yours), _flat(ours)
    if listed(yours, ours, tolerance):
        return word("The values agree, but one is a list where the other is a tensor.", asked())
    if len(a) != len(b):
        return word("Number of values: yours {a}, ours {b}.", asked()).format(a=len(a), b=len(b))
    if [_kind(value) for value in a] != [_kind(value) for value in b]:
        return word("The shapes differ, or the types.", asked())
    exact, near = (word("yes" if same(yours, ours, at) else "no", asked()) for at in (0, tolerance))
    both = [map(torch.as_tensor, p) for p in zip(a, b, strict=True) if all(map(_is_numeric, p))]
    pairs = [(x, y) for x, y in both if torch.result_type(x, y).is_floating_point]
    if not pairs:  # words, ids and counts are right or wrong: a distance would say nothing
        return word("exact: {exact}", asked()).format(exact=exact)
    apart = [(_numbers(x) - _numbers(y)).abs().max() for x, y in pairs if x.numel()]
    largest = max(map(float, apart), default=0.0)
    return word(LINE, asked()).format(exact=exact, at=tolerance, near=near, most=f"{largest:.2g}")


def listed(yours: list, ours: list, tolerance: float) -> bool:
    """Return whether the numbers agree, but some are in a list where the other has a tensor."""
    a, b = [[x.tolist() if isinstance(x, Tensor) else x for x in _flat(v)] for v in (yours, ours)]
    return len(a) != len(b) and same(_flat(a), _flat(b), tolerance)


def table(rows: dict) -> str:
    """Return one line a value: its name, its shape or type, and its numbers if they are few."""
    widest = max(map(_width, rows), default=0)
    lines = [f"{name}{' ' * (widest - _width(name))}  {_shown(v)}" for name, v in rows.items()]
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


def _shown(value) -> str:
    """Return a value as Python writes it: twelve parts at most, the shape before a tensor."""
    if isinstance(value, dict):
        (left, right), parts = "{}", [f"{_shown(k)}: {_shown(part)}" for k, part in value.items()]
    elif isinstance(value, (list, tuple)):
        left, right = "[]" if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        parts = [_shown(part) for part in value]
    else:
        return f"{_kind(value)} {_few(value)}".strip()
    return left + ", ".join(parts[:12] + ["…"] * (len(parts) > 12)) + right


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
