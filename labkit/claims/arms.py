"""The arms of the study: the data as an arm sees them, its model and training, and what is measured of it.

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
from labkit.claims import ledger
from labkit.data import imdb, mnist, official
from labkit.machine.progress import Progress
from labkit.models import classifiers
from labkit.runs.checkpoints import Checkpoints

PERMUTATION_SEED = 0  # of the one permutation of the pixels


# --- what an arm is made of -----------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def load(arm: str, budget: str) -> mnist.Digits | imdb.Reviews:
    """Return the official data as an arm sees them. Raises DataError if they are not there: nothing is downloaded here."""
    how, size = ledger.study()["arms"][arm], ledger.study()["budgets"][budget]
    if not official.is_there("02_imdb" if how["data"] == "imdb" else "01_mnist"):
        raise official.DataError(
            "The study needs the official data, which are not there: `labkit data get` fetches them."
        )
    if how["data"] == "imdb":
        size, padded = size["imdb"], how["readout"] == "padded"
        return _reviews(
            size["num_examples"], size["num_test"], how["max_len"], how["min_freq"], padded
        )
    digits = mnist.load("official", size["mnist"]["num_examples"])
    parts = (
        replace(part, x=_pixels(part.x, how))
        for part in (digits.train, digits.validation, digits.test)
    )
    return mnist.Digits(*parts, digits.source, digits.sha256)


@functools.lru_cache(maxsize=2)
def _reviews(
    num_examples: int, num_test: int, max_len: int, min_freq: int, padded: bool
) -> imdb.Reviews:
    return imdb.load("official", num_examples, num_test, max_len, min_freq, pad_to_max_len=padded)


def _pixels(x: Tensor, how: dict) -> Tensor:
    """Return digits (N, 32, 32) with their pixels permuted, or with rows of blank paper after them (N, 32 + blank, 32)."""
    if how["permuted"]:
        order = torch.randperm(
            x[0].numel(), generator=torch.Generator().manual_seed(PERMUTATION_SEED)
        )
        x = x.flatten(1)[:, order].view_as(x)
    blank = torch.full((len(x), how["blank_rows"], x.shape[2]), (0 - mnist.MEAN) / mnist.STD)
    return torch.cat([x, blank], dim=1)


def build(arm: str, data: mnist.Digits | imdb.Reviews, seed: int) -> nn.Module:
    """Return the model of an arm with the first weights of a seed."""
    how = ledger.study()["arms"][arm]
    torch.manual_seed(seed)
    if how["data"] == "imdb":
        sizes = {
            name: how[name]
            for name in ("embedding_dim", "hidden_dim", "n_layers", "dropout", "between", "readout")
        }
        return classifiers.TextClassifier(how["cell"], len(data.vocabulary), **sizes)
    if how["cell"] == "LeNet":
        return classifiers.LeNet()
    return classifiers.SequenceClassifier(
        how["cell"], mnist.SIZE, how["hidden_size"], how["num_layers"], 10, how["dropout"]
    )


def fit(
    arm: str,
    data: mnist.Digits | imdb.Reviews,
    seed: int,
    num_epochs: int,
    checkpoints: Checkpoints | None = None,
) -> training.Run:
    """Train an arm as the report trains: Adam at a constant learning rate, and the best validation epoch kept."""
    how = ledger.study()["arms"][arm]
    rates = {name: how[name] for name in ("batch_size", "learning_rate")}
    device = settings.choose_device("auto")
    net = build(arm, data, seed)
    return training.fit(
        net,
        data,
        name=arm,
        num_epochs=num_epochs,
        seed=seed,
        device=device,
        checkpoints=checkpoints,
        **rates,
    )


def golden(arm: str, budget: str) -> float:
    """Return the mean loss of the first four steps of an arm with seed 0: a short run that tells sources apart."""
    data = load(arm, budget)
    net = build(arm, data, 0)
    order = data.train.order(64, torch.Generator().manual_seed(0))[:4]
    optimizer = torch.optim.Adam(
        net.parameters(), lr=ledger.study()["arms"][arm]["learning_rate"], fused=True
    )
    torch.manual_seed(0)
    with Progress(arm, len(order), "") as progress:
        return training.train_epoch(net, data.train, order, optimizer, None, 0.0, "fp32", progress)[
            0
        ]


# --- what is measured -----------------------------------------------------------------------------------


def measures(history: list[dict], test: dict) -> dict[str, float]:
    """Return what a cell reached, by the names that claims.toml uses.

    The spread over epochs is the standard deviation of the changes from one to the next: a steady rise has none.
    """
    train_loss, val_loss, val_accuracy, seconds = (
        [epoch[name] for epoch in history]
        for name in ("train_loss", "val_loss", "val_accuracy", "seconds")
    )
    found = (
        {f"test {name}": test[name.lower()] for name in ("accuracy", "precision", "recall", "F1")}
        | {
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
    )
    confusion = np.array(test["confusion"])
    if len(confusion) == 10:
        found["share of 4 and 9 in the errors, above the mean of the other pairs"] = (
            share_of_4_and_9(confusion)
        )
    return found


def share_of_4_and_9(confusion: np.ndarray) -> float:
    """Return which share of all errors takes 4 for 9 or 9 for 4, less the mean share of the other 44 pairs of digits."""
    pairs = confusion + confusion.T
    errors = np.triu(pairs, 1).sum()
    share = pairs[4, 9] / max(errors, 1)
    return float(share - (1 - share) / 44)


def gradient_slope(net: nn.Module, part: mnist.Split, num: int = 256) -> float:
    """Return how fast the gradient falls on its way back: the slope, per row, of the log of its norm at each row's input.

    Of `num` digits: ‖∂loss/∂x_t‖ at row t, its mean over the digits, and a straight line through the logs (least squares).
    Positive: the rows that were read first get less. 0: all rows get as much.
    """
    net = net.eval()
    x = part.x[:num].clone().requires_grad_()
    metrics.loss(net(x), part.y[:num]).backward()
    norms = x.grad.norm(dim=2).mean(dim=0).double()  # (T,)
    return float(np.polyfit(np.arange(len(norms)), norms.clamp(min=1e-30).log().numpy(), 1)[0])
