"""IMDb reviews as the lab uses them: the parts, encoded reviews and padded batches.

Shapes: N reviews, B of them in a batch, T words in the longest of a batch.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from labkit.data import download, official, sample
from labkit.data.words import PAD, UNKNOWN, Numbered, Vocabulary, count_vocabulary, number, store

CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class Split:
    """Some of the reviews: all their words in one row, where each review starts, how long it is, and labels y (N,)."""

    ids: Tensor  # (words of all reviews,) int32
    starts: Tensor  # (N,)
    num_words: Tensor  # (N,) of the whole review
    lengths: Tensor  # (N,) words that are read, at least 1
    y: Tensor  # (N,) 0 negative, 1 positive
    texts: tuple[str, ...] = field(repr=False)  # for the linear baseline; never printed by accident
    tail: int  # words read from the end of a review that is too long; the rest of `lengths` from its beginning
    width: int  # words a batch is padded to; 0: to its own longest review

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: str) -> Split:
        names = ("ids", "starts", "num_words", "lengths", "y")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def order(self, batch_size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Return the indices of each batch: shuffled by `generator`, or by length without one.

        Reviews of like length share a batch, so that little of it is padding: shuffle, sort every
        50 batches by length, cut, and shuffle the batches. At a fixed width it is a plain shuffle.
        """
        device = self.y.device
        if generator is None:
            return list(self.lengths.argsort(stable=True).split(batch_size))
        index = torch.randperm(len(self), generator=generator)
        if self.width:
            return list(index.to(device).split(batch_size))
        lengths = self.lengths.cpu()
        pools = [pool[lengths[pool].argsort(stable=True)] for pool in index.split(50 * batch_size)]
        batches = [batch for pool in pools for batch in pool.split(batch_size)]
        return [batches[k].to(device) for k in torch.randperm(len(batches), generator=generator)]

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the batch (ids, lengths, y) of these indices: ids (B, T) padded at the end with 0, lengths (B,), y (B,)."""
        lengths = self.lengths[index]
        position = torch.arange(self.width or int(lengths.max()), device=index.device)  # (T,)
        real = position < lengths[:, None]  # (B, T)
        left_out = (self.num_words[index] - lengths)[:, None]  # (B, 1)
        behind = position >= lengths[:, None] - self.tail  # the gap, if words are left out
        place = self.starts[index, None] + position + left_out * behind
        ids = self.ids[torch.where(real, place, 0)].long()
        return torch.where(real, ids, PAD), lengths, self.y[index]


@dataclass(frozen=True)
class Reviews:
    """The three parts, the vocabulary, where they came from, and a SHA-256 of the edition."""

    train: Split
    validation: Split
    test: Split
    vocabulary: Vocabulary
    source: str
    sha256: str


def load(
    source: str = "official",
    num_examples: int | None = None,
    num_test: int | None = None,
    max_len: int = 500,
    min_freq: int = 10,
    tail: float = 0.0,
    pad_to_max_len: bool = False,
) -> Reviews:
    """Read the reviews of `source`, official (downloaded if absent) or sample, and encode them.

    The vocabulary is that of the whole training part, whatever `num_examples` of it are in use;
    `num_test` takes a fixed stratified part of the test reviews. Of a review longer than `max_len` words so many
    are read, the share `tail` of them from its end and the rest from its beginning. Raises DataError for files
    that are not right.
    """
    sizes = official.NUM_EXAMPLES["imdb"][source]
    if source == "official":
        download.get("imdb")
        (texts, labels), (test_texts, test_labels) = (
            official.read_imdb("train"),
            official.read_imdb("test"),
        )
        train_index, validation_index = cut(
            np.arange(len(texts)), texts, labels, sizes["validation"]
        )
    else:
        texts, labels = sample.sample_imdb()
        rest, test_index = cut(np.arange(len(texts)), texts, labels, sizes["test"])
        train_index, validation_index = cut(rest, texts, labels, sizes["validation"])
        test_texts, test_labels = [texts[k] for k in test_index], labels[test_index]

    test_used = np.arange(len(test_texts))
    if num_test is not None and num_test < len(test_used):
        _, test_used = train_test_split(
            test_used, test_size=num_test, stratify=test_labels, random_state=official.SPLIT_SEED
        )
    train = number(texts[k] for k in train_index)
    vocabulary = count_vocabulary(train, min_freq)
    from_end, width = round(tail * max_len), max_len if pad_to_max_len else 0

    def split(
        texts: Sequence[str],
        labels: np.ndarray,
        index: np.ndarray,
        numbered: Numbered | None = None,
    ) -> Split:
        chosen = tuple(texts[k] for k in index)
        numbered = numbered or number(chosen)
        return encode_numbered(
            numbered, labels[index], vocabulary, max_len, from_end, width, chosen
        )

    return Reviews(
        train=split(texts, labels, train_index[:num_examples], train),
        validation=split(texts, labels, validation_index),
        test=split(test_texts, test_labels, test_used),
        vocabulary=vocabulary,
        source=source,
        sha256=hashlib.sha256(
            (edition(texts, labels) + edition(test_texts, test_labels)).encode()
        ).hexdigest(),
    )


def cut(
    index: np.ndarray, texts: Sequence[str], labels: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut `size` reviews off at random, each class in proportion; return (rest, cut), both shuffled.

    A text that stands twice is never cut off, so that equal texts stay on the same side.
    """
    times = Counter(texts[k] for k in index)
    single = np.array([times[texts[k]] == 1 for k in index])
    kept, cut_off = train_test_split(
        index[single],
        test_size=size,
        stratify=labels[index[single]],
        random_state=official.SPLIT_SEED,
    )
    rest = np.concatenate([kept, index[~single]])
    return np.random.default_rng(official.SPLIT_SEED).permutation(rest), cut_off


