"""Word vectors learnt from the training reviews: PPMI of co-occurrence counts, reduced by an SVD.

Words that keep the same company get similar vectors. Shapes: V words in the vocabulary, E
components of a word's vector.
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
    """Return word vectors (V, E) from the words of `reviews`, without looking at their labels.

    Two words within `window` words of each other count as neighbours, weighted 1 / distance. Their
    positive pointwise mutual information, max(0, log [p(u, v) / (p(u) p(v))]), with p(v) flattened
    by the power 3/4, is a matrix (V, V). Its first E singular vectors, each times the root of its
    singular value, all scaled to standard deviation `spread`, are the vectors (Levy and Goldberg,
    2014). <pad> and <unk> get zeros, and so do the components beyond V if E is larger than V.
    """
    pairs = neighbours(reviews, vocab_size, window).tocoo()
    total = np.asarray(pairs.sum(axis=1)).ravel()  # (V,)
    chance = total**0.75 / max((total**0.75).sum(), 1e-9)
    information = np.log(pairs.data / (total[pairs.row] * chance[pairs.col]))
    more = information > 0
    if not more.any():  # no two words are neighbours
        return torch.zeros(vocab_size, embedding_dim)
    places = (pairs.row[more], pairs.col[more])
    shape = (vocab_size, vocab_size)
    matrix = sparse.csr_matrix((information[more].astype(np.float32), places), shape)
    rank = min(embedding_dim, vocab_size)
    left, values, _ = randomized_svd(matrix, rank, n_iter=3, random_state=0)
    vectors = np.zeros((vocab_size, embedding_dim), dtype=np.float32)
    vectors[:, : len(values)] = left * np.sqrt(values)
    vectors[: UNKNOWN + 1] = 0  # the SVD leaves some rounding dust here
    return torch.from_numpy(vectors * np.float32(spread / vectors[UNKNOWN + 1 :].std()))


def neighbours(reviews: Split, vocab_size: int, window: int) -> sparse.csr_matrix:
    """Count neighbours within a review, (V, V), symmetric: a pair k words apart counts 1 / k."""
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
    """Return ids of the `count` words nearest to id `word` by cosine, in order; vectors (V, E)."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    order = (unit @ unit[word]).argsort(descending=True, stable=True)
    return [int(other) for other in order if other != word and other > UNKNOWN][:count]
