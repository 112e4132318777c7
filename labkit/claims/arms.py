"""The arms: the data as an arm sees them, its model and training, and what is measured of it.

What an arm is stands in claims.toml.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pandas
import torch
from torch import Tensor, nn

from labkit import metrics, settings, training
from labkit.claims import plan
from labkit.data import imdb, mnist, official
from labkit.models import classifiers
from labkit.training import Place, Run, TrainingConfig

PERMUTATION_SEED = 0  # of the one permutation of the pixels
Data = mnist.Digits | imdb.Reviews
_reviews = functools.lru_cache(maxsize=2)(imdb.load)  # most arms of reviews see the same


def check_data(arm: str) -> None:
    """Raise DataError if an arm's official data are not there: nothing is downloaded here."""
    if not official.is_there(plan.plan()["arms"][arm]["data"]):
        raise official.DataError(
            "The claims need the official data, which are not there: run `labkit data get`."
        )


@functools.lru_cache(maxsize=2)
def load(arm: str, budget: str) -> Data:
    """Return the official data as an arm sees them. Raises DataError if they are not there."""
    check_data(arm)
    how = plan.plan()["arms"][arm]
    size = plan.plan()["budgets"][budget][how["data"]]
    if how["data"] == "imdb":
        sizes = (size["num_examples"], size["num_test"], how["max_len"], how["min_freq"])
        return _reviews("official", *sizes, pad_to_max_len=how["readout"] == "padded")
    digits = mnist.load("official", size["num_examples"])
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


def build(arm: str, data: Data, seed: int) -> nn.Module:
    """Return the model of an arm with the first weights of a seed."""
    how = plan.plan()["arms"][arm]
    torch.manual_seed(seed)
    if how["architecture"] == "LeNet":
        return classifiers.LeNet()
    sizes = {name: how[name] for name in ("hidden_size", "num_layers", "dropout")}
    if how["data"] == "mnist":
        return classifiers.SequenceClassifier(how["architecture"], mnist.SIZE, **sizes)
    sizes |= {name: how[name] for name in ("embedding_dim", "between", "readout")}
    return classifiers.TextClassifier(how["architecture"], len(data.vocabulary), **sizes)


def fit(arm: str, data: Data, seed: int, num_epochs: int, place: Place | None = None) -> Run:
    """Train an arm as the report does: Adam at a constant rate, and the best validation epoch."""
    how, device = plan.plan()["arms"][arm], settings.choose_device("auto")
    config = TrainingConfig(num_epochs, how["batch_size"], how["learning_rate"], seed, device)
    return training.fit(build(arm, data, seed), data, config, place, arm)


def measures(history: list[dict], test: dict) -> dict[str, float]:
    """Return what a cell reached, by the names that claims.toml uses.

    The spread over epochs is the standard deviation of the changes from one to the next: a steady
    rise has none.
    """
    epochs = pandas.DataFrame(history)
    train_loss, val_loss, accuracy = epochs.train_loss, epochs.val_loss, epochs.val_accuracy
    scores = ("accuracy", "precision", "recall", "F1")
    found = (
        {f"test {name}": test[name.lower()] for name in scores}
        | {
            "area under the training loss": train_loss.mean(),  # per epoch
            "first training loss": train_loss.iloc[0],
            "last training loss": train_loss.iloc[-1],
            "best validation accuracy": accuracy.max(),
            "validation accuracy in the first two epochs": accuracy[:2].mean(),
            "spread of validation accuracy": accuracy.diff().std(),
            "spread of validation loss": val_loss.diff().std(),
            "rise of the validation loss from its lowest": val_loss.iloc[-1] - val_loss.min(),
            "log of the seconds an epoch": math.log(epochs.seconds.mean()),
        }
    )
    confusion = np.array(test["confusion"])
    if len(confusion) == 10:
        share = share_of_4_and_9(confusion)
        found["share of 4 and 9 in the errors, above the mean of the other pairs"] = share
    return {name: float(value) for name, value in found.items()}


def share_of_4_and_9(confusion: np.ndarray) -> float:
    """Return the share of 4 and 9 in all errors, less the mean share of the other 44 pairs."""
    errors = confusion.sum() - confusion.trace()
    share = (confusion[4, 9] + confusion[9, 4]) / max(errors, 1)
    return float(share - (1 - share) / 44)


def gradient_slope(model: nn.Module, part: mnist.Split, num: int = 256) -> float:
    """Return how fast the gradient falls on its way back: the slope of its log norm over the rows.

    That is of ‖∂loss/∂x_t‖ at the input of row t, its mean over `num` digits, by least squares.
    Positive: the rows that were read first get less. 0: all rows get as much.
    """
    model = model.eval()
    x = part.x[:num].clone().requires_grad_()
    metrics.loss(model(x), part.y[:num]).backward()
    norms = x.grad.norm(dim=2).mean(dim=0).double()  # (T,)
    return float(np.polyfit(np.arange(len(norms)), norms.clamp(min=1e-30).log().numpy(), 1)[0])
