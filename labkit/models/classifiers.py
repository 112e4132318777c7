"""The models: LeNet for images, a recurrent classifier for the rows of an image, one for reviews.

Shapes: N examples, T steps, D features a step, H hidden units, E components of a word vector,
C classes. Every model returns logits. RNN, LSTM and GRU differ in the argument `cell` alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.data.words import PAD, UNKNOWN
from labkit.models.fast import LSTM, RNN

CELLS = {"RNN": RNN, "LSTM": LSTM, "GRU": nn.GRU}  # nn.RNN (tanh) and nn.LSTM, faster on a CPU
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
        return self.layers(x.unsqueeze(1))


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
        dropout = dropout if num_layers > 1 else 0.0
        self.rnn = _cell(cell)(
            input_size, hidden_size, num_layers, batch_first=True, dropout=dropout
        )
        self.head = nn.Linear(hidden_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, T, D) → logits (N, C)."""
        states, _ = self.rnn(x)  # (N, T, H)
        return self.head(states[:, -1])


class TextClassifier(nn.Module):
    """Classify reviews: word vectors, recurrent layers, a read-out, a linear layer to one logit.

    dropout: before, between and after the recurrent layers; `between = False`: not between them.
    word_dropout: share of words made <unk> in training, in place of dropout before the first layer.
    vectors: what the embedding begins with, (vocab_size, E); drawn at random if None.
    readout: `padded` reads the final state of a pass that runs on through the padding, as the
    report does, `last` the state at the last real word, `pool` joins that with the mean and the
    maximum over the real words.
    """

    def __init__(
        self,
        cell: str,
        vocab_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        readout: str = "pool",
        word_dropout: float = 0.0,
        vectors: Tensor | None = None,
        between: bool = True,
    ):
        super().__init__()
        if readout not in READOUTS:
            known = ", ".join(READOUTS)
            raise ValueError(f"readout = {readout!r} is not allowed: choose one of {known}.")
        self.readout, self.word_dropout = readout, word_dropout
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        self.embedding.weight.data.mul_(0.1)  # small: what is learnt soon outweighs what was drawn
        if vectors is not None:
            if vectors.shape != self.embedding.weight.shape:
                found, expected = tuple(vectors.shape), (vocab_size, embedding_dim)
                raise ValueError(f"vectors are of shape {found}, but must be {expected}.")
            self.embedding.weight.data.copy_(vectors)
        self.dropout = nn.Dropout(dropout)
        self.between = nn.Dropout(dropout if between else 0.0)
        width = hidden_size * (2 if bidirectional else 1)
        sizes = [embedding_dim] + [width] * (num_layers - 1)

        def layers() -> nn.ModuleList:
            return nn.ModuleList(_cell(cell)(size, hidden_size, batch_first=True) for size in sizes)

        self.forward_layers = layers()
        self.backward_layers = layers() if bidirectional else nn.ModuleList()
        self.head = nn.Linear(3 * width if readout == "pool" else width, 1)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids: (N, T) padded at the end, lengths: (N,) real words → logits (N, 1)."""
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
        """Make one vector of the top layer's states: (N, T, H) → (N, H), or (N, 3H) for `pool`.

        With two directions H stands for both, side by side.
        """
        rows = torch.arange(len(states), device=states.device)
        last = states[rows, lengths - 1]
        if self.backward_layers:  # the backward direction ends on the first word
            size = states.shape[2] // 2
            last = torch.cat([last[:, :size], states[:, 0, size:]], dim=1)
        if self.readout != "pool":
            return last
        step = torch.arange(states.shape[1], device=states.device)
        padding = (step >= lengths[:, None])[:, :, None]  # (N, T, 1)
        mean = states.masked_fill(padding, 0).sum(1) / lengths[:, None]
        maximum = states.masked_fill(padding, -torch.inf).amax(1)
        return torch.cat([last, mean, maximum], dim=1)


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence within its own length, not the padding: x (N, T, D), lengths (N,)."""
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
