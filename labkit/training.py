"""The loop: train an epoch, look at the validation set, keep the best epoch.

A batch is a tuple that ends in y; the model takes the rest and returns logits. One loop trains everything.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit import metrics
from labkit.machine.numerics import autocast
from labkit.machine.progress import Progress
from labkit.models.classifiers import count_parameters
from labkit.runs.checkpoints import Checkpoints, weights_sha256


@dataclass
class Run:
    """A training that has ended: the model of its best validation epoch, and a record of every epoch."""

    model: nn.Module
    history: list[dict[str, float]]
    best_epoch: int  # counted from 1
    train_seconds: float  # training alone: no evaluation, no preparation
    num_parameters: int
    diverged: dict[str, float] | None = (
        None  # epoch, step, seed and learning rate of a loss that was no number
    )


class Diverged(ArithmeticError):
    """A loss that is no number; its argument is the step, counted from 1."""


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
    checkpoints: Checkpoints | None = None,
) -> Run:
    """Train a copy of `model` on data.train with Adam and return it as it was at its best epoch on data.validation.

    The model given is left as it is, and all randomness is drawn from (seed, purpose, epoch): the same
    call gives the same Run. peak: 0 keeps the learning rate constant; from 1 on it makes one cycle, from
    `learning_rate` to `peak` times that in the first three tenths of the steps and then down to almost 0
    (Smith and Topin, 2017). clip_norm: the largest norm of the gradient, 0 for no bound.
    embedding_rate: learning rate of the embedding, as a share of the others'. checkpoints: where the state after each
    epoch is kept; a training that was killed goes on from there and ends with the same bits.

    A loss that is no number ends the training: the Run then says where in `diverged`. Raises CheckpointError if the
    checkpoints are those of another training.
    """
    asked = {
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "device": device,
    }
    asked |= {
        "precision": precision,
        "peak": peak,
        "clip_norm": clip_norm,
        "embedding_rate": embedding_rate,
    }
    asked |= {
        "first weights": weights_sha256(model.state_dict()),
        "training examples": len(data.train),
    }
    model = copy.deepcopy(model).to(device)
    train, validation = data.train.to(device), data.validation.to(device)
    optimizer = torch.optim.Adam(
        groups(model, learning_rate, embedding_rate), lr=learning_rate, fused=True
    )
    steps = num_epochs * len(train.order(batch_size))
    scheduler = None
    if peak:
        highest = [peak * group["lr"] for group in optimizer.param_groups]
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, highest, steps, div_factor=peak, cycle_momentum=False
        )

    history, best_epoch, best_weights, diverged = [], 0, copy.deepcopy(model.state_dict()), None
    if checkpoints and (saved := checkpoints.latest(asked)):
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        if scheduler:
            scheduler.load_state_dict(saved["scheduler"])
        history, best_epoch, best_weights = (
            saved["history"],
            saved["best_epoch"],
            saved["best_weights"],
        )
        print(f"{name}: going on after epoch {len(history)} of {num_epochs}, from a checkpoint.")

    what = f"{num_epochs} epochs of {len(train):,} examples on {device}"
    with Progress(name, steps * (num_epochs - len(history)) // num_epochs, what) as progress:
        for epoch in range(len(history) + 1, num_epochs + 1):
            torch.manual_seed(derive(seed, "dropout", epoch))
            order = train.order(
                batch_size, torch.Generator().manual_seed(derive(seed, "order", epoch))
            )
            learning_rate_now = optimizer.param_groups[0]["lr"]
            started = time.perf_counter()
            try:
                trained = train_epoch(
                    model, train, order, optimizer, scheduler, clip_norm, precision, progress
                )
                seconds = time.perf_counter() - started
                logits = predict(model, validation, precision=precision)
                val_loss = float(metrics.loss(logits, validation.y))
                if not math.isfinite(val_loss):  # the very last step can spoil the weights
                    raise Diverged(len(order))
            except Diverged as error:
                diverged = {
                    "epoch": epoch,
                    "step": error.args[0],
                    "seed": seed,
                    "learning_rate": learning_rate_now,
                }
                print(
                    f"{name} diverged, its loss is no number: {diverged}. A smaller learning_rate may help."
                )
                break
            except torch.OutOfMemoryError as error:
                raise MemoryError(
                    f"{name}: batches of {batch_size} do not fit on {device}: lower batch_size."
                ) from error

            scores = {
                f"val_{measure}": value
                for measure, value in metrics.scores(logits, validation.y).items()
            }
            if scores["val_accuracy"] > max(
                (record["val_accuracy"] for record in history), default=-1.0
            ):
                best_epoch, best_weights = epoch, copy.deepcopy(model.state_dict())
            record = {
                "epoch": epoch,
                "train_loss": trained[0],
                "train_accuracy": trained[1],
                "val_loss": val_loss,
                **scores,
            }
            history.append(record | {"learning_rate": learning_rate_now, "seconds": seconds})
            if checkpoints:
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "history": history,
                }
                state |= {"scheduler": scheduler.state_dict()} if scheduler else {}
                checkpoints.save(
                    epoch, asked, state | {"best_epoch": best_epoch, "best_weights": best_weights}
                )

    model.load_state_dict(best_weights)
    return Run(
        model,
        history,
        best_epoch,
        sum(record["seconds"] for record in history),
        count_parameters(model),
        diverged,
    )


def groups(model: nn.Module, learning_rate: float, embedding_rate: float) -> list[dict]:
    """Return what the optimiser trains: all weights, and those of embeddings by themselves if their rate is another."""
    if embedding_rate == 1:
        return [{"params": list(model.parameters()), "lr": learning_rate}]
    tables = [
        weight
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for weight in module.parameters()
    ]
    others = [
        weight for weight in model.parameters() if all(weight is not table for table in tables)
    ]
    return [
        {"params": others, "lr": learning_rate},
        {"params": tables, "lr": embedding_rate * learning_rate},
    ]


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
    """Take one step a batch, in the given order; return loss and accuracy, averaged over the examples as they were met.

    Raises Diverged, at the end, if a loss was no number.
    """
    model.train()
    total_loss, num_correct, num_seen, losses = 0, 0, 0, []
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
        losses.append(
            loss.detach()
        )  # looked at after the epoch: stays on the device, so that no step waits
        total_loss += losses[-1] * len(y)  # the last batch is short, so weight by examples
        num_correct += (metrics.predictions(logits.detach()) == y).sum()
        num_seen += len(y)
        progress.step(total_loss, num_correct, num_seen)
    finite = torch.stack(losses).isfinite()
    if not finite.all():
        raise Diverged(int(finite.long().argmin()) + 1)
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
    return torch.cat(parts)[
        torch.cat(order).argsort()
    ]  # a batch may hold any examples; put them back


def derive(seed: int, purpose: str, epoch: int) -> int:
    """Return a seed for one purpose in one epoch, so that nothing depends on what was drawn before."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose} {epoch}".encode()).digest()[:7], "big")
