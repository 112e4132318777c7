"""The loop: train an epoch, look at the validation set, keep the best epoch.

A batch is a tuple that ends in y; the model takes the rest and returns logits. One loop trains
every network; `fit_linear` fits the linear baseline.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from labkit import metrics
from labkit.machine import digests
from labkit.machine.numerics import autocast, deterministic
from labkit.machine.progress import Progress
from labkit.models.classifiers import count_parameters
from labkit.models.linear import LinearModel


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained, whatever model it is."""

    num_epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3  # of Adam
    seed: int = 42
    device: str = "cpu"
    precision: str = "fp32"  # or bf16
    peak: float = 0.0  # of one cycle, times learning_rate; 1: no climb; 0: a constant rate
    clip_norm: float = 0.0  # largest norm of the gradient; 0: no bound
    embedding_rate: float = 1.0  # learning rate of word vectors, as a share of the others'


@dataclass
class Run:
    """A training that has ended: the model of its best epoch, and a record of every epoch."""

    model: nn.Module | LinearModel
    history: list[dict[str, float]]  # one per epoch: train_loss, val_accuracy, seconds, …
    best_epoch: int  # counted from 1; 0: none
    train_seconds: float  # of training alone, without validation; for LinearModel all of `fit`
    num_parameters: int
    diverged: dict[str, float] | None = None  # where a loss became NaN or infinite


class Place(Protocol):
    """Where a training keeps what it has reached: `runs.folder.Place` for a model of a run."""

    name: str

    def recall(self, model, data, config: TrainingConfig | None) -> Run | None: ...
    def latest(self) -> dict | None: ...
    def save(self, epoch: int, state: dict) -> None: ...
    def keep(self, run: Run) -> None: ...


class Diverged(ArithmeticError):
    """A loss became NaN or infinite; its argument is the step within the epoch, counted from 1."""


def fit(
    model: nn.Module, data, config: TrainingConfig, place: Place | None = None, name: str = "model"
) -> Run:
    """Train a copy of `model` on data.train with Adam; keep the epoch of best validation accuracy.

    The given model is not changed, and all randomness is drawn from (seed, purpose, epoch): the
    same call gives the same Run. With a `place`, the same call returns a finished Run, or continues
    after the last finished epoch and ends with the same bits; if model, data or code have changed,
    it trains from the start. A loss that becomes NaN or infinite ends the training; the Run's
    `diverged` says where. Raises MemoryError if a batch does not fit a GPU's memory.
    """
    name = place.name if place else name
    if place and (finished := place.recall(model, data, config)):
        return finished
    model = copy.deepcopy(model).to(config.device)
    train, validation = data.train.to(config.device), data.validation.to(config.device)
    optimizer = torch.optim.Adam(groups(model, config), lr=config.learning_rate, fused=True)
    steps = len(train.order(config.batch_size))  # an epoch
    scheduler = one_cycle(optimizer, config, steps * config.num_epochs)

    history, best_epoch, best_weights, diverged = [], 0, copy.deepcopy(model.state_dict()), None
    if place and (saved := place.latest()):
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        history, best_epoch = saved["history"], saved["best_epoch"]
        best_weights = saved["best_weights"]
        print(f"{name}: going on after epoch {len(history)} of {config.num_epochs}.")

    epochs = range(len(history) + 1, config.num_epochs + 1)
    with Progress(name, steps * len(epochs)) as progress, deterministic(config.device):
        for epoch in epochs:
            torch.manual_seed(digests.seed(config.seed, "dropout", epoch))  # all dropouts and shift
            generator = torch.Generator().manual_seed(digests.seed(config.seed, "order", epoch))
            order = train.order(config.batch_size, generator)
            record = {"epoch": epoch, "learning_rate": optimizer.param_groups[0]["lr"]}
            try:
                record |= train_epoch(model, train, order, optimizer, scheduler, config, progress)
                logits = predict(model, validation, config.precision)
                val_loss = float(metrics.loss(logits, validation.y))
                if not math.isfinite(val_loss):  # the very last step can spoil the weights
                    raise Diverged(len(order))
            except Diverged as error:
                step, rate = error.args[0], record["learning_rate"]
                diverged = {"epoch": epoch, "step": step, "seed": config.seed}
                diverged["learning_rate"] = rate
                where = f"epoch {epoch}, step {step} (seed {config.seed}, learning rate {rate:.2g})"
                print(f"{name} diverged: its loss became NaN or infinite in {where}.")
                print("A smaller learning_rate may help.")
                break
            except torch.OutOfMemoryError as error:  # a GPU's
                raise MemoryError(
                    f"{name}: batches of {config.batch_size} do not fit on {config.device}: "
                    "choose a smaller batch_size."
                ) from error
            scores = metrics.scores(logits, validation.y)
            record |= {f"val_{measure}": value for measure, value in scores.items()}
            record["val_loss"] = val_loss
            if record["val_accuracy"] > max((past["val_accuracy"] for past in history), default=-1):
                best_epoch, best_weights = epoch, copy.deepcopy(model.state_dict())
            history.append(record)
            progress.epoch(record, config.num_epochs)
            if place:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                state |= {"scheduler": scheduler.state_dict(), "history": history}
                state |= {"best_epoch": best_epoch, "best_weights": best_weights}
                place.save(epoch, state)

    model.load_state_dict(best_weights)
    seconds = sum(record["seconds"] for record in history)
    run = Run(model, history, best_epoch, seconds, count_parameters(model), diverged)
    if place:
        place.keep(run)
    return run


