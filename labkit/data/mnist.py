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
MEAN, STD = 0.1307, 0.3081  # of the training pixels, in [0, 1], at 28 × 28


@dataclass(frozen=True)
class Split:
    """Some of the digits: images x (N, 32, 32), normalised, and labels y (N,).

    shift: `batch` moves each digit anew, at random, by up to this many pixels along both axes.
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
        index = torch.arange(len(self))
        if generator:
            index = torch.randperm(len(self), generator=generator)
        return list(index.to(self.y.device).split(batch_size))

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch (x, y) of these indices: x (B, 32, 32), y (B,)."""
        if not self.shift:
            return self.x[index], self.y[index]
        by = torch.randint(-self.shift, self.shift + 1, (2, len(index), 1)).to(index.device)
        # what leaves on one side re-enters on the other: mostly blank paper, seldom ink
        places = (torch.arange(SIZE, device=index.device) + by) % SIZE
        rows, columns = places  # (B, 32) each
        return self.x[index[:, None, None], rows[:, :, None], columns[:, None, :]], self.y[index]


@dataclass(frozen=True)
class Digits:
    """The three parts, where they came from, and a SHA-256 of the edition."""

    train: Split
    validation: Split
    test: Split
    source: str
    sha256: str
    classes: tuple[str, ...] = CLASSES


def load(source: str = "official", num_examples: int | None = None, shift: int = 0) -> Digits:
    """Read the digits of `source`, official (downloaded if absent) or sample.

    num_examples: how many training digits, all if None; shift: the most pixels by which they are
    moved (see Split). Raises DataError if the files cannot be fetched or are wrong.
    """
    sizes = official.NUM_EXAMPLES["mnist"][source]
    if source == "official":
        download.get("mnist")
        images = official.read_mnist("train-images-idx3-ubyte")
        labels = official.read_mnist("train-labels-idx1-ubyte")
        test_images = official.read_mnist("t10k-images-idx3-ubyte")
        test_labels = official.read_mnist("t10k-labels-idx1-ubyte")
        generator = torch.Generator().manual_seed(official.SPLIT_SEED)
        order = torch.randperm(len(labels), generator=generator).numpy()  # as the report: 80/20
        train, validation = order[: sizes["train"]], order[sizes["train"] :]
    else:
        images, labels = sample.sample_mnist()
        rest, test = stratified(np.arange(len(labels)), labels, sizes["test"])
        train, validation = stratified(rest, labels[rest], sizes["validation"])
        test_images, test_labels = images[test], labels[test]

    train = train[:num_examples]
    edition = b"".join(part.tobytes() for part in (images, labels, test_images, test_labels))
    return Digits(
        train=replace(prepare(images[train], labels[train]), shift=shift),
        validation=prepare(images[validation], labels[validation]),
        test=prepare(test_images, test_labels),
        source=source,
        sha256=hashlib.sha256(edition).hexdigest(),
    )


def stratified(index: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut `size` indices off at random, each class in proportion; return (rest, cut)."""
    seed = official.SPLIT_SEED
    return tuple(train_test_split(index, test_size=size, stratify=labels, random_state=seed))


def prepare(images: np.ndarray, labels: np.ndarray) -> Split:
    """Resize images (N, 28, 28) of bytes to 32 × 32, scale to [0, 1] and normalise."""
    pixels = torch.from_numpy(images.copy()).unsqueeze(1)
    pixels = image.resize(pixels, [SIZE, SIZE], antialias=True).squeeze(1)
    return Split((pixels / 255 - MEAN) / STD, torch.from_numpy(labels.astype(np.int64)))
