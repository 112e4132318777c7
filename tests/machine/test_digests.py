"""Digests: another one for every change that may change a number, and the same one otherwise."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from labkit.machine import digests

X = torch.arange(6, dtype=torch.float32).reshape(2, 3)


def one_bit(x):
    x = x.clone()
    x.view(torch.int32)[1, 2] ^= 1
    return x


DIFFERENT = {
    "one bit of a tensor": (X, one_bit(X)),
    "sign of a zero": (torch.tensor([0.0]), torch.tensor([-0.0])),
    "shape": (X, X.reshape(3, 2)),
    "shape of one value": (torch.tensor(1.0), torch.tensor([1.0])),
    "dtype, of the same bytes": (X, X.view(torch.int32)),
    "a name": ({"a": X, "b": X}, {"a": X, "c": X}),
    "values under their names": ({"a": X, "b": X + 1}, {"a": X + 1, "b": X}),
    "order": ([X, X + 1], [X + 1, X]),
    "order of texts": (("good", "bad"), ("bad", "good")),
    "where texts end": (("ab", "c"), ("a", "bc")),
    "a line in a text": ("a\nb", ("a", "b")),
    "depth of a name": ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}, "c": 2}),
    "depth of a list": ([[1], 2], [[1, 2]]),
    "last digit of a number": (0.1, 0.1 + 2**-56),
    "kind of a number": (1, 1.0),
    "a truth value": (True, 1),
    "a text of digits": ("1", 1),
    "nothing": (None, "None"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_every_change_gives_another_digest(what):
    one, other = DIFFERENT[what]
    assert digests.of(one) != digests.of(other)
    assert digests.of("before", one, "behind") != digests.of("before", other, "behind")


@dataclasses.dataclass
class Part:
    x: torch.Tensor
    texts: tuple[str, ...]


class Own:
    """A data set as a reader may write it."""

    def __init__(self, x):
        self.x = x


EQUAL = {
    "a copy": (X, X.clone()),
    "memory in another order": (X, X.t().contiguous().t()),
    "part of a larger tensor": (X, torch.cat([X, X])[:2]),
    "numpy": (X, X.numpy()),
    "with a gradient": (X, X.clone().requires_grad_()),
    "order in which names were given": ({"a": 1, "b": X}, {"b": X, "a": 1}),
    "list or tuple": ([1, "a"], (1, "a")),
    "fields": (Part(X, ("a", "b")), Part(X.clone(), ("a", "b"))),
    "a reader's own object": (Own(X), Own(X.clone())),
}


@pytest.mark.parametrize("what", EQUAL)
def test_the_same_values_give_the_same_digest(what):
    one, other = EQUAL[what]
    assert digests.of(one) == digests.of(other)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.bool, torch.int64, torch.float64])
def test_every_kind_of_tensor_has_a_digest(kind):
    x = torch.tensor([0, 1, 1]).to(kind)
    assert digests.of(x) != digests.of(x.flip(0)) and digests.of(x) == digests.of(x.clone())
    assert digests.of(x[:0]) != digests.of(x[:1])


@pytest.mark.parametrize("change", ["texts", "x", "attribute"])
def test_a_field_that_changes_is_seen(change):
    part, own = Part(X, ("a", "b")), Own(X)
    if change == "attribute":
        assert digests.of(own) != digests.of(Own(X + 1))
    else:
        other = {"texts": ("a", "b."), "x": X + 1}[change]
        assert digests.of(part) != digests.of(dataclasses.replace(part, **{change: other}))


def test_weights_by_hand():
    """Reference: hashlib over what the docstring says, name by name."""
    weights = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([[3]])}
    content = b"a torch.int64 (1, 1)\n" + np.array([3], "<i8").tobytes()
    content += b"b torch.float32 (2,)\n" + np.array([1, 2], "<f4").tobytes()
    assert digests.weights_sha256(weights) == hashlib.sha256(content).hexdigest()
    other = weights | {"b": torch.tensor([2.0, 1.0])}
    assert digests.weights_sha256(weights) != digests.weights_sha256(other)
    assert digests.weights_sha256(weights) == digests.weights_sha256(
        dict(reversed(weights.items()))
    )


def test_seeds_differ_by_number_purpose_and_epoch():
    seeds = [
        digests.seed(n, what, k) for n in (0, 1) for what in ("order", "dropout") for k in (1, 2)
    ]
    assert len(set(seeds)) == 8 and seeds[0] == digests.seed(0, "order", 1)
    expected = hashlib.sha256(b"0 order 1").digest()[:7]
    assert seeds[0] == int.from_bytes(expected, "big")
    assert all(0 <= seed < 2**63 for seed in seeds), "torch.manual_seed takes no larger one"
