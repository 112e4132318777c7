"""Words: what counts as one, and the vocabulary that gives each an id.

`tokenize` is the only definition of a word: change it, and every review is read your way.
Shapes: N texts, W words in all of them, V different words.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PAD, UNKNOWN = 0, 1  # the ids of <pad> and <unk>


class _Kept(dict):
    """A table for str.translate: letters, digits, _ and white space stay, all else is dropped.

    It fills itself as characters are met, so a long text costs one look-up a character.
    """

    def __missing__(self, code: int) -> int | None:
        self[code] = code if re.match(r"[\w\s]", chr(code)) else None  # accents, Chinese: letters
        return self[code]


_KEPT = _Kept()


def tokenize(text: str) -> list[str]:
    """Return the words of a text: lower case, punctuation removed, split on white space."""
    return text.lower().translate(_KEPT).split()


@dataclass(frozen=True)
class Tokens:
    """The words of many texts, in one row of numbers: `kinds[tokens[k]]` is the k-th word."""

    tokens: Tensor  # (W,) int32
    lengths: Tensor  # (N,) words of each text
    kinds: list[str]  # (V,) the different words, in the order of first appearance


def tokenize_all(texts: Iterable[str]) -> Tokens:
    """Tokenise texts one by one; each different word is kept once, so that memory stays small."""
    number_of: dict[str, int] = defaultdict(lambda: len(number_of))  # a new word gets the next
    parts, lengths = [np.zeros(0, np.int32)], []
    for text in texts:
        words = tokenize(text)
        lengths.append(len(words))
        parts.append(np.fromiter(map(number_of.__getitem__, words), np.int32, len(words)))
    row = torch.from_numpy(np.concatenate(parts))
    return Tokens(row, torch.tensor(lengths, dtype=torch.int64), list(number_of))


class Vocabulary:
    """The words that have an id of their own; all others are <unk>."""

    def __init__(self, words: Sequence[str]):
        self.words = ["<pad>", "<unk>", *words]
        self.index = {word: k for k, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        return [self.index.get(token, UNKNOWN) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        return [self.words[k] for k in ids]


def build_vocabulary(reviews: Tokens, min_freq: int) -> Vocabulary:
    """Give an id to every word seen at least `min_freq` times, the most frequent first."""
    times = np.bincount(reviews.tokens.numpy(), minlength=len(reviews.kinds))
    counts = Counter(dict(zip(reviews.kinds, times.tolist(), strict=True)))
    return Vocabulary([word for word, count in counts.most_common() if count >= min_freq])
