"""IMDb reviews as the lab uses them: words to indices, padded batches, and a vocabulary.

Shapes: N reviews, B of them in a batch, T words in the longest of a batch.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from labkit import downloads, sources

CLASSES = ("negative", "positive")
PAD, UNKNOWN = 0, 1  # the indices of <pad> and <unk>
_PUNCTUATION = re.compile(r"[^\w\s]")  # Python's Unicode meaning: accents and Chinese are letters


def tokenize(text: str) -> list[str]:
    """Return the words of a text: lower case, punctuation removed, split on white space."""
    return _PUNCTUATION.sub("", text.lower()).split()


class Vocabulary:
    """The words that have an index of their own; all others are <unk>."""

    def __init__(self, words: Sequence[str]):
        self.words = ["<pad>", "<unk>", *words]
        self.index = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        return [self.index.get(token, UNKNOWN) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        return [self.words[number] for number in ids]


def build_vocabulary(reviews: Iterable[Sequence[str]], min_freq: int) -> Vocabulary:
    """Give an index to every word seen at least `min_freq` times in tokenised reviews, the most frequent first."""
    counts = Counter()
    for tokens in reviews:
        counts.update(tokens)
    return Vocabulary([word for word, count in counts.most_common() if count >= min_freq])


@dataclass(frozen=True)
class Split:
    """Some of the reviews: all their words in one row, where each review starts and how long it is, and labels y (N,)."""

    ids: Tensor  # (words of all reviews,)
    starts: Tensor  # (N,)
    lengths: Tensor  # (N,) words, at least 1
    y: Tensor  # (N,) 0 negative, 1 positive
    texts: tuple[str, ...] = field(repr=False)  # uncut, for the linear baseline; never printed by accident
    width: int  # words a batch is padded to; 0: to its own longest review

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: str) -> Split:
        moved = (tensor.to(device) for tensor in (self.ids, self.starts, self.lengths, self.y))
        return Split(*moved, self.texts, self.width)

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
        place = torch.where(real, self.starts[index, None] + position, 0)
        return torch.where(real, self.ids[place], PAD), lengths, self.y[index]


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
    pad_to_max_len: bool = False,
) -> Reviews:
    """Read the reviews of `source`, official (downloaded if absent) or sample, and encode them.

    The vocabulary is that of the whole training part, whatever `num_examples` of it are in use;
    `num_test` takes a fixed stratified part of the test reviews. Raises DataError for files that are not right.
    """
    sizes = sources.NUM_EXAMPLES["02_imdb"][source]
    if source == "official":
        downloads.get("02_imdb")
        (texts, labels), (test_texts, test_labels) = sources.read_imdb("train"), sources.read_imdb("test")
        train_index, validation_index = cut(np.arange(len(texts)), texts, labels, sizes["validation"])
    else:
        texts, labels = sources.sample_imdb()
        rest, test_index = cut(np.arange(len(texts)), texts, labels, sizes["test"])
        train_index, validation_index = cut(rest, texts, labels, sizes["validation"])
        test_texts, test_labels = [texts[k] for k in test_index], labels[test_index]

    vocabulary = build_vocabulary((tokenize(texts[k]) for k in train_index), min_freq)
    width = max_len if pad_to_max_len else 0
    test_used = np.arange(len(test_texts))
    if num_test is not None and num_test < len(test_used):
        _, test_used = train_test_split(test_used, test_size=num_test, stratify=test_labels, random_state=sources.SPLIT_SEED)

    def split(texts: Sequence[str], labels: np.ndarray, index: np.ndarray) -> Split:
        chosen = tuple(texts[k] for k in index)
        return encode(chosen, labels[index], vocabulary, max_len, width)

    return Reviews(
        train=split(texts, labels, train_index[:num_examples]),
        validation=split(texts, labels, validation_index),
        test=split(test_texts, test_labels, test_used),
        vocabulary=vocabulary,
        source=source,
        sha256=hashlib.sha256((edition(texts, labels) + edition(test_texts, test_labels)).encode()).hexdigest(),
    )


def cut(index: np.ndarray, texts: Sequence[str], labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut `size` reviews off at random, each class in proportion; return (rest, cut), both shuffled.

    A text that stands twice is never cut off, so that equal texts stay on the same side.
    """
    times = Counter(texts[k] for k in index)
    single = np.array([times[texts[k]] == 1 for k in index])
    kept, cut_off = train_test_split(
        index[single], test_size=size, stratify=labels[index[single]], random_state=sources.SPLIT_SEED
    )
    rest = np.concatenate([kept, index[~single]])
    return np.random.default_rng(sources.SPLIT_SEED).permutation(rest), cut_off


def encode(texts: Sequence[str], labels: np.ndarray, vocabulary: Vocabulary, max_len: int, width: int = 0) -> Split:
    """Turn texts into indices, each cut to its first `max_len` words; a text without a word becomes one <unk>."""
    encoded = [vocabulary.encode(tokenize(text)[:max_len]) or [UNKNOWN] for text in texts]
    lengths = torch.tensor([len(ids) for ids in encoded])
    return Split(
        ids=torch.tensor([number for ids in encoded for number in ids]),
        starts=lengths.cumsum(0) - lengths,
        lengths=lengths,
        y=torch.from_numpy(labels.astype(np.int64)),
        texts=tuple(texts),
        width=width,
    )


def edition(texts: Sequence[str], labels: np.ndarray) -> str:
    """Name an edition whatever its order: SHA-256 over the sorted SHA-256 of each label and text."""
    rows = sorted(hashlib.sha256(bytes([label]) + text.encode()).digest() for text, label in zip(texts, labels, strict=True))
    return hashlib.sha256(b"".join(rows)).hexdigest()
