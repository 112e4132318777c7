"""The arms: the data as an arm sees them, its model and training, and what is measured of it.

What an arm is stands in claims.toml.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from labkit import metrics, settings, training
from labkit.claims import plan
from labkit.data import imdb, mnist, official
from labkit.machine.progress import Progress
from labkit.models import classifiers

PERMUTATION_SEED = 0  # of the one permutation of the pixels


# --- what an arm is made of -----------------------------------------------------------------------


def check_data(arm: str) -> None:
    """Raise DataError if an arm's official data are not there: nothing is downloaded here."""
    if not official.is_there(plan.plan()["arms"][arm]["data"]):
        raise official.DataError(
            "The claims need the official data, which are not there: run `labkit data get`."
        )


@functools.lru_cache(maxsize=2)
def load(arm: str, budget: str) -> mnist.Digits | imdb.Reviews:
    """Return the official data as an arm sees them. Raises DataError if they are not there."""
    check_data(arm)
    how = plan.plan()["arms"][arm]
    size = plan.plan()["budgets"][budget][how["data"]]
    if how["data"] == "imdb":
        padded = how["readout"] == "padded"
        return _reviews(
            size["num_examples"], size["num_test"], how["max_len"], how["min_freq"], padded
        )
    digits = mnist.load("official", size["num_examples"])
    parts = (digits.train, digits.validation, digits.test)
    seen = (replace(part, x=_pixels(part.x, how)) for part in parts)
    return mnist.Digits(*seen, digits.source, digits.sha256)


@functools.lru_cache(maxsize=2)  # shared by the arms of reviews, most of which see the same
def _reviews(
    num_examples: int, num_test: int, max_len: int, min_freq: int, padded: bool
) -> imdb.Reviews:
    return imdb.load("official", num_examples, num_test, max_len, min_freq, pad_to_max_len=padded)


def _pixels(x: Tensor, how: dict) -> Tensor:
    """Return digits (N, 32, 32) as an arm sees them: (N, 32 + blank_rows, 32), perhaps permuted."""
    if how["permuted"]:
        generator = torch.Generator().manual_seed(PERMUTATION_SEED)
        x = x.flatten(1)[:, torch.randperm(x[0].numel(), generator=generator)].view_as(x)
    blank = torch.full((len(x), how["blank_rows"], x.shape[2]), (0 - mnist.MEAN) / mnist.STD)
    return torch.cat([x, blank], dim=1)


def build(arm: str, data: mnist.Digits | imdb.Reviews, seed: int) -> nn.Module:
    """Return the model of an arm with the first weights of a seed."""
    how = plan.plan()["arms"][arm]
    torch.manual_seed(seed)
    if how["architecture"] == "LeNet":
        return classifiers.LeNet()
    names = ("hidden_size", "num_layers", "dropout")
    if how["data"] == "mnist":
        sizes = {name: how[name] for name in names}
        return classifiers.SequenceClassifier(how["architecture"], mnist.SIZE, **sizes)
    sizes = {name: how[name] for name in (*names, "embedding_dim", "between", "readout")}
    return classifiers.TextClassifier(how["architecture"], len(data.vocabulary), **sizes)


def fit(
    arm: str,
    data: mnist.Digits | imdb.Reviews,
    seed: int,
    num_epochs: int,
    place: training.Place | None = None,
) -> training.Run:
    """Train an arm as the report does: Adam at a constant rate, and the best validation epoch."""
    config = _config(arm, num_epochs, seed, settings.choose_device("auto"))
    return training.fit(build(arm, data, seed), data, config, place, arm)


def _config(arm: str, num_epochs: int, seed: int, device: str) -> training.TrainingConfig:
    how = plan.plan()["arms"][arm]
    rates = {name: how[name] for name in ("batch_size", "learning_rate")}
    return training.TrainingConfig(num_epochs, seed=seed, device=device, **rates)


def golden(arm: str, budget: str) -> float:
    """Return the mean loss of an arm's first four steps with seed 0, on the CPU.

    A short run that tells sources apart.
    """
    data, config = load(arm, budget), _config(arm, num_epochs=1, seed=0, device="cpu")
    model = build(arm, data, config.seed)
    order = data.train.order(64, torch.Generator().manual_seed(config.seed))[:4]
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    scheduler = training.one_cycle(optimizer, config, len(order))
    torch.manual_seed(config.seed)
    with Progress(arm, len(order)) as progress:
        epoch = training.train_epoch(
            model, data.train, order, optimizer, scheduler, config, progress
        )
    return epoch["train_loss"]


# --- what is measured -----------------------------------------------------------------------------


def measures(history: list[dict], test: dict) -> dict[str, float]:
    """Return what a cell reached, by the names that claims.toml uses.

    The spread over epochs is the standard deviation of the changes from one to the next: a steady
    rise has none.
    """
    names = ("train_loss", "val_loss", "val_accuracy", "seconds")
    train_loss, val_loss, val_accuracy, seconds = (
        [epoch[name] for epoch in history] for name in names
    )
    scores = ("accuracy", "precision", "recall", "F1")
    found = {f"test {name}": test[name.lower()] for name in scores}
    found |= {
        "area under the training loss": float(np.mean(train_loss)),  # per epoch
        "first training loss": train_loss[0],
        "last training loss": train_loss[-1],
        "best validation accuracy": max(val_accuracy),
        "validation accuracy in the first two epochs": float(np.mean(val_accuracy[:2])),
        "spread of validation accuracy": float(np.std(np.diff(val_accuracy), ddof=1)),
        "spread of validation loss": float(np.std(np.diff(val_loss), ddof=1)),
        "rise of the validation loss from its lowest": val_loss[-1] - min(val_loss),
        "log of the seconds an epoch": math.log(np.mean(seconds)),
    }
    confusion = np.array(test["confusion"])
    if len(confusion) == 10:
        share = share_of_4_and_9(confusion)
        found["share of 4 and 9 in the errors, above the mean of the other pairs"] = share
    return found


def share_of_4_and_9(confusion: np.ndarray) -> float:
    """Return which share of all errors takes 4 for 9 or 9 for 4, above that of the other pairs.

    That is less the mean share of the other 44 pairs of digits. confusion: (10, 10) counts.
    """
    pairs = confusion + confusion.T
    errors = np.triu(pairs, 1).sum()
    share = pairs[4, 9] / max(errors, 1)
    return float(share - (1 - share) / 44)


def gradient_slope(model: nn.Module, part: mnist.Split, num: int = 256) -> float:
    """Return how fast the gradient falls on its way back: the slope of its log norm over the rows.

    Of `num` digits: ‖∂loss/∂x_t‖ at the input of row t, its mean over the digits, and a
    straight line through the logs (least squares). Positive: the rows that were read first get
    less. 0: all rows get as much.
    """
    model = model.eval()
    x = part.x[:num].clone().requires_grad_()
    metrics.loss(model(x), part.y[:num]).backward()
    norms = x.grad.norm(dim=2).mean(dim=0).double()  # (T,)
    return float(np.polyfit(np.arange(len(norms)), norms.clamp(min=1e-30).log().numpy(), 1)[0])
