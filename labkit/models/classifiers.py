"""The models: LeNet for images, one recurrent classifier for rows of an image, one for the words of a review.

Shapes: N examples, T steps, D features a step, H hidden units, E embedding numbers, C classes.
Every model returns logits. RNN, LSTM and GRU differ in the argument `cell` and in nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.words import PAD, UNKNOWN
from labkit.models.fast import LSTM, RNN

CELLS = {"RNN": RNN, "LSTM": LSTM, "GRU": nn.GRU}  # RNN is the tanh RNN
READOUTS = ("padded", "last", "pool")


class LeNet(nn.Module):
    """Classify digits by two convolutions and three linear layers, after LeCun et al. (1998)."""

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5, padding=2),  # (N, 6, 32, 32)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 6, 16, 16)
            nn.Conv2d(6, 16, kernel_size=5),  # (N, 16, 12, 12)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 16, 6, 6)
            nn.Flatten(),  # (N, 576)
            nn.Linear(576, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 32, 32) → logits (N, C)."""
        x, layers = x.unsqueeze(1), list(self.layers)
        if blocks_help(layers[:6], x):
            x, layers = in_blocks(layers[:6], x), layers[6:]
        for layer in layers:
            x = layer(x)
        return x


def blocks_help(layers: list[nn.Module], x: Tensor) -> bool:
    """Tell whether `in_blocks` may stand in for these layers: they are LeNet's, in fp32, on a CPU with AVX-512."""
    as_lenet = [type(layer) for layer in layers] == [
        nn.Conv2d,
        nn.ReLU,
        nn.MaxPool2d,
    ] * 2 and layers[0].out_channels <= 16
    fp32 = x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)
    avx512 = x.device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return as_lenet and fp32 and avx512 and torch.backends.mkldnn.is_available()


def in_blocks(layers: list[nn.Module], x: Tensor) -> Tensor:
    """Do what LeNet's first six layers do, with the same values but faster: x (N, 1, 32, 32) → (N, 16, 6, 6).

    With AVX-512, oneDNN computes convolutions with channels in blocks of 16. So the 6 channels travel as 16, of which
    10 are zero, in oneDNN's own order of the numbers, instead of being repacked around every layer. And pooling comes
    before ReLU, which then sees a quarter of the numbers: the larger of two is the same before ReLU and after it.
    """
    first, _, pool, second, _, last_pool = layers
    empty = 16 - first.out_channels
    weight, bias = (
        F.pad(first.weight, (0, 0, 0, 0, 0, 0, 0, empty)),
        F.pad(first.bias, (0, empty)),
    )  # channels that go out
    x = F.conv2d(x.to_mkldnn(), weight, bias, padding=first.padding)  # (N, 16, 32, 32)
    x = F.relu(F.max_pool2d(x, pool.kernel_size, pool.stride))  # (N, 16, 16, 16)
    weight = F.pad(second.weight, (0, 0, 0, 0, 0, empty))  # channels that come in
    x = F.conv2d(x, weight, second.bias, padding=second.padding)  # (N, 16, 12, 12)
    return F.relu(F.max_pool2d(x, last_pool.kernel_size, last_pool.stride)).to_dense()


