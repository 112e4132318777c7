"""The arms: the data as an arm sees them, its model and training, and what is measured of it.

What an arm is stands in claims.toml.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from labkit import metrics, settings
from labkit.claims import plan
from labkit.data import imdb, mnist, official
from labkit.models import classifiers
from labkit.training import TrainingConfig

PERMUTATION_SEED = 0  # of the one permutation of the pixels
Data = mnist.Digits | imdb.Reviews
_reviews = functools.lru_cache(maxsize=2)(imdb.load)  # most arms of reviews see the same


def check_data(arm: str) -> None:
    """Raise DataError if an arm's official data are not there: nothing is downloaded here."""
    if not official.is_there(plan.plan()["arms"][arm]["data"]):
        raise official.DataError("The claims need the official data: run `labkit data get`.")


@functools.lru_cache(maxsize=2)
def load(arm: str, budget: str) -> Data:
    """Return the official data as an arm sees them. Raises DataError if they are not there."""
    check_data(arm)
    how = plan.settings(arm, budget)
    if how["data"] == "imdb":
        sizes = (how["num_examples"], how["num_test"], how["max_len"], how["min_freq"])
        wide = how["readout"] == "padded" or not how["by_length"]
        reviews = _reviews("official", *sizes, pad_to_max_len=wide)
        return _in_front(reviews) if how["in_front"] else reviews
    digits = mnist.load("official", how["num_examples"])
    parts = (digits.train, digits.validation, digits.test)
    seen = (replace(part, x=_pixels(part.x, how)) for part in parts)
    return mnist.Digits(*seen, digits.source, digits.sha256)


def _pixels(x: Tensor, how: dict) -> Tensor:
    """Return digits (N, 32, 32) as an arm sees them: (N, 32 + blank_rows, 32), perhaps permuted."""
    if how["permuted"]:
        generator = torch.Generator().manual_seed(PERMUTATION_SEED)
        x = x.flatten(1)[:, torch.randperm(x[0].numel(), generator=generator)].view_as(x)
    blank = torch.full((len(x), how["blank_rows"], x.shape[2]), (0 - mnist.MEAN) / mnist.STD)
    return torch.cat([x, blank], dim=1)


class InFront(imdb.Split):
    """Reviews whose padding stands before their words."""

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ids, lengths, y = super().batch(index)
        step = torch.arange(ids.shape[1], device=ids.device) - (ids.shape[1] - lengths[:, None])
        return ids.gather(1, step % ids.shape[1]), lengths, y


def _in_front(reviews: imdb.Reviews) -> imdb.Reviews:
    parts = {name: getattr(reviews, name) for name in ("train", "validation", "test")}
    return replace(reviews, **{name: InFront(**vars(part)) for name, part in parts.items()})


def build(arm: str, data: Data, seed: int, budget: str = "report") -> nn.Module:
    """Return the model of an arm with the first weights of a seed."""
    how = plan.settings(arm, budget)
    torch.manual_seed(seed)
    if how["architecture"] == "LeNet":
        return classifiers.LeNet()
    sizes = {name: how[name] for name in ("hidden_size", "num_layers", "dropout")}
    if how["data"] == "mnist":
        model = classifiers.SequenceClassifier(how["architecture"], mnist.SIZE, **sizes)
    else:
        sizes |= {name: how[name] for name in ("embedding_dim", "between", "readout")}
        model = classifiers.TextClassifier(how["architecture"], len(data.vocabulary), **sizes)
        model.embedding.weight.data.mul_(how["embedding_std"] / 0.1)  # which is the course's own
    for name, weight in model.named_parameters() if "forget_bias" in how else ():
        if "bias_hh" in name:  # PyTorch adds two biases; gates: input, forget, …
            weight.data[how["hidden_size"] : 2 * how["hidden_size"]] = how["forget_bias"]
    return model


def config(arm: str, seed: int, budget: str) -> TrainingConfig:
    """Return how an arm is trained: by Adam at a constant rate, as in the report."""
    how = plan.settings(arm, budget)
    sizes = (how["num_epochs"], how["batch_size"], how["learning_rate"])
    device, clip_norm = settings.choose_device("auto"), how.get("clip_norm", 0.0)
    return TrainingConfig(*sizes, seed, device, clip_norm=clip_norm)


def gradient_slope(model: nn.Module, part: mnist.Split) -> float:
    """Return how fast the gradient falls on its way back: the slope of its log norm over the rows.

    That is of ‖∂loss/∂x_t‖ at the input of row t, its mean over 256 digits, by least squares.
    Positive: the rows that were read first get less. 0: all rows get as much.
    """
    model = model.eval()
    x = part.x[:256].clone().requires_grad_()
    metrics.loss(model(x), part.y[:256]).backward()
    norms = x.grad.norm(dim=2).mean(dim=0).double()  # (T,)
    return float(np.polyfit(np.arange(len(norms)), norms.clamp(min=1e-30).log().numpy(), 1)[0])
