"""How long a training will take, said before it begins."""

from __future__ import annotations

import copy

import torch
from torch import nn

from labkit import training
from labkit.machine.progress import Progress, in_words
from labkit.training import TrainingConfig


def how_long(models: dict[str, nn.Module], data, config: TrainingConfig) -> str:
    """Say how long training takes on this machine as it is now."""
    taken, (*others, last) = in_words(seconds_needed(models, data, config)), models
    names = f"{', '.join(others)} and {last}" if others else last
    return f"Training {names} from the start takes {taken} here."


def seconds_needed(models: dict[str, nn.Module], data, config: TrainingConfig) -> float:
    """Return how many seconds all epochs will take: a few steps of each model are timed."""
    train, seconds = data.train.to(config.device), 0.0
    order = train.order(config.batch_size)
    some = order[len(order) // 12 :: max(1, len(order) // 6)]  # of every length
    # a validation batch is read forwards alone: a third of a step
    steps = len(order) + len(data.validation) / config.batch_size / 3
    for net in models.values():
        model = copy.deepcopy(net).to(config.device)
        optimizer = torch.optim.Adam(training.groups(model, config), fused=True)
        rate = training.one_cycle(optimizer, config, 0)
        with Progress("timing", 1) as progress, torch.random.fork_rng():
            for part in (some[:1], some):  # the first step is slower than the rest
                timed = training.train_epoch(model, train, part, optimizer, rate, config, progress)
        seconds += timed["seconds"] / len(some) * steps * config.num_epochs
    return seconds
