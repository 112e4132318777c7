"""Numbers for words, learnt from the training reviews themselves: words that keep the same company get like numbers.

Shapes: V words in the vocabulary, E numbers a word.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from labkit.data.imdb import Split
from labkit.data.words import UNKNOWN


def learn(
    reviews: Split, vocab_size: int, embedding_dim: int = 100, window: int = 5, spread: float = 0.3
) -> Tensor:
    """Return an embedding (V, E) made from the words of `reviews` alone; their labels are not looked at.

    Two words are counted as neighbours if they stand within `window` words of each other, by 1 / distance. How much
    more often they do than chance would have it, log p(u, v) / (p(u) p(v)), with p(v) flattened by the power 3/4 and
    negative values taken for 0, is a matrix (V, V); its first E singular vectors, each times the root of its singular
    value, are the embedding (Levy and Goldberg, 2014), brought to the standard deviation `spread`. <pad> and <unk>
    get zeros, and so do the numbers beyond V if E is more.
    """
    pairs = neighbours(reviews, vocab_size, window).tocoo()
    total = np.asarray(pairs.sum(axis=1)).ravel()  # (V,)
    chance = total**0.75 / max((total**0.75).sum(), 1e-9)
    information = np.log(pairs.data / (total[pairs.row] * chance[pairs.col]))
    more = information > 0
    if not more.any():  # no two words are neighbours
        return torch.zeros(vocab_size, embedding_dim)
    shape = (vocab_size, vocab_size)
    matrix = sparse.csr_matrix(
        (information[more].astype(np.float32), (pairs.row[more], pairs.col[more])), shape
    )
    left, values, _ = randomized_svd(
        matrix, min(embedding_dim, vocab_size), n_iter=3, random_state=0
    )
    vectors = np.zeros((vocab_size, embedding_dim), dtype=np.float32)
    vectors[:, : len(values)] = left * np.sqrt(values)
    vectors[: UNKNOWN + 1] = 0  # of two words without neighbours the method leaves some dust
    return torch.from_numpy(vectors * np.float32(spread / vectors[UNKNOWN + 1 :].std()))


def neighbours(reviews: Split, vocab_size: int, window: int) -> sparse.csr_matrix:
    """Count the neighbours of each word, (V, V), symmetric: a pair k words apart counts 1 / k, within a review only."""
    ids = reviews.ids.numpy()[:-1]  # the last is the <unk> that stands for a text without a word
    real = np.where(reviews.starts == len(ids), 0, reviews.num_words)
    review = np.repeat(np.arange(len(reviews)), real)  # (words,)
    shape = (vocab_size, vocab_size)
    counts = sparse.csr_matrix(shape)
    for apart in range(1, window + 1):
        left, right = ids[:-apart], ids[apart:]
        pair = (review[:-apart] == review[apart:]) & (left > UNKNOWN) & (right > UNKNOWN)
        counts += sparse.csr_matrix(
            (np.full(pair.sum(), 1 / apart), (left[pair], right[pair])), shape
        )
    return counts + counts.T


def nearest(word: int, vectors: Tensor, count: int = 5) -> list[int]:
    """Return the `count` words whose vectors (V, E) point most in the direction of that of `word`, the nearest first."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    order = (unit @ unit[word]).argsort(descending=True, stable=True)
    return [int(other) for other in order if other != word and other > UNKNOWN][:count]
