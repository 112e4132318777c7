"""The fast path gives the numbers of the plain one: same weights and batches, 50 steps of Adam.

The plain side is PyTorch's own stacked layers on text padded to 500 words, in a loop written out,
without a fused optimiser. The fast side is `training.train_epoch` on batches cut to their longest
review (uncut for `padded`). Dropout is off.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit import training
from labkit.data import imdb, mnist, words
from labkit.machine.progress import Progress
from labkit.models import classifiers

STEPS, WIDTH = 50, 500


class PlainDigits(nn.Module):
    """nn.RNN or nn.LSTM over the rows, the last step, linear."""

    def __init__(self, net, cell):
        super().__init__()
        self.rnn = getattr(nn, cell)(32, 24, 2, batch_first=True)
        self.rnn.load_state_dict(net.rnn.state_dict())
        self.head = nn.Linear(24, 10)
        self.head.load_state_dict(net.head.state_dict())

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class PlainText(nn.Module):
    """Embedding, stacked nn.RNN or nn.LSTM over everything up to word 500, read-out, linear."""

    def __init__(self, net, cell, readout):
        super().__init__()
        self.readout = readout
        self.embedding = nn.Embedding(*net.embedding.weight.shape, padding_idx=0)
        self.embedding.load_state_dict(net.embedding.state_dict())
        self.rnn = getattr(nn, cell)(net.embedding.embedding_dim, 12, 2, batch_first=True)
        stacked = {
            f"{name[:-1]}{k}": value
            for k, layer in enumerate(net.forward_layers)
            for name, value in layer.state_dict().items()
        }
        self.rnn.load_state_dict(stacked)
        self.head = nn.Linear(net.head.in_features, 1)
        self.head.load_state_dict(net.head.state_dict())

    def forward(self, ids, lengths):
        states = self.rnn(self.embedding(ids))[0]
        rows = [state[:length] for state, length in zip(states, lengths, strict=True)]
        if self.readout == "padded":
            return self.head(states[:, -1])
        last = torch.stack([row[-1] for row in rows])
        if self.readout == "last":
            return self.head(last)
        mean, maximum = (
            torch.stack(part)
            for part in ([row.mean(0) for row in rows], [row.amax(0) for row in rows])
        )
        return self.head(torch.cat([last, mean, maximum], 1))


def plain_losses(net, batches):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for *inputs, y in batches:
        logits = net(*inputs)
        binary = logits.shape[1] == 1
        loss = (
            F.binary_cross_entropy_with_logits(logits[:, 0], y.float())
            if binary
            else F.cross_entropy(logits, y)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def fast_losses(net, data, order):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    config = training.TrainingConfig(1)
    constant = training.one_cycle(optimizer, config, 0)
    with Progress("", len(order)) as progress:
        steps = [
            training.train_epoch(net, data, [index], optimizer, constant, config, progress)
            for index in order
        ]
    return [step["train_loss"] for step in steps]


@pytest.mark.parametrize("name", ["LeNet", "RNN", "LSTM"])
def test_digits(name):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(8 * STEPS, 32, 32, generator=generator), torch.arange(8 * STEPS) % 10
    x[torch.arange(len(y)), 3 * y] += 2.0
    data = mnist.Split(x, y)
    torch.manual_seed(0)
    net = (
        classifiers.LeNet()
        if name == "LeNet"
        else classifiers.SequenceClassifier(name, 32, 24, 2, 10, 0.0)
    )
    layer_by_layer = (
        nn.Sequential(nn.Unflatten(1, (1, 32)), *copy.deepcopy(net.layers))
        if name == "LeNet"
        else None
    )
    twin = layer_by_layer or PlainDigits(net, name)
    order = data.order(8, torch.Generator().manual_seed(1))
    expected = plain_losses(twin, [(x[index], y[index]) for index in order])
    assert fast_losses(net, data, order) == pytest.approx(expected, abs=1e-4)
    assert np.std(expected) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("readout", classifiers.READOUTS)
@pytest.mark.parametrize("cell", ["RNN", "LSTM"])
def test_reviews(cell, readout):
    random = np.random.default_rng(0)
    labels = np.arange(4 * STEPS) % 2
    known = [f"w{k}" for k in range(40)]
    texts = [
        " ".join(random.choice(known[20 * label :][:25], random.integers(1, 60)))
        for label in labels
    ]
    vocabulary = words.Vocabulary(known)
    data = imdb.encode(texts, labels, vocabulary, WIDTH, width=WIDTH if readout == "padded" else 0)
    wide = imdb.encode(texts, labels, vocabulary, WIDTH, width=WIDTH)
    torch.manual_seed(0)
    net = classifiers.TextClassifier(cell, len(vocabulary), 10, 12, num_layers=2, readout=readout)
    twin = PlainText(net, cell, readout)
    order = data.order(4, torch.Generator().manual_seed(1))
    if readout != "padded":
        assert max(data.batch(index)[0].shape[1] for index in order) < 60 < WIDTH
    expected = plain_losses(twin, [wide.batch(index) for index in order])
    assert fast_losses(net, data, order) == pytest.approx(expected, abs=1e-4)
