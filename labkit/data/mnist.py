"""MNIST as the lab uses it: a digit is 32 rows of 32 pixels, read from top to bottom.

Shapes: N digits, T = 32 rows, D = 32 pixels a row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torchvision.transforms.v2 import functional as image

from labkit.data import download, official, sample

CLASSES = tuple("0123456789")
SIZE = 32
MEAN, STD = 0.1307, 0.3081  # of the training pixels, scaled to [0, 1]


@dataclass(frozen=True)
class Split:
    """Some of the digits: images x (N, 32, 32), normalised, and labels y (N,).

    shift: each time a digit is asked for, it is moved by up to so many pixels, at random, each way.
    """

    x: Tensor
    y: Tensor
    shift: int = 0

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: str) -> Split:
        return replace(self, x=self.x.to(device), y=self.y.to(device))

    def order(self, batch_size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Return the indices of each batch: shuffled by `generator`, or in order without one."""
        index = (
            torch.arange(len(self))
            if generator is None
            else torch.randperm(len(self), generator=generator)
        )
        return list(index.to(self.y.device).split(batch_size))

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch (x, y) of these indices: x (B, 32, 32), y (B,)."""
        if not self.shift:
            return self.x[index], self.y[index]
        by = torch.randint(-self.shift, self.shift + 1, (2, len(index), 1)).to(index.device)
        rows, columns = (
            torch.arange(SIZE, device=index.device) + by
        ) % SIZE  # (B, 32) each; what leaves is blank paper
        return self.x[index[:, None, None], rows[:, :, None], columns[:, None, :]], self.y[index]


@dataclass(frozen=True)
class Digits:
    """The three parts, where they came from, and a SHA-256 of the edition."""

    train: Split
    validation: Split
    test: Split
    source: str
    sha256: str


def load(source: str = "official", num_examples: int | None = None, shift: int = 0) -> Digits:
    """Read the digits of `source`, official (downloaded if absent) or sample, using `num_examples` of the training part.

    shift: pixels by which training digits are moved about, at most.

    Raises DataError if the files are not what they should be.
    """
    sizes = official.NUM_EXAMPLES["mnist"][source]
    if source == "official":
        download.get("mnist")
        images, labels = (
            official.read_mnist("train-images-idx3-ubyte"),
            official.read_mnist("train-labels-idx1-ubyte"),
        )
        test = (
            official.read_mnist("t10k-images-idx3-ubyte"),
            official.read_mnist("t10k-labels-idx1-ubyte"),
        )
        # as the report: 80/20 at random
        order = torch.randperm(
            len(labels), generator=torch.Generator().manual_seed(official.SPLIT_SEED)
        ).numpy()
        train_index, validation_index = order[: sizes["train"]], order[sizes["train"] :]
    else:
        images, labels = sample.sample_mnist()
        rest, test_index = stratified(np.arange(len(labels)), labels, sizes["test"])
        train_index, validation_index = stratified(rest, labels[rest], sizes["validation"])
        test = images[test_index], labels[test_index]

    train_index = train_index[:num_examples]
    return Digits(
        train=replace(prepare(images[train_index], labels[train_index]), shift=shift),
        validation=prepare(images[validation_index], labels[validation_index]),
        test=prepare(*test),
        source=source,
        sha256=hashlib.sha256(
            b"".join(np.ascontiguousarray(part).tobytes() for part in (images, labels, *test))
        ).hexdigest(),
    )


def stratified(index: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut `size` indices off at random, each class in proportion; return (rest, cut)."""
    return tuple(
        train_test_split(index, test_size=size, stratify=labels, random_state=official.SPLIT_SEED)
    )


def prepare(images: np.ndarray, labels: np.ndarray) -> Split:
    """Resize images (N, 28, 28) of bytes to 32 × 32, scale to [0, 1] and normalise."""
    pixels = image.resize(
        torch.from_numpy(images.copy()).unsqueeze(1), [SIZE, SIZE], antialias=True
    ).squeeze(1)
    return Split((pixels / 255 - MEAN) / STD, torch.from_numpy(labels.astype(np.int64)))