def encode(
    texts: Sequence[str],
    labels: np.ndarray,
    vocabulary: Vocabulary,
    max_len: int,
    tail: int = 0,
    width: int = 0,
) -> Split:
    """Turn texts into indices, as `encode_numbered` does once their words have numbers."""
    return encode_numbered(number(texts), labels, vocabulary, max_len, tail, width, tuple(texts))


def encode_numbered(
    numbered: Numbered,
    labels: np.ndarray,
    vocabulary: Vocabulary,
    max_len: int,
    tail: int = 0,
    width: int = 0,
    texts: tuple[str, ...] = (),
    file: Path | None = None,
) -> Split:
    """Turn the first `len(labels)` of numbered texts into indices; a text without a word becomes one <unk>.

    max_len, tail: the words that are read of a longer text, in all and from its end. file: where the indices are
    written and then mapped into memory; None keeps them in memory.
    """
    index_of = torch.tensor(vocabulary.encode(numbered.words), dtype=torch.int32)
    num_words = numbered.lengths[: len(labels)]
    parts = numbered.numbers[: num_words.sum()].split(10_000_000)
    unknown = np.array([UNKNOWN], np.int32)  # at the end, for texts without a word
    ids = store(itertools.chain((index_of[part].numpy() for part in parts), [unknown]), file)
    starts = torch.where(num_words > 0, num_words.cumsum(0) - num_words, len(ids) - 1)
    num_words = num_words.clamp(min=1)
    y = torch.from_numpy(labels.astype(np.int64))
    return Split(ids, starts, num_words, num_words.clamp(max=max_len), y, texts, tail, width)


def edition(texts: Sequence[str], labels: np.ndarray) -> str:
    """Name an edition whatever its order: SHA-256 over the sorted SHA-256 of each label and text."""
    rows = sorted(
        hashlib.sha256(bytes([label]) + text.encode()).digest()
        for text, label in zip(texts, labels, strict=True)
    )
    return hashlib.sha256(b"".join(rows)).hexdigest()
