"""IMDb reviews as the lab uses them: the parts, encoded reviews and padded batches.

Shapes: N reviews, B of them in a batch, T words in the longest of a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from labkit.data import download, official, sample
from labkit.data.words import PAD, UNKNOWN, Tokens, Vocabulary, build_vocabulary, tokenize_all

CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class Split:
    """Some of the reviews: all their words in one row, where each starts, its length and label."""

    ids: Tensor  # (words of all reviews and one <unk>,) int32
    starts: Tensor  # (N,)
    num_words: Tensor  # (N,) of the whole review
    lengths: Tensor  # (N,) words that are read, at least 1
    y: Tensor  # (N,) 0 negative, 1 positive
    texts: tuple[str, ...] = field(repr=False)  # for the linear baseline; never printed by accident
    tail: int  # words read from the end of a review that is too long; the rest from its beginning
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
        """Return the batch of these indices: ids (B, T) padded at the end, lengths (B,), y (B,)."""
        lengths = self.lengths[index]
        position = torch.arange(self.width or int(lengths.max()), device=index.device)  # (T,)
        real = position < lengths[:, None]  # (B, T)
        left_out = (self.num_words[index] - lengths)[:, None]  # (B, 1)
        behind = position >= lengths[:, None] - self.tail  # the words after the gap
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
    classes: tuple[str, ...] = CLASSES


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

    The vocabulary is that of the whole training part, even if only `num_examples` of it are used;
    `num_test` takes a fixed stratified part of the test reviews. Of a review longer than `max_len`
    words only that many are read, the share `tail` from its end and the rest from its beginning;
    `pad_to_max_len` pads every batch to `max_len`. Raises DataError for files that are not right.
    """
    sizes = official.NUM_EXAMPLES["imdb"][source]
    if source == "official":
        download.get("imdb")
        texts, labels = official.read_imdb("train")
        test_texts, test_labels = official.read_imdb("test")
        if said := official.describe_imdb(texts, labels, test_texts, test_labels):
            print(f"Data: {said}.")
        everything = np.arange(len(texts))
        train, validation = cut(everything, texts, labels, sizes["validation"])
        test = np.arange(len(test_texts))
    else:
        texts, labels = sample.sample_imdb()
        test_texts, test_labels = texts, labels
        rest, test = cut(np.arange(len(texts)), texts, labels, sizes["test"])
        train, validation = cut(rest, texts, labels, sizes["validation"])
    if num_test is not None and num_test < len(test):
        _, test = train_test_split(
            test, test_size=num_test, stratify=test_labels[test], random_state=official.SPLIT_SEED
        )

    train_tokens = tokenize_all(texts[k] for k in train)
    vocabulary = build_vocabulary(train_tokens, min_freq)
    reading = (vocabulary, max_len, round(tail * max_len), max_len if pad_to_max_len else 0)
    train, train_texts = train[:num_examples], tuple(texts[k] for k in train[:num_examples])
    return Reviews(
        train=encode(train_texts, labels[train], *reading, train_tokens),
        validation=encode([texts[k] for k in validation], labels[validation], *reading),
        test=encode([test_texts[k] for k in test], test_labels[test], *reading),
        vocabulary=vocabulary,
        source=source,
        sha256=official.edition(texts, labels, test_texts, test_labels),
    )


def cut(
    index: np.ndarray, texts: Sequence[str], labels: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut `size` reviews off at random, each class in proportion; return (rest, cut), shuffled.

    A duplicate is never cut off, so that equal texts stay on the same side.
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
    tokens: Tokens | None = None,
) -> Split:
    """Turn texts and labels (N,) into a Split; a text without a word becomes one <unk>.

    max_len, tail: how many words of a longer text are read, in all and from its end. width: as in
    Split. tokens: those of `texts`, if known already, and perhaps of further texts after them.
    """
    tokens = tokens or tokenize_all(texts)
    id_of = torch.tensor(vocabulary.encode(tokens.kinds), dtype=torch.int32)
    num_words = tokens.lengths[: len(texts)]
    ids = id_of[tokens.tokens[: num_words.sum()]]
    ids = torch.cat([ids, torch.tensor([UNKNOWN]).int()])  # the last, for texts without a word
    starts = torch.where(num_words > 0, num_words.cumsum(0) - num_words, len(ids) - 1)
    num_words = num_words.clamp(min=1)
    y = torch.from_numpy(labels.astype(np.int64))
    lengths = num_words.clamp(max=max_len)
    return Split(ids, starts, num_words, lengths, y, tuple(texts), tail, width)
