"""The exercises on reading a digit row by row: what is right, and what is often written.

Where PyTorch has the function, PyTorch is right. wrong.toml says what each wrong answer is told.
Shapes: N digits, T rows, D pixels a row, H hidden units; all unequal.
"""

from __future__ import annotations

import torch
from torch import nn

from labkit.exercises.judge import Exercise, normal


def _rows(images, batch_first):
    return images[:, 0] if batch_first else images[:, 0].transpose(0, 1)


ROWS = Exercise(
    name="rows",
    points=2,
    reference=_rows,
    draw=lambda: [(*normal(n, (n, 1, 3, 2)), first) for n in (1, 2, 5) for first in (True, False)],
    wrong={
        "columns": lambda images, batch_first: _rows(images.transpose(2, 3), batch_first),
        "mixed": lambda x, first: x[:, 0] if first else x.reshape(x.shape[2], len(x), -1),
        "ignores_batch_first": lambda images, batch_first: _rows(images, True),
        "always_steps_first": lambda images, batch_first: _rows(images, False),
        "channel_left": lambda x, batch_first: x if batch_first else x.transpose(0, 1),
        "squeezed": lambda x, first: x.squeeze() if first else x.squeeze().transpose(0, 1),
        "squeezed_permuted": lambda x, b: x.squeeze() if b else x.squeeze().permute(1, 0, 2),
    },
)


def _elman_step(x, h, W_ih, b_ih, W_hh, b_hh):
    return torch.rnn_tanh_cell(x, h, W_ih, W_hh, b_ih, b_hh)


def _elman(input_bias=1, state_bias=1, state=1, activation=torch.tanh, transpose=True):
    def step(x, h, W_ih, b_ih, W_hh, b_hh):
        W_ih, W_hh = (W_ih.T, W_hh.T) if transpose else (W_ih, W_hh)
        return activation(x @ W_ih + input_bias * b_ih + state * (h @ W_hh) + state_bias * b_hh)

    return step


ELMAN = Exercise(
    name="elman_step",
    points=4,
    reference=_elman_step,
    draw=lambda: [
        normal(n, (n, d), (n, h), (h, d), (h,), (h, h), (h,)) for n, d, h in [(1, 3, 2), (4, 5, 3)]
    ],
    wrong={
        "no_bias": _elman(input_bias=0, state_bias=0),
        "no_state_bias": _elman(state_bias=0),
        "no_input_bias": _elman(input_bias=0),
        "no_tanh": _elman(activation=lambda z: z),
        "sigmoid": _elman(activation=torch.sigmoid),
        "no_state": _elman(state=0),
        "not_transposed": _elman(transpose=False),
        "W_hh_not_transposed": lambda x, h, W, b, U, c: _elman_step(x, h, W, b, U.T, c),
    },
)


def _all_states(x, h, step):
    rnn = nn.RNN(step.input_size, step.hidden_size, batch_first=True).double()
    rnn.load_state_dict({f"{name}_l0": value for name, value in step.state_dict().items()})
    return rnn(x, h[None])[0]


def _states(start=lambda h: h, carry=True, order=1, keep=lambda first, past: torch.stack(past, 1)):
    def run(x, h, step):
        h = first = start(h)
        past = []
        for x_t in x.unbind(1)[::order]:
            h = step(x_t, h if carry else first)
            past.append(h)
        return keep(first, past)

    return run


