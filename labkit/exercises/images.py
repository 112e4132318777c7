"""The exercises on images, sizes and the loss: what is right, and what is often written.

Where PyTorch has the function, PyTorch is right. wrong.toml says what each wrong answer is told.
Shapes: N digits, T rows, D pixels a row, C channels or classes; all unequal.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises.judge import Exercise, normal


def _normalise(images, train):
    train = train.double() / 255
    return (images / 255 - train.mean()) / train.std()


def _draw_bytes():
    generator = torch.Generator().manual_seed(0)
    train = torch.randint(0, 130, (60, 8, 9), generator=generator).byte()
    digits = torch.randint(0, 90, (5, 8, 9), generator=generator).byte()
    return [(torch.tensor([[[0, 255], [3, 20]], [[7, 0], [0, 9]]]).byte(), train), (digits, train)]


NORMALISE = Exercise(
    name="normalise",
    points=2,
    reference=_normalise,
    draw=_draw_bytes,
    wrong={
        "images_in_bytes": lambda images, train: _normalise(images.double() * 255, train),
        "statistics_in_bytes": lambda images, train: _normalise(images / 255, train),
        "own_statistics": lambda images, train: _normalise(images, images),
        "each_image": lambda images, train: torch.stack([_normalise(one, one) for one in images]),
        "variance": lambda images, train: _normalise(images, train) / (train / 255).std(),
        "mean_only": lambda images, train: _normalise(images, train) * (train / 255).std(),
        "scaled_only": lambda images, train: images / 255,
    },
    tolerance=1e-3,  # the standard deviation of n and that of n - 1 are both fine
)


def _num_parameters(cell, input_size, hidden_size, num_layers, num_classes):
    rnn = getattr(nn, cell)(input_size, hidden_size, num_layers)
    head = nn.Linear(hidden_size, num_classes)
    return sum(weight.numel() for weight in (*rnn.parameters(), *head.parameters()))


def _count(gates=4, biases=2, states=True, head=1, head_bias=1, alike=False, upper=9):
    def count(cell, input_size, hidden_size, num_layers, num_classes):
        times = gates if cell == "LSTM" else 1
        sizes = [input_size] + [input_size if alike else hidden_size] * min(num_layers - 1, upper)
        a_unit = [size + states * hidden_size + biases for size in sizes]
        total = sum(times * hidden_size * size for size in a_unit)
        return total + head * num_classes * (hidden_size + head_bias)

    return count


COUNT = Exercise(
    name="num_parameters",
    points=4,
    reference=_num_parameters,
    draw=lambda: [(cell, 3, 5, layers, 4) for layers in (1, 2, 3) for cell in ("RNN", "LSTM")],
    wrong={
        "one_gate": _count(gates=1),
        "three_gates": _count(gates=3),
        "one_bias": _count(biases=1),
        "no_bias": _count(biases=0, head_bias=0),
        "no_state_weights": _count(states=False),
        "no_head": _count(head=0),
        "no_head_bias": _count(head_bias=0),
        "layers_alike": _count(alike=True),
        "two_layers": _count(upper=1),
        "one_layer": _count(upper=0),
        "one_bias+layers_alike": _count(biases=1, alike=True),
    },
)


def _convolve(image, kernel, bias, padding):
    return F.conv2d(image[None], kernel[None], bias.view(1), padding=padding)[0, 0]


CONVOLVE = Exercise(
    name="convolve",
    points=6,
    reference=_convolve,
    draw=lambda: [
        (*normal(c, (c, 6, 7), (c, k, k), ()), p) for c, k, p in [(1, 3, 1), (3, 5, 2), (2, 3, 0)]
    ],
    wrong={
        "flipped": lambda i, k, b, p: _convolve(i, k.flip(1, 2), b, p),
        "turned": lambda i, k, b, p: _convolve(i, k.transpose(1, 2), b, p),
        "no_border": lambda i, k, b, p: _convolve(i, k, b, 0),
        "averaged": lambda i, k, b, p: _convolve(i, k / len(i), b, p),
        "first_channel": lambda i, k, b, p: _convolve(i[:1], k[:1], b, p),
        "no_bias": lambda i, k, b, p: _convolve(i, k, b * 0, p),
        "bias_for_each": lambda i, k, b, p: _convolve(i, k, b * len(i), p),
    },
)


def _draw_logits():
    a, b, c = normal(0, (1, 3), (4, 3), (2, 5))
    return [(z, torch.tensor(y)) for z, y in ((a, [1]), (b, [2, 0, 0, 1]), (1000 * c, [4, 2]))]


CROSS_ENTROPY = Exercise(
    name="cross_entropy",
    points=4,
    reference=lambda logits, y: F.cross_entropy(logits, y),
    draw=_draw_logits,
    wrong={
        "softmax_twice": lambda logits, y: F.cross_entropy(logits.softmax(1), y),
        "sum": lambda logits, y: F.cross_entropy(logits, y, reduction="sum"),
        "unstable": lambda logits, y: F.nll_loss(logits - logits.exp().sum(1, True).log(), y),
        "by_hand": lambda z, y: F.nll_loss((z.exp() / z.exp().sum(1, True)).log(), y),
        "no_minus": lambda logits, y: -F.cross_entropy(logits, y),
        "over_classes_too": lambda logits, y: F.cross_entropy(logits, y) / logits.shape[1],
        "surest_class": lambda logits, y: F.cross_entropy(logits, logits.argmax(1)),
        "wrong_axis": lambda logits, y: F.nll_loss(logits.log_softmax(0), y),
        "not_normalised": lambda logits, y: F.nll_loss(logits, y),
    },
)


def _disturb(images, seed, paper, k):
    permuted = images.flatten(1)[:, _order(images[0].numel(), seed)].view_as(images)
    blank = images.new_full((len(images), k, images.shape[2]), paper)
    return permuted, torch.cat([images, blank], 1)


def _order(size, seed):
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def _each_its_own(images, seed):
    generator = torch.Generator().manual_seed(seed)
    moved = [x.flatten()[torch.randperm(x.numel(), generator=generator)] for x in images]
    return torch.stack(moved)


def _permuted(permute):
    return lambda x, seed, *how: (permute(x, seed).view_as(x), _disturb(x, seed, *how)[1])


def _longer(append):
    return lambda images, *how: (_disturb(images, *how)[0], append(images, *how))


DISTURB = Exercise(
    name="disturb",
    points=4,
    reference=_disturb,
    draw=lambda: [
        (*normal(n, (n, t, d)), 10 + n, -0.42, k) for n, t, d, k in [(2, 2, 3, 1), (3, 5, 4, 2)]
    ],
    wrong={
        "each_its_own": _permuted(_each_its_own),
        "other_way": _permuted(lambda x, s: x.flatten(1)[:, _order(x[0].numel(), s).argsort()]),
        "rows_only": _permuted(lambda x, seed: x[:, _order(x.shape[1], seed)]),
        "digits_only": _permuted(lambda x, seed: x[_order(len(x), seed)]),
        "flat": lambda x, *how: (_disturb(x, *how)[0].flatten(1), _disturb(x, *how)[1]),
        "before": _longer(lambda x, *how: _disturb(x.flip(1), *how)[1].flip(1)),
        "zeros": lambda images, seed, paper, k: _disturb(images, seed, 0.0, k),
        "both_at_once": _longer(lambda x, *how: _disturb(_disturb(x, *how)[0], *how)[1]),
    },
)

EXERCISES = (NORMALISE, COUNT, CONVOLVE, CROSS_ENTROPY, DISTURB)
