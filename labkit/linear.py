"""The linear baseline that a recurrent text model has to beat: TF-IDF of words and word pairs, logistic regression."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor

from labkit.training import Run


def fit(texts: Sequence[str], y: Tensor, tokenize: Callable[[str], list[str]], min_freq: int = 2) -> Run:
    """Fit the baseline on texts and labels y (N,), with the words that `tokenize` gives and `min_freq` texts hold."""
    words = TfidfVectorizer(
        tokenizer=tokenize, lowercase=False, token_pattern=None, ngram_range=(1, 2), min_df=min_freq, sublinear_tf=True
    )
    model = make_pipeline(words, LogisticRegression(C=30.0, solver="liblinear"))
    started = time.perf_counter()
    model.fit(texts, y.numpy())
    seconds = time.perf_counter() - started
    return Run(model, [], 0, seconds, model[-1].coef_.size + 1)  # no epochs


def predict(run: Run, texts: Sequence[str]) -> Tensor:
    """Return one logit a text: (N, 1)."""
    return torch.from_numpy(run.model.decision_function(texts)).float().unsqueeze(1)