def step_of(d: int, h: int) -> nn.RNNCell:
    """Return an Elman step with fixed random weights, in float64: (N, d), (N, h) → (N, h)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(d)
        return nn.RNNCell(d, h).double()


def _draw_sequences():
    sizes = [(1, 3, 4, 2), (4, 6, 5, 3)]
    return [(*normal(n, (n, t, d), (n, h)), step_of(d, h)) for n, t, d, h in sizes]


STATES = Exercise(
    name="all_states",
    points=4,
    reference=_all_states,
    draw=_draw_sequences,
    wrong={
        "no_carry": _states(carry=False),
        "from_zeros": _states(start=torch.zeros_like),
        "last_only": _states(keep=lambda first, past: past[-1]),
        "a_list": _states(keep=lambda first, past: past),
        "backwards": _states(order=-1),
        "time_first": _states(keep=lambda first, past: torch.stack(past)),
        "one_late": _states(keep=lambda first, past: torch.stack([first, *past[:-1]], 1)),
    },
)


def _lstm_step(x, h, c, W_ih, b_ih, W_hh, b_hh):
    return torch.lstm_cell(x, (h, c), W_ih, W_hh, b_ih, b_hh)


def _lstm(
    order="ifgo",
    keep=lambda f, c, i, g: f * c + i * g,
    out=lambda o, c: o * torch.tanh(c),
    new=torch.tanh,
    biases=lambda b_ih, b_hh: b_ih + b_hh,
):
    def step(x, h, c, W_ih, b_ih, W_hh, b_hh):
        gates = (x @ W_ih.T + h @ W_hh.T + biases(b_ih, b_hh)).chunk(4, 1)
        i, f, g, o = (gates[order.index(name)] for name in "ifgo")
        c = keep(torch.sigmoid(f), c, torch.sigmoid(i), new(g))
        return out(torch.sigmoid(o), c), c

    return step


LSTM = Exercise(
    name="lstm_step",
    points=6,
    reference=_lstm_step,
    draw=lambda: [
        normal(n, (n, d), (n, h), (n, h), (4 * h, d), (4 * h,), (4 * h, h), (4 * h,))
        for n, d, h in [(1, 3, 2), (4, 5, 3)]
    ],
    wrong={
        "order_ifog": _lstm(order="ifog"),
        "order_figo": _lstm(order="figo"),
        "sum_and_product": _lstm(keep=lambda f, c, i, g: (f + c) * (i + g)),
        "added": _lstm(keep=lambda f, c, i, g: f + c + i * g),
        "h_without_tanh": _lstm(out=lambda o, c: o * c),
        "new_by_sigmoid": _lstm(new=torch.sigmoid),
        "sigmoid_of_all": _lstm(new=lambda g: torch.sigmoid(g).tanh()),
        "same_bias": _lstm(biases=lambda b_ih, b_hh: b_ih + b_ih),
        "no_bias": _lstm(biases=lambda b_ih, b_hh: 0),
        "h_only": lambda *given: _lstm_step(*given)[0],
        "c_first": lambda *given: _lstm_step(*given)[::-1],
    },
)


def _gradients(size=lambda g: g.norm(dim=1).mean(), order=1, of_inputs=False):
    def norms(x, h, step, loss):
        inputs, states = [x_t.clone().requires_grad_() for x_t in x.unbind(1)], []
        for x_t in inputs:
            h = step(x_t, h)
            states.append(h)
        gradients = torch.autograd.grad(loss(h), inputs if of_inputs else states)
        return torch.stack([size(gradient) for gradient in gradients[::order]])

    return norms


GRADIENT = Exercise(
    name="gradient_norms",
    points=6,
    reference=_gradients(),
    draw=lambda: [(*case, lambda last: last.pow(3).sum()) for case in _draw_sequences()],
    wrong={
        "not_kept": _gradients(lambda g: g.grad.norm(dim=1).mean()),  # .grad is None
        "of_inputs": _gradients(of_inputs=True),
        "batch_first": _gradients(lambda g: g.mean(0).norm()),
        "whole_batch": _gradients(lambda g: g.norm()),
        "squared": _gradients(lambda g: g.square().sum(1).mean()),
        "summed": _gradients(lambda g: g.norm(dim=1).sum()),
        "each_digit": _gradients(lambda g: g.norm(dim=1)),
        "backwards": _gradients(order=-1),
    },
)

EXERCISES = (ROWS, ELMAN, STATES, LSTM, GRADIENT)
