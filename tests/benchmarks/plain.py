"""The plain loops that a first course writes, with a Dataset, a DataLoader and `.item()`.

They run in a process of their own, so that nothing labkit sets for its process (denormal numbers
count as 0) helps them. Each line that is read is a piece of work as JSON; the answer is "done".
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from labkit.data import official

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Digits(datasets.MNIST):
    """torchvision's own MNIST, given the images; it changes one each time it is asked for."""

    change = transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.ToTensor(),
            transforms.Normalize((0.1307,), (0.3081,)),
        ]
    )

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.data, self.targets = torch.tensor(images), torch.tensor(labels, dtype=torch.int64)
        self.transform, self.target_transform = self.change, None

    def __getitem__(self, k: int):
        image, label = super().__getitem__(k)
        return image.squeeze(0), label


def words(text: str) -> list[str]:
    """The report's tokeniser."""
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s]", "", text.lower())).strip().split()


def vocabulary(reviews: Iterable[list[str]], min_freq: int = 10) -> dict[str, int]:
    """Number the words that stand in the reviews often enough."""
    counts = Counter()
    for tokens in reviews:
        counts.update(tokens)
    known = [word for word, count in counts.most_common() if count >= min_freq]
    return {word: number for number, word in enumerate(["<pad>", "<unk>", *known])}


class Reviews(Dataset):
    """Texts, tokenised, cut and padded to 500 words each time they are asked for."""

    def __init__(
        self, texts: list[str], labels: np.ndarray, index: dict[str, int], max_len: int = 500
    ):
        self.texts, self.labels, self.index, self.max_len = texts, labels, index, max_len

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, k: int):
        ids = [self.index.get(word, 1) for word in words(self.texts[k])[: self.max_len]] or [1]
        return torch.tensor(ids + [0] * (self.max_len - len(ids))), len(ids), int(self.labels[k])


class LeNet(nn.Sequential):
    """The report's LeNet, layer after layer."""

    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (1, 32)),
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(576, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )


class Sequence(nn.Module):
    """Rows of a digit → PyTorch's recurrent layers → the last step → linear."""

    def __init__(self, cell: str):
        super().__init__()
        self.rnn = getattr(nn, cell)(32, 128, 2, batch_first=True, dropout=0.3)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Text(nn.Module):
    """Words → embedding → PyTorch's recurrent layers → the last real word → linear."""

    def __init__(self, cell: str, size: int):
        super().__init__()
        self.embedding = nn.Embedding(size, 100, padding_idx=0)
        self.rnn = getattr(nn, cell)(100, 256, 2, batch_first=True, dropout=0.5)
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(256, 1)

    def forward(self, ids, lengths):
        states = self.rnn(self.dropout(self.embedding(ids)))[0]
        return self.head(self.dropout(states[torch.arange(len(ids)), lengths - 1])).squeeze(1)


def train(
    model: nn.Module, data: Dataset, criterion: nn.Module, batches: int | None = None
) -> None:
    """Train over so many random batches of 64 (None: an epoch), as the original report does."""
    loader = DataLoader(data, batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    total = correct = 0
    for *inputs, y in islice(loader, batches):
        inputs, y = [part.to(DEVICE) for part in inputs], y.to(DEVICE)
        logits = model(*inputs)
        loss = criterion(logits, y.to(logits.dtype) if logits.dim() == 1 else y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
        correct += (predictions(logits) == y).sum().item()


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Dataset, criterion: nn.Module, batches: int | None = None
) -> None:
    """Score so many batches of 64 (None: all)."""
    model.eval()
    total = correct = 0
    for *inputs, y in islice(DataLoader(data, batch_size=64), batches):
        logits, y = model(*(part.to(DEVICE) for part in inputs)), y.to(DEVICE)
        total += criterion(logits, y.to(logits.dtype) if logits.dim() == 1 else y).item() * len(y)
        correct += (predictions(logits) == y).sum().item()


def predictions(logits: torch.Tensor) -> torch.Tensor:
    return (logits > 0).long() if logits.dim() == 1 else logits.argmax(1)


@functools.cache
def digits(part: str) -> Digits:
    return Digits(
        official.read_mnist(f"{part}-images-idx3-ubyte"),
        official.read_mnist(f"{part}-labels-idx1-ubyte"),
    )


@functools.cache
def reviews(part: str) -> Reviews:
    texts, labels = official.read_imdb(part)
    index = vocabulary(map(words, texts)) if part == "train" else reviews("train").index
    return Reviews(texts, labels, index)


def model(name: str) -> nn.Module:
    """Return the model of that name for digits."""
    return LeNet() if name == "LeNet" else Sequence(name)


@functools.cache
def net(task: str, name: str) -> nn.Module:
    """Return the model of a piece of work, made once."""
    return (Text(name, len(reviews("train").index)) if task == "imdb" else model(name)).to(DEVICE)


def main() -> None:
    torch.set_flush_denormal("flush" in sys.argv[1:])  # without it, as PyTorch starts
    for line in sys.stdin:
        work, task, name, batches = json.loads(line)
        criterion = nn.BCEWithLogitsLoss() if task == "imdb" else nn.CrossEntropyLoss()
        if work == "train":
            train(
                net(task, name),
                reviews("train") if task == "imdb" else digits("train"),
                criterion,
                batches,
            )
        else:
            evaluate(
                net(task, name),
                reviews("test") if task == "imdb" else digits("t10k"),
                criterion,
                batches,
            )
        print("done", flush=True)


if __name__ == "__main__":
    main()