def fit_linear(model: LinearModel, data, place: Place | None = None) -> Run:
    """Fit the linear baseline on the whole texts of data.train, or return what is finished.

    Raises ValueError if the reviews are all of one class.
    """
    if place and (finished := place.recall(model, data, None)):
        return finished
    seconds = model.fit(data.train)  # in place, no copy
    run = Run(model, [], 0, seconds, model.num_parameters)  # no epochs
    if place:
        place.keep(run)
    return run


def one_cycle(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the learning rate's schedule: one cycle over all steps, or constant without a peak.

    With a peak above 1 the rate climbs to it in the first three tenths of the steps; then it falls
    to almost 0 (Smith and Topin, 2017).
    """
    if not config.peak or not steps:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    highest = [config.peak * group["lr"] for group in optimizer.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, steps, div_factor=config.peak, cycle_momentum=False
    )


def groups(model: nn.Module, config: TrainingConfig) -> list[dict]:
    """Return the optimiser's parameter groups; word vectors get their own if their rate differs."""
    rate = config.learning_rate
    if config.embedding_rate == 1:
        return [{"params": list(model.parameters()), "lr": rate}]
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    vectors = [weight for module in embeddings for weight in module.parameters()]
    others = [weight for weight in model.parameters() if all(weight is not one for one in vectors)]
    return [{"params": others, "lr": rate}, {"params": vectors, "lr": config.embedding_rate * rate}]


def train_epoch(
    model: nn.Module,
    data,
    order: list[Tensor],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    config: TrainingConfig,
    progress: Progress,
) -> dict[str, float]:
    """Take one step per batch, in the given order; return the epoch's loss, accuracy and seconds.

    Loss and accuracy are means over the examples, each taken when its batch was trained on, with
    dropout. Raises Diverged at the end of the epoch if a loss was NaN or infinite.
    """
    model.train()
    started = time.perf_counter()
    total_loss, num_correct, num_seen, losses = 0, 0, 0, []
    for index in order:
        *inputs, y = data.batch(index)
        with autocast(y.device, config.precision):
            logits = model(*inputs)
        loss = metrics.loss(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        if config.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())  # looked at after the epoch, so that no step waits for a GPU
        total_loss += losses[-1] * len(y)  # one batch may be short, so weight by examples
        num_correct += (metrics.predictions(logits.detach()) == y).sum()
        num_seen += len(y)
        progress.step(total_loss, num_correct, num_seen)
    finite = torch.stack(losses).isfinite()
    if not finite.all():
        raise Diverged(int(finite.long().argmin()) + 1)
    return {
        "train_loss": float(total_loss) / num_seen,
        "train_accuracy": float(num_correct) / num_seen,
        "seconds": time.perf_counter() - started,
    }


@torch.no_grad()
def predict(model: nn.Module, data, precision: str = "fp32", batch_size: int = 256) -> Tensor:
    """Return the logits of every example of `data`, in its order: (N, C).

    The model stays in the mode it was in. Batches that do not fit a GPU's memory are halved.
    """
    was_training, device = model.training, next(model.parameters()).device
    data, parts, order = data.to(device), [], data.order(batch_size)
    model.eval()
    try:
        with deterministic(device.type), autocast(device, precision):
            for index in order:
                *inputs, _ = data.batch(index.to(device))
                parts.append(model(*inputs).float())
    except torch.OutOfMemoryError:  # a GPU's; on a CPU it is a RuntimeError
        if batch_size == 1:
            raise
        return predict(model, data, precision, batch_size // 2)
    finally:
        model.train(was_training)
    places = torch.cat(order).argsort()  # a batch may hold any examples; put them back
    return torch.cat(parts)[places]
