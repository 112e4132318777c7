"""The linear baseline that a recurrent text model has to beat: TF-IDF and a logistic regression."""

from __future__ import annotations

import time

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from labkit.data import words
from labkit.data.imdb import Split


def _tokenize(text: str) -> list[str]:
    return words.tokenize(text)  # looked up when it is called: a reader may have changed it


class LinearModel:
    """One weight for each word and each pair of neighbouring words, and a bias."""

    def __init__(self, min_freq: int = 2):
        how = {"tokenizer": _tokenize, "token_pattern": None, "lowercase": False}
        how |= {"ngram_range": (1, 2), "min_df": min_freq, "sublinear_tf": True}
        self.terms = TfidfVectorizer(**how)
        self.regression = LogisticRegression(C=30.0, solver="liblinear")  # C set by hand, not tuned

    def __repr__(self) -> str:
        parameters = self.terms.get_params() | self.regression.get_params()
        parameters["tokenizer"] = "labkit's"
        return ", ".join(f"{name}={value!r}" for name, value in sorted(parameters.items()))

    def fit(self, train: Split) -> float:
        """Fit to the whole texts of `train`; return the seconds it took.

        Raises ValueError if the reviews are all of one class.
        """
        if len(train.y.unique()) < 2:
            few = f"The {len(train)} training reviews are all of one class"
            raise ValueError(f"{few}: use more of them (num_examples).")
        self.terms.min_df = min(self.terms.min_df, len(train))
        started = time.perf_counter()
        features = self.terms.fit_transform(train.texts)
        self.regression.fit(features, train.y.numpy())
        return time.perf_counter() - started

    def logits(self, data: Split) -> Tensor:
        """Return a logit for each review: (N, 1)."""
        logits = self.regression.decision_function(self.terms.transform(data.texts))
        return torch.from_numpy(logits).float().unsqueeze(1)

    @property
    def num_parameters(self) -> int:
        return self.regression.coef_.size + 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights, the bias and the words and pairs they belong to, all as tensors."""
        terms = "\n".join(self.terms.get_feature_names_out())
        return {
            "coef": torch.from_numpy(self.regression.coef_),
            "intercept": torch.from_numpy(self.regression.intercept_),
            "idf": torch.from_numpy(self.terms.idf_),
            "terms": torch.frombuffer(bytearray(terms.encode()), dtype=torch.uint8),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        terms = bytes(state["terms"].numpy()).decode().split("\n")
        self.terms.vocabulary_ = {term: k for k, term in enumerate(terms)}
        self.terms.idf_ = state["idf"].numpy()
        self.regression.coef_ = state["coef"].numpy()
        self.regression.intercept_ = state["intercept"].numpy()
        self.regression.classes_ = np.arange(2)
