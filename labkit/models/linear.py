"""The linear baseline that a recurrent text model has to beat: TF-IDF of words and word pairs, logistic regression."""

from __future__ import annotations

import time

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor

from labkit.data.imdb import Split
from labkit.data.words import tokenize
from labkit.training import Run


def fit(train: Split, min_freq: int = 2) -> Run:
    """Fit the baseline on the whole texts of `train`, with the words and pairs that `min_freq` of them hold.

    Raises ValueError if they are all of one class.
    """
    if len(train.y.unique()) < 2:
        raise ValueError(
            f"the {len(train)} training reviews are all of one class: use more of them (num_examples)."
        )
    words = TfidfVectorizer(
        tokenizer=tokenize,
        lowercase=False,
        token_pattern=None,
        ngram_range=(1, 2),
        min_df=min(min_freq, len(train)),
        sublinear_tf=True,
    )
    model = make_pipeline(
        words, LogisticRegression(C=30.0, solver="liblinear")
    )  # C: set by hand, not tuned
    started = time.perf_counter()
    model.fit(train.texts, train.y.numpy())
    seconds = time.perf_counter() - started
    return Run(model, [], 0, seconds, model[-1].coef_.size + 1)  # no epochs


def predict(model: Pipeline, data: Split) -> Tensor:
    """Return one logit a review: (N, 1)."""
    return torch.from_numpy(model.decision_function(data.texts)).float().unsqueeze(1)
