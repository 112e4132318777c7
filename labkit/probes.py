"""Probes: look into trained models, and see why they answer as they do.

A probe takes a model of `trained` and examples, and returns numbers; probe_figures draws them.
Shapes: N examples, T steps (rows or words), D features a step, H hidden units, C classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import pad

from labkit import metrics, training
from labkit.data import imdb, mnist, words
from labkit.data.words import PAD, Vocabulary
from labkit.models.classifiers import LeNet, SequenceClassifier, TextClassifier
from labkit.models.linear import LinearModel

Model = nn.Module | LinearModel
PAPER = (0 - mnist.MEAN) / mnist.STD  # a pixel without ink
GATES = ("input", "forget", "candidate", "output")  # in the order of PyTorch's weights


def trained(runs: Mapping[str, training.Run]) -> dict[str, Model]:
    """Return copies of the trained models, on the CPU and without dropout."""
    models = {name: copy.deepcopy(run.model) for name, run in runs.items()}
    return {n: m if isinstance(m, LinearModel) else m.cpu().eval() for n, m in models.items()}


def accuracy(model: Model, part: mnist.Split | imdb.Split) -> float:
    """Return the accuracy on a part; NaN if LeNet is given pictures of another size than 32."""
    if isinstance(model, LeNet) and part.x.shape[1] != mnist.SIZE:
        return math.nan
    logits = model.logits(part) if isinstance(model, LinearModel) else training.predict(model, part)
    return float((metrics.predictions(logits) == part.y).double().mean())


# Images: x is (N, T, D), a digit read row by row


@torch.no_grad()
def row_by_row(model: nn.Module, x: Tensor) -> Tensor:
    """Return the class probabilities after every row, as if the digit ended there: (N, T, C).

    The state after a row goes through the model's last layer. LeNet is shown the rows so far, and
    paper below them.
    """
    if isinstance(model, SequenceClassifier):
        return model.head(model.rnn(x)[0]).softmax(dim=2)
    row = torch.arange(x.shape[1])[:, None]  # (T, 1)
    seen = [torch.where(row <= last, x, PAPER) for last in row]
    return torch.stack([model(part).softmax(dim=1) for part in seen], dim=1)


def decided_at(probabilities: Tensor) -> Tensor:
    """Return the row from which an answer stays what it is at the end: (N, T, C) → (N,), from 1."""
    answers = probabilities.argmax(dim=2)
    as_at_the_end = (answers == answers[:, -1:]).flip(1).long().cumprod(dim=1)  # (N, T), backwards
    return answers.shape[1] + 1 - as_at_the_end.sum(dim=1)


def gradient_norms(model: SequenceClassifier, x: Tensor, y: Tensor) -> Tensor:
    """Return ‖∂loss/∂h_t‖ for every row, its mean over the digits: x (N, T, D), y (N,) → (T,).

    h_t is what all recurrent layers hand on to the next row; an LSTM hands c_t on beside it.
    PyTorch's layer is given one row at a time, so that each h_t can be asked for its gradient.
    """
    step = next(c.forward for c in (nn.RNN, nn.LSTM, nn.GRU) if isinstance(model.rnn, c))
    state, states = None, []
    for row in x.split(1, dim=1):
        _, state = step(model.rnn, row, state)
        states.append(state[0] if isinstance(state, tuple) else state)  # (layers, N, H)
    total = metrics.loss(model.head(states[-1][-1]), y) * len(y)  # each digit has its own gradient
    gradients = torch.stack(torch.autograd.grad(total, states))  # (T, layers, N, H)
    return gradients.norm(dim=(1, 3)).mean(dim=1)


def half_life(norms: Tensor) -> float:
    """Return over how many rows back a gradient (T,) halves, by least squares; doubles if < 0."""
    logs = norms.double().clamp(min=1e-30).log2().numpy()
    slope = float(np.polyfit(np.arange(len(logs)), logs, 1)[0])
    return 1 / slope if slope else math.inf


def broken(x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return the digits as they are, and with one assumption broken, the same way in all of them.

    Permutations are drawn from the seed; blank rows are added below, where they are read last.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(x.shape[1], generator=generator)
    pixels = torch.randperm(x[0].numel(), generator=generator)
    blank = torch.full_like(x, PAPER)
    return {
        "as it is": x,
        "8 blank rows": torch.cat([x, blank[:, :8]], dim=1),
        "32 blank rows": torch.cat([x, blank], dim=1),
        "columns for rows": x.transpose(1, 2),
        "rows permuted": x[:, rows],
        "pixels permuted": x.flatten(1)[:, pixels].view_as(x),
    }


@torch.no_grad()
def gates(model: SequenceClassifier, x: Tensor, **held: float) -> tuple[Tensor, Tensor]:
    """Run an LSTM by its equations; return logits (N, C) and the top layer's gates (N, T, 4, H).

    The four are those of GATES. held: gate → the value that it is held at in all units and layers.
    """
    for W, U, b_x, b_h in model.rnn.all_weights:
        h = c = x.new_zeros(len(x), model.rnn.hidden_size)
        states, opened = [], []
        for x_t in x.unbind(dim=1):
            i, f, g, o = (x_t @ W.T + b_x + h @ U.T + b_h).chunk(4, dim=1)
            found = dict(zip(GATES, (i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()), strict=True))
            i, f, g, o = (torch.full_like(h, held[n]) if n in held else found[n] for n in GATES)
            c = f * c + i * g
            h = o * c.tanh()
            states.append(h)
            opened.append(torch.stack([i, f, g, o], dim=1))
        x = torch.stack(states, dim=1)
    return model.head(h), torch.stack(opened, dim=1)


def only_wrong(logits: Mapping[str, Tensor], y: Tensor) -> dict[str, Tensor]:
    """Return the indices of the examples that each model alone gets wrong, its surest first.

    logits: model → (N, C), y: (N,).
    """
    wrong = {name: metrics.predictions(each) != y for name, each in logits.items()}
    alone = {name: wrong[name] & (sum(wrong.values()) == 1) for name in logits}
    sure = {name: each.softmax(dim=1).amax(dim=1) for name, each in logits.items()}
    order = {name: sure[name].argsort(descending=True, stable=True) for name in logits}
    return {name: order[name][alone[name][order[name]]] for name in logits}


def confusions(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return the true class, the one it is taken for, and how often, the most frequent first."""
    counts = np.array(confusion)
    np.fill_diagonal(counts, 0)
    order = (-counts).ravel().argsort(kind="stable")[: (counts > 0).sum()]
    return [(int(k // len(counts)), int(k % len(counts)), int(counts.flat[k])) for k in order]


# Text: ids is (N, T), N texts of T words each


def encode(text: str, vocabulary: Vocabulary) -> Tensor:
    """Return the ids of a text as a batch of its own, (1, T)."""
    return torch.tensor([vocabulary.encode(words.tokenize(text))])


def some(part: mnist.Split | imdb.Split, num: int) -> mnist.Split | imdb.Split:
    """Return every k-th example, at most `num`: the official test of reviews is sorted by label."""
    names, k = ("x", "starts", "num_words", "lengths", "y", "texts"), -(-len(part) // num)
    return replace(part, **{n: getattr(part, n)[::k] for n in names if hasattr(part, n)})


def cut(part: imdb.Split, max_len: int, tail: float = 0.0) -> imdb.Split:
    """Return reviews of which at most `max_len` words are read, the share `tail` from the end."""
    width = part.width and max(part.width, max_len)
    lengths = part.num_words.clamp(max=max_len)
    return replace(part, lengths=lengths, tail=round(tail * max_len), width=width)


def answers(model: nn.Module | LinearModel, texts: Sequence[str], vocabulary: Vocabulary) -> Tensor:
    """Return the logit of every text, read alone and without padding: (N,)."""
    part = imdb.encode(texts, np.zeros(len(texts)), vocabulary, max_len=10**9)
    linear = isinstance(model, LinearModel)
    return (model.logits(part) if linear else training.predict(model, part, batch_size=1))[:, 0]


def read(text: str, runs: Mapping[str, training.Run], vocabulary: Vocabulary) -> dict:
    """Return the words of a text, and for each model the running logit and the contributions.

    The running logit (T,) is that of the words so far. A word's contribution (T,) is the logit of
    the whole text less that of the text without the word. Raises ValueError without a word.
    """
    all_words = words.tokenize(text)
    if not all_words:
        raise ValueError(f"{text!r} has no word in it: give at least one.")
    so_far = [" ".join(all_words[: k + 1]) for k in range(len(all_words))]
    without = [" ".join(all_words[:k] + all_words[k + 1 :]) for k in range(len(all_words))]
    found = {"words": all_words, "running": {}, "contribution": {}}
    for name, model in trained(runs).items():
        found["running"][name] = running = answers(model, so_far, vocabulary)
        found["contribution"][name] = running[-1] - answers(model, without, vocabulary)
    return found


def with_readout(model: TextClassifier, readout: str, part: imdb.Split) -> TextClassifier:
    """Return the model with another read-out, whose linear layer is fitted anew to `part`.

    Word vectors and recurrent layers stay as they are: the accuracy shows what they still hold.
    """
    model = copy.deepcopy(model)
    model.readout, model.head = readout, nn.Identity()
    features = training.predict(model, _as_read(model, part))  # (N, H), or (N, 3H) for `pool`
    fitted = LogisticRegression(C=0.1, max_iter=1_000).fit(features.numpy(), part.y.numpy())
    model.head = nn.Linear(features.shape[1], 1)
    model.head.weight.data = torch.from_numpy(fitted.coef_).float()
    model.head.bias.data = torch.from_numpy(fitted.intercept_).float()
    return model.eval()


@torch.no_grad()
def running_logits(model: TextClassifier, ids: Tensor, paddings: Sequence[int]) -> Tensor:
    """Return the logit of a text (1, T) after each word, then with each number of <pad>s added."""
    read = [ids[:, : k + 1] for k in range(ids.shape[1])]
    logits = [model(part, torch.tensor([part.shape[1]])) for part in read]
    more = [model(pad(ids, (0, n), value=PAD), torch.tensor([ids.shape[1]])) for n in paddings]
    return torch.cat(logits + more)[:, 0]  # (T + len(paddings),)


def gradient_behind(model: TextClassifier, ids: Tensor, paddings: Sequence[int]) -> Tensor:
    """Return ‖∂logit/∂e‖, e the last word's vector, by number of <pad>s: (len(paddings), N)."""
    lengths, norms = torch.full((len(ids),), ids.shape[1]), []
    for count in paddings:
        vectors = []  # of the words and the paddings
        seen = model.embedding.register_forward_hook(lambda _, __, out, to=vectors: to.append(out))
        logits = model(pad(ids, (0, count), value=PAD), lengths)
        seen.remove()
        (gradient,) = torch.autograd.grad(logits.sum(), vectors)  # (N, T + count, E)
        norms.append(gradient[:, ids.shape[1] - 1].norm(dim=1))
    return torch.stack(norms)


def accuracy_by_length(model: nn.Module, part: imdb.Split, edges: Sequence[int]) -> list[float]:
    """Return the accuracy on reviews of edges[k] to edges[k + 1] - 1 words, each k; NaN if none."""
    logits = training.predict(model, _as_read(model, part))
    right = (metrics.predictions(logits) == part.y).double()
    place = torch.bucketize(part.num_words.contiguous(), torch.tensor(edges), right=True)
    return [float(right[place == k].mean()) for k in range(1, len(edges))]


def _as_read(model: TextClassifier, part: imdb.Split) -> imdb.Split:
    """Return reviews padded to the longest of all if the model reads through the padding."""
    return replace(part, width=int(part.lengths.max())) if model.readout == "padded" else part
