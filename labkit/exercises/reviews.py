"""The exercises on loss, scores, training and seeds: what is right, and what is often written.

A name such as `a+b` stands for two mistakes at once. wrong.toml says what each is told.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises.judge import Exercise, joined, normal

LOSSES = {
    "": lambda z, y: F.binary_cross_entropy_with_logits(z.squeeze(1), y.double()),
    "pairs": lambda z, y: (F.softplus(z) - z * y).mean(),
    "sigmoid_twice": lambda z, y: LOSSES[""](z.sigmoid(), y),
    "sum": lambda z, y: (F.softplus(z) - z * y[:, None]).sum(),
}
DECISIONS = {
    "": lambda z: z.squeeze(1) > 0,
    "argmax": lambda z: z.argmax(1) > 0,
    "always_positive": lambda z: z.squeeze(1).sigmoid() > 0,
    "half": lambda z: z.squeeze(1) > 0.5,
    "two_axes": lambda z: z > 0,
}


LOSS = Exercise(
    name="loss_and_decision",
    points=4,
    reference=lambda logits, y: (LOSSES[""](logits, y), DECISIONS[""](logits)),
    draw=lambda: [
        (torch.tensor([[0.3], [-1.2]]).double(), torch.tensor([1, 1])),
        (torch.tensor([[2.0, -0.4, 0.1, 0.9, -3]]).double().T, torch.tensor([1, 0, 0, 1, 1])),
    ],
    wrong={
        **joined((LOSSES, DECISIONS), lambda loss, decide: lambda z, y: (loss(z, y), decide(z))),
        "sizes": lambda z, y: (F.binary_cross_entropy_with_logits(z, y.double()), z > 0),
        "integers": lambda z, y: (F.binary_cross_entropy_with_logits(z.squeeze(1), y), z > 0),
    },
)


def _wilson(p, n, z=1.96):
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def _normal(p, n):
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return p - half, p + half


ACCURACIES = {
    "": lambda parts, p, y: (p == y).double().mean(),
    "batch_means": lambda parts, *_: sum((p == y).double().mean() for p, y in parts) / len(parts),
}
ORDERS = {"": lambda p, r: (p, r), "swapped": lambda p, r: (r, p)}
F1 = {"": lambda p, r: 2 * p * r / (p + r), "plain_mean": lambda p, r: (p + r) / 2}
INTERVALS = {"": _wilson, "normal": _normal, "one_sd": lambda p, n: _wilson(p, n, 1.0)}


def _scored(accuracy, order, f1, interval):
    def scores(batches):
        from labkit import metrics  # only here: the exercises on images do without scikit-learn

        predicted, y = (torch.cat(part) for part in zip(*batches, strict=True))
        found = metrics.scores(2.0 * predicted[:, None] - 1, y)
        share = float(accuracy(batches, predicted, y))
        both = found["precision"], found["recall"]
        return share, *order(*both), f1(*both), *interval(share, len(y))

    return scores


def _draw_batches():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (41,), generator=generator)
    predicted = torch.where(torch.rand(41, generator=generator) < 0.8, y, 1)
    some = list(zip(predicted.split(16), y.split(16), strict=True))  # 16, 16 and 9 reviews
    two = zip(torch.tensor([1, 0, 1, 1]).split(3), torch.ones(4).long().split(3), strict=True)
    return [(list(two),), (some,), ([(y, y)],)]


SCORES = Exercise(
    name="scores",
    points=6,
    reference=_scored(*(kind[""] for kind in (ACCURACIES, ORDERS, F1, INTERVALS))),
    draw=_draw_batches,
    wrong=joined((ACCURACIES, ORDERS, F1, INTERVALS), _scored),
    tolerance=1e-4,  # 1.96 or 1.959964, float32 or float64
)

FAULTS = ("label_order drawn_once", "no_zero_grad", "clipped_late", "no_eval", "best_by_test")


def _trained(*faults):
    def train(model, x, y, loss, validation, test, num_epochs):
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        best, weights = -torch.inf, None
        for epoch in range(num_epochs):
            model.train()
            if not epoch or "drawn_once" not in faults:
                order = torch.arange(len(y)) if "label_order" in faults else torch.randperm(len(y))
            if "reordered" in faults:
                x, y, order = x[order], y[order], torch.arange(len(y))
            for k, index in enumerate(order.split(4)):
                if not ("no_zero_grad" in faults or k and "zeroed_each_epoch" in faults):
                    optimizer.zero_grad()
                loss(model(x[index]), y[index]).backward()
                if "clipped_late" not in faults:
                    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                optimizer.step()
                if "clipped_late" in faults:
                    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            model.train("no_eval" in faults)
            score = (test if "best_by_test" in faults else validation)(model)
            if score > best:
                best, weights = score, copy.deepcopy(model.state_dict())
        return weights

    return train


def _loss(logits, y):
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), y)


def _part(seed, n, noise):
    """Return a score of a model on n made-up reviews: minus its loss, so that higher is better."""
    x, error = normal(seed, (n, 6), (n,))
    y = (x.sum(1) + noise * error > 0).double()
    return lambda model: float(-_loss(model(x), y).detach())


def _draw_training():
    cases = []
    for n in (8, 14, 20, 26):  # so many that no two of the loops end alike
        x, error = normal(n, (n, 6), (n,))
        y = (x.sum(1) + error > 0).double()
        model = nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 1)).double()
        for weight in model.parameters():
            nn.init.constant_(weight, -0.1)
        parts = _part(137 + n, 4, 6), _part(120 + n, 12, 8)  # validation, test
        order = y.argsort(stable=True)  # all negative reviews, then all positive ones
        cases.append((model, x[order], y[order], _loss, *parts, 4))
    return cases


TRAIN = Exercise(
    name="train",
    points=5,
    reference=_trained(),
    draw=_draw_training,
    wrong={
        **joined([{fault: fault for fault in ("", *kind.split())} for kind in FAULTS], _trained),
        **{fault: _trained(fault) for fault in ("reordered", "zeroed_each_epoch")},  # only alone
    },
)


def _quantile(df):
    from scipy import stats  # only here, as above

    return stats.t.ppf(0.975, df)


def _spread(a, b, correction=1):
    return (a - b).std(correction=correction) / len(a) ** 0.5


HALF_WIDTHS = {
    "": lambda a, b: _quantile(len(a) - 1) * _spread(a, b),
    "unpaired": lambda a, b: (_quantile(2 * len(a) - 2) * ((a.var() + b.var()) / len(a)) ** 0.5),
    "normal_quantile": lambda a, b: 1.96 * _spread(a, b),
    "of_one_seed": lambda a, b: _quantile(len(a) - 1) * (a - b).std(),
    "n_degrees": lambda a, b: _quantile(len(a)) * _spread(a, b),
    "n_not_n_minus_1": lambda a, b: _quantile(len(a) - 1) * _spread(a, b, correction=0),
}
VERDICTS = {
    "": lambda mean, half: "a" if mean > half else "b" if mean < -half else "undecided",
    "by_the_mean": lambda mean, half: "a" if mean > 0 else "b",
}


def _compared(half_width, said):
    def compare(a, b):
        mean, half = float((a - b).mean()), float(half_width(a, b))
        return mean, mean - half, mean + half, said(mean, half)

    return compare


_paired = _compared(HALF_WIDTHS[""], VERDICTS[""])

PAIRED = Exercise(
    name="paired",
    points=6,
    reference=_paired,
    draw=lambda: [
        (torch.tensor(a).double(), torch.tensor(b).double())
        for a, b in [
            ([0.88, 0.86, 0.91], [0.85, 0.84, 0.88]),
            ([0.87, 0.96, 0.78, 0.88, 0.83], [0.86, 0.95, 0.79, 0.85, 0.84]),
            ([0.80, 0.84, 0.82, 0.79], [0.83, 0.86, 0.85, 0.81]),
            ([0.82, 0.78, 0.90], [0.85, 0.78, 0.91]),
        ]
    ],
    wrong={**joined((HALF_WIDTHS, VERDICTS), _compared), "b_minus_a": lambda a, b: _paired(b, a)},
)

EXERCISES = (LOSS, SCORES, TRAIN, PAIRED)