class SequenceClassifier(nn.Module):
    """Classify a sequence by the output of the last step; dropout acts between layers."""

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        num_classes: int = 10,
        dropout: float = 0.0,
    ):
        super().__init__()
        between = dropout if num_layers > 1 else 0.0  # one layer has no between
        self.rnn = _cell(cell)(
            input_size, hidden_size, num_layers, batch_first=True, dropout=between
        )
        self.head = nn.Linear(hidden_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, T, D) → logits (N, C)."""
        states, _ = self.rnn(x)  # (N, T, H)
        return self.head(states[:, -1])


class TextClassifier(nn.Module):
    """Classify reviews: embedding, recurrent layers, read-out, linear; dropout before, between and after the layers.

    word_dropout: share of words that are taken for unknown in training; it then stands in for the dropout of the numbers
    before the layers.
    vectors: what the embedding begins with, (vocab_size, embedding_dim); by chance if None.
    between: whether there is dropout between the layers, as nn.LSTM has it, which is none if there is one layer.
    readout: `padded` reads the final state of a pass that runs on through the padding (the report's),
    `last` the state at the last real word, `pool` joins that with the mean and the maximum over the real words.
    """

    def __init__(
        self,
        cell: str,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        output_dim: int = 1,
        n_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        readout: str = "pool",
        word_dropout: float = 0.0,
        vectors: Tensor | None = None,
        between: bool = True,
    ):
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(
                f"readout = {readout!r} is not allowed: choose one of {', '.join(READOUTS)}."
            )
        self.readout, self.word_dropout = readout, word_dropout
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        self.embedding.weight.data.mul_(
            0.1
        )  # small, so that what is learnt soon outweighs what was drawn
        if vectors is not None:
            if vectors.shape != self.embedding.weight.shape:
                raise ValueError(
                    f"vectors are {tuple(vectors.shape)}, but must be ({vocab_size}, {embedding_dim})."
                )
            self.embedding.weight.data.copy_(vectors)
        self.dropout, self.between = nn.Dropout(dropout), nn.Dropout(dropout if between else 0.0)
        width = hidden_dim * (2 if bidirectional else 1)
        sizes = [embedding_dim] + [width] * (n_layers - 1)
        self.forward_layers = nn.ModuleList(
            _cell(cell)(size, hidden_dim, batch_first=True) for size in sizes
        )
        self.backward_layers = nn.ModuleList(
            _cell(cell)(size, hidden_dim, batch_first=True) for size in sizes if bidirectional
        )
        self.head = nn.Linear(3 * width if readout == "pool" else width, output_dim)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids: (N, T) padded at the end, lengths: (N,) real words → logits (N, output_dim)."""
        if self.readout == "padded":  # the padding counts as words
            lengths = torch.full_like(lengths, ids.shape[1])
        if self.training and self.word_dropout:
            dropped = (torch.rand(ids.shape, device=ids.device) < self.word_dropout) & (ids != PAD)
            ids = ids.masked_fill(dropped, UNKNOWN)
        x = self.embedding(ids)  # (N, T, E)
        for depth, layer in enumerate(self.forward_layers):
            if depth:
                x = self.between(x)
            elif not self.word_dropout:
                x = self.dropout(x)
            states, _ = layer(x)  # (N, T, H)
            if self.backward_layers:
                backward, _ = self.backward_layers[depth](reverse(x, lengths))
                states = torch.cat([states, reverse(backward, lengths)], dim=2)  # (N, T, 2H)
            x = states
        return self.head(self.dropout(self.read_out(x, lengths)))

    def read_out(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states: (N, T, H or 2H) of the top layer → what the head sees, (N, H or 2H), three times as wide for `pool`."""
        rows = torch.arange(len(states), device=states.device)
        last = states[rows, lengths - 1]
        if self.backward_layers:  # the backward direction ends on the first word
            size = states.shape[2] // 2
            last = torch.cat([last[:, :size], states[:, 0, size:]], dim=1)
        if self.readout != "pool":
            return last
        padding = torch.arange(states.shape[1], device=states.device) >= lengths[:, None]  # (N, T)
        mean = states.masked_fill(padding[:, :, None], 0).sum(1) / lengths[:, None]
        maximum = states.masked_fill(padding[:, :, None], -torch.inf).amax(1)
        return torch.cat([last, mean, maximum], dim=1)


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Turn each sequence round within its own length: x (N, T, D), lengths (N,); the padding stays where it is."""
    step = torch.arange(x.shape[1], device=x.device)  # (T,)
    source = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)  # (N, T)
    return x.gather(1, source[:, :, None].expand_as(x))


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers training may change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _cell(name: str) -> type[nn.RNNBase]:
    if name not in CELLS:
        raise ValueError(f"cell = {name!r} is not known: choose one of {', '.join(CELLS)}.")
    return CELLS[name]
