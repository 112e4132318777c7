"""Words: what counts as one, in one text and in very many texts at once, and the vocabulary that gives them indices.

`tokenize` is the definition, `split` does the same for many texts with vector operations: all their bytes
go through one table that says of each whether it stays, separates words, or is dropped.
Shapes: N texts, W words in all of them, V different words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

PAD, UNKNOWN = 0, 1  # the indices of <pad> and <unk>
_PUNCTUATION = re.compile(r"[^\w\s]")  # Python's Unicode meaning: accents and Chinese are letters
_BLOCK = 5_000  # texts at a time: their bytes fit the processor's cache better than all at once


def tokenize(text: str) -> list[str]:
    """Return the words of a text: lower case, punctuation removed, split on white space."""
    return _PUNCTUATION.sub("", text.lower()).split()


# What `tokenize` makes of each ASCII character: white space ends a word, a letter becomes small, the rest is dropped.
_ASCII = [" " if chr(byte).isspace() else "".join(tokenize(chr(byte))) for byte in range(128)]
_TABLE = bytes(ord(became or " ") for became in _ASCII) + bytes(range(128, 256))
_DROPPED = bytes(byte for byte, became in enumerate(_ASCII) if not became)


def split(texts: Sequence[str]) -> tuple[pa.LargeStringArray, np.ndarray]:
    """Return the words of all texts in one row, (W,), and how many each text has, (N,): those of `tokenize`."""
    plain = (
        text if text.isascii() else " ".join(tokenize(text)) for text in texts
    )  # ASCII is what the table knows
    parts = [text.encode().translate(_TABLE, _DROPPED) for text in plain]
    row = np.frombuffer(b" ".join(parts), np.uint8)
    letters = row != ord(" ")
    edges = np.flatnonzero(np.diff(letters, prepend=False, append=False))
    first, beyond = (
        edges[::2],
        edges[1::2],
    )  # of each word: its first byte and the one behind its last
    offsets = np.append(0, np.cumsum(beyond - first))
    words = pa.LargeStringArray.from_buffers(
        len(first), pa.py_buffer(offsets), pa.py_buffer(row[letters])
    )
    borders = np.cumsum(
        [0] + [len(part) + 1 for part in parts]
    )  # of the texts, each with the space behind it
    return words, np.diff(np.searchsorted(first, borders))


@dataclass(frozen=True)
class Numbered:
    """Texts with a number for each different word, given in the order of first appearance."""

    numbers: Tensor  # (W,) int32, the words of all texts in one row
    lengths: Tensor  # (N,) words of each text
    words: list[str]  # (V,)


def number(texts: Iterable[str], file: Path | None = None) -> Numbered:
    """Number the words of texts, a block at a time.

    file: a place for the numbers, which are then mapped into memory and not held in it, however many they are.
    """
    known: dict[str, int] = {}
    lengths, texts = [], iter(texts)

    def blocks() -> Iterator[np.ndarray]:
        while block := list(islice(texts, _BLOCK)):
            words, counts = split(block)
            coded = words.dictionary_encode()  # numbers within this block
            number_of = np.array(
                [known.setdefault(word, len(known)) for word in coded.dictionary.to_pylist()],
                np.int32,
            )
            lengths.append(torch.from_numpy(counts))
            yield number_of[coded.indices.to_numpy()]

    numbers = store(blocks(), file)
    return Numbered(numbers, torch.cat(lengths) if lengths else torch.zeros(0).long(), list(known))


def store(parts: Iterable[np.ndarray], file: Path | None = None) -> Tensor:
    """Join int32 arrays to one tensor, in memory, or in a file that is mapped into memory."""
    if not file:
        joined = [torch.from_numpy(part) for part in parts]
        return torch.cat(joined) if joined else torch.zeros(0).int()
    with open(file, "wb") as out:
        for part in parts:
            out.write(part.data)
        size = out.tell() // 4
    return torch.from_file(str(file), shared=False, size=size, dtype=torch.int32)


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


def count_vocabulary(reviews: Numbered, min_freq: int) -> Vocabulary:
    """Do as `build_vocabulary` does, from words that have numbers already."""
    counts = np.zeros(len(reviews.words), np.int64)
    for part in reviews.numbers.split(10_000_000):  # what is counted at once needs 8 bytes a word
        counts += np.bincount(part.numpy(), minlength=len(counts))
    most_common = (-counts).argsort(kind="stable")
    return Vocabulary([reviews.words[k] for k in most_common if counts[k] >= min_freq])
