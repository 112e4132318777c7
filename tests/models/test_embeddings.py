"""Word vectors: against pairs counted one by one, the formula in plain loops, and known company."""

import dataclasses

import numpy as np
import pytest
import torch

from labkit import training
from labkit.data import imdb, words
from labkit.models import classifiers, embeddings

TEXTS = ["a good film", "", "a bad film a good end", "zebra", "good bad good"]


@pytest.fixture
def small():
    vocabulary = words.build_vocabulary(words.tokenize_all(TEXTS), min_freq=2)
    split = imdb.encode(TEXTS, np.zeros(len(TEXTS)), vocabulary, max_len=2)
    return split, vocabulary  # max_len cuts for reading, not for counting


def counted(vocabulary, window):
    """Count the pairs of neighbours one by one."""
    counts = np.zeros((len(vocabulary), len(vocabulary)))
    for text in TEXTS:
        ids = vocabulary.encode(words.tokenize(text))
        for i, u in enumerate(ids):
            for j, v in enumerate(ids):
                if 0 < abs(i - j) <= window and min(u, v) > words.UNKNOWN:
                    counts[u, v] += 1 / abs(i - j)
    return counts


@pytest.mark.parametrize("window", [1, 2, 10])
def test_neighbours_are_those_counted_one_by_one(small, window):
    split, vocabulary = small
    found = embeddings.neighbours(split, len(vocabulary), window).toarray()
    np.testing.assert_allclose(found, counted(vocabulary, window))


def test_with_every_singular_vector_the_matrix_comes_back(small):
    """Reference: the polar part (M Mᵀ)^½ of the matrix M of the formula.

    U √S has UᵀU = 1, so its Gram matrix is U S Uᵀ.
    """
    split, vocabulary = small
    size = len(vocabulary)
    counts = counted(vocabulary, 5)
    total = counts.sum(1)
    matrix = np.zeros((size, size))
    for u in range(size):
        for v in range(size):
            if counts[u, v]:
                matrix[u, v] = max(
                    0, np.log(counts[u, v] / total[u] / (total[v] ** 0.75 / (total**0.75).sum()))
                )
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    wanted = vectors * np.sqrt(values.clip(0)) @ vectors.T
    found = embeddings.learn(split, size, size).double().numpy()
    gram = found @ found.T
    np.testing.assert_allclose(gram / np.trace(gram), wanted / np.trace(wanted), atol=1e-5)
    assert not found[: words.UNKNOWN + 1].any()


def test_words_in_the_same_company_are_nearest():
    rng = np.random.default_rng(0)
    groups = {"red blue green": "paint wall brush", "dog cat horse": "feeds barks fur"}
    texts = [
        f"{rng.choice(a.split())} {rng.choice(b.split())}"
        for a, b in groups.items()
        for _ in range(200)
    ]
    vocabulary = words.build_vocabulary(words.tokenize_all(texts), min_freq=1)
    split = imdb.encode(texts, np.zeros(len(texts)), vocabulary, max_len=9)
    vectors = embeddings.learn(split, len(vocabulary), 4)
    near = vocabulary.decode(embeddings.nearest(vocabulary.index["dog"], vectors, 2))
    assert set(near) == {"cat", "horse"}
    assert float(vectors[2:].std()) == pytest.approx(0.3, rel=0.05)
    assert torch.equal(vectors, embeddings.learn(split, len(vocabulary), 4))


def test_more_components_than_words_are_filled_up_with_zeros(small):
    split, vocabulary = small
    size = len(vocabulary)
    vectors = embeddings.learn(split, size, size + 3)
    assert vectors.shape == (size, size + 3)
    assert not vectors[:, size:].any() and vectors[2:, :size].any()


def test_words_without_neighbours_get_zeros():
    vocabulary = words.build_vocabulary(words.tokenize_all(["good"]), min_freq=1)
    split = imdb.encode(["good", "", "good"], np.zeros(3), vocabulary, max_len=9)
    assert torch.equal(embeddings.learn(split, len(vocabulary), 4), torch.zeros(3, 4))


def test_a_model_begins_with_them_and_only_with_the_right_shape():
    vectors = torch.randn(7, 3)
    net = classifiers.TextClassifier("RNN", 7, 3, 4, vectors=vectors)
    assert torch.equal(net.embedding.weight, vectors)
    with pytest.raises(ValueError, match=r"must be \(8, 3\)"):
        classifiers.TextClassifier("RNN", 8, 3, 4, vectors=vectors)


def test_the_embedding_learns_at_its_own_rate():
    net = classifiers.TextClassifier("RNN", 7, 3, 4)
    config = training.TrainingConfig(num_epochs=1, learning_rate=0.01)
    whole = training.groups(net, config)
    others, table = training.groups(net, dataclasses.replace(config, embedding_rate=0.1))
    assert len(whole) == 1 and len(whole[0]["params"]) == len(list(net.parameters()))
    assert [id(weight) for weight in table["params"]] == [id(net.embedding.weight)]
    assert (others["lr"], table["lr"]) == (0.01, pytest.approx(0.001))
    assert len(others["params"]) == len(list(net.parameters())) - 1
