"""The loop: train an epoch, look at the validation set, keep the best epoch.

A batch is a tuple that ends in y; the model takes the rest and returns logits. One loop trains everything.
"""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit import metrics
from labkit.models import count_parameters
from labkit.precision import autocast
from labkit.progress import Progress


@dataclass
class Run:
    """A training that has ended: the model of its best validation epoch, and a record of every epoch."""

    model: nn.Module
    history: list[dict[str, float]]
    best_epoch: int  # counted from 1
    train_seconds: float  # training alone: no evaluation, no preparation
    num_parameters: int


def fit(
    model: nn.Module,
    data,
    *,
    name: str = "model",
    num_epochs: int,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 42,
    device: str = "cpu",
    precision: str = "fp32",
    peak: float = 0.0,
    clip_norm: float = 0.0,
    embedding_rate: float = 1.0,
) -> Run:
    """Train a copy of `model` on data.train with Adam and return it as it was at its best epoch on data.validation.

    The model given is left as it is, and all randomness is drawn from (seed, purpose, epoch): the same
    call gives the same Run. peak: 0 keeps the learning rate constant; from 1 on it makes one cycle, from
    `learning_rate` to `peak` times that in the first three tenths of the steps and then down to almost 0
    (Smith and Topin, 2017). clip_norm: the largest norm of the gradient, 0 for no bound.
    embedding_rate: learning rate of the embedding, as a share of the others'.
    """
    model = copy.deepcopy(model).to(device)
    train, validation = data.train.to(device), data.validation.to(device)
    optimizer = torch.optim.Adam(groups(model, learning_rate, embedding_rate), lr=learning_rate, fused=True)
    steps = num_epochs * len(train.order(batch_size))
    scheduler = None
    if peak:
        one_cycle = torch.optim.lr_scheduler.OneCycleLR
        highest = [peak * group["lr"] for group in optimizer.param_groups]
        scheduler = one_cycle(optimizer, highest, steps, div_factor=peak, cycle_momentum=False)

    history, best_accuracy, best_weights, best_epoch = [], -1.0, {}, 0
    what = f"{num_epochs} epochs of {len(train):,} examples on {device}"
    with Progress(name, steps, what) as progress:
        for epoch in range(1, num_epochs + 1):
            torch.manual_seed(derive(seed, "dropout", epoch))
            order = train.order(batch_size, torch.Generator().manual_seed(derive(seed, "order", epoch)))
            learning_rate_now = optimizer.param_groups[0]["lr"]
            started = time.perf_counter()
            train_loss, train_accuracy = train_epoch(model, train, order, optimizer, scheduler, clip_norm, precision, progress)
            seconds = time.perf_counter() - started

            logits = predict(model, validation, precision=precision)
            scores = {f"val_{measure}": value for measure, value in metrics.scores(logits, validation.y).items()}
            history.append(
                {
                    "epoch": epoch,
                    "train_loss": train_loss,
                    "train_accuracy": train_accuracy,
                    "val_loss": float(metrics.loss(logits, validation.y)),
                    **scores,
                    "learning_rate": learning_rate_now,
                    "seconds": seconds,
                }
            )
            if scores["val_accuracy"] > best_accuracy:
                best_accuracy, best_epoch = scores["val_accuracy"], epoch
                best_weights = copy.deepcopy(model.state_dict())

    model.load_state_dict(best_weights)
    seconds = sum(record["seconds"] for record in history)
    return Run(model, history, best_epoch, seconds, count_parameters(model))


def groups(model: nn.Module, learning_rate: float, embedding_rate: float) -> list[dict]:
    """Return what the optimiser trains: all weights, and those of embeddings by themselves if their rate is another."""
    if embedding_rate == 1:
        return [{"params": list(model.parameters()), "lr": learning_rate}]
    tables = [weight for module in model.modules() if isinstance(module, nn.Embedding) for weight in module.parameters()]
    others = [weight for weight in model.parameters() if all(weight is not table for table in tables)]
    return [{"params": others, "lr": learning_rate}, {"params": tables, "lr": embedding_rate * learning_rate}]


def train_epoch(
    model: nn.Module,
    data,
    order: list[Tensor],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    clip_norm: float,
    precision: str,
    progress: Progress,
) -> tuple[float, float]:
    """Take one step a batch, in the given order; return loss and accuracy, averaged over the examples as they were met."""
    model.train()
    total_loss, num_correct, num_seen = 0, 0, 0
    for index in order:
        *inputs, y = data.batch(index)
        with autocast(y.device, precision):
            logits = model(*inputs)
        loss = metrics.loss(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        if clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        if scheduler:
            scheduler.step()
        total_loss += loss.detach() * len(y)  # the last batch is short, so weight by examples
        num_correct += (metrics.predictions(logits.detach()) == y).sum()  # stays on the device: no waiting in the step
        num_seen += len(y)
        progress.step(total_loss, num_correct, num_seen)
    return float(total_loss) / num_seen, float(num_correct) / num_seen


@torch.no_grad()
def predict(model: nn.Module, data, *, precision: str = "fp32", batch_size: int = 256) -> Tensor:
    """Return the logits of every example of `data`, in its order: (N, C). Leaves the model in the mode it was in."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    data = data.to(device)
    parts = []
    order = data.order(batch_size)
    for index in order:
        *inputs, _ = data.batch(index)
        with autocast(device, precision):
            parts.append(model(*inputs).float())
    model.train(was_training)
    return torch.cat(parts)[torch.cat(order).argsort()]  # a batch may hold any examples; put them back


def derive(seed: int, purpose: str, epoch: int) -> int:
    """Return a seed for one purpose in one epoch, so that nothing depends on what was drawn before."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose} {epoch}".encode()).digest()[:7], "big")
