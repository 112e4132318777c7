"""The same numbers as PyTorch's own layers, in less time on a CPU. No lesson needs this file.

The tanh recurrence is written out with its gradient: the input's share of every step is one product
made beforehand, and the gradient of the recurrent weights one product made at the end.
Shapes: T steps, N examples, D features a step, H hidden units.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 2**21  # multiplications of a step: 64 examples with 128 units have half as many


@contextlib.contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Multiply small matrices with one thread: waiting for a second costs more than it saves.

    Beside another busy program the wait is far longer: the second thread has lost its processor.
    """
    threads = torch.get_num_threads()
    if multiplications <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TanhSteps(torch.autograd.Function):
    """h_t = tanh(a_t + h_{t-1} Uᵀ) for every step, from h_0 = 0 (Elman, 1990)."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, a: Tensor, U: Tensor) -> Tensor:
        """a: (T, N, H) what the input gives to each step, U: (H, H) → the states, (T, N, H)."""
        states, transposed = a.clone(), U.t().contiguous()
        steps = states.unbind(0)
        steps[0].tanh_()
        with threads_for(U.numel() * a.shape[1]):
            for before, now in itertools.pairwise(steps):
                now.addmm_(before, transposed).tanh_()  # in place: no step is copied
        ctx.save_for_backward(states, U)
        return states

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad_states: Tensor) -> tuple[Tensor, Tensor]:
        """grad_states: (T, N, H), what reaches each state from outside → the gradients of a and U.

        With tanh' = 1 - h²: ∂a_t = (∂h_t + ∂a_{t+1} U) (1 - h_t²), and ∂U = Σ ∂a_tᵀ h_{t-1}.
        """
        states, U = ctx.saved_tensors
        # what reaches a state becomes, in place, what reaches its a
        grad_a = grad_states.clone(memory_format=torch.contiguous_format)
        steps, grads = states.unbind(0), grad_a.unbind(0)
        with threads_for(U.numel() * grad_a.shape[1]):
            for t in reversed(range(len(steps))):
                torch.ops.aten.tanh_backward.grad_input(grads[t], steps[t], grad_input=grads[t])
                if t:
                    grads[t - 1].addmm_(grads[t], U)
        return grad_a, grad_a[1:].flatten(0, 1).t() @ states[:-1].flatten(0, 1)


class RNN(nn.RNN):
    """`nn.RNN` with `batch_first` and one direction: the same weights, names and numbers."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, T, D) → states of the top layer (N, T, H), last state of each layer."""
        assert self.batch_first and self.bias and not self.bidirectional, self
        assert self.nonlinearity == "tanh", self
        if x.is_cuda:  # cuDNN's own recurrence is the faster one there
            return super().forward(x)
        x, last = x.transpose(0, 1), []
        for layer in range(self.num_layers):
            W, U, b, c = self.all_weights[layer]
            x = TanhSteps.apply(F.linear(x, W, b + c), U)  # (T, N, H)
            last.append(x[-1])
            if layer < self.num_layers - 1:
                x = dropout(x, self.dropout, self.training)
        return x.transpose(0, 1), torch.stack(last)


class LSTM(nn.LSTM):
    """`nn.LSTM` with `batch_first` and one direction, and the dropout below between its layers."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x: (N, T, D) → states of the top layer (N, T, H), last state and cell of each layer."""
        assert self.batch_first and self.bias and not self.bidirectional, self
        assert not self.proj_size, self
        if x.is_cuda:  # cuDNN runs the layers side by side
            return super().forward(x)
        zeros, last, cells = x.new_zeros(1, len(x), self.hidden_size), [], []
        for layer in range(self.num_layers):
            weights = self.all_weights[layer]
            how = (True, 1, 0.0, self.training, False, True)  # biases, one layer, no dropout, …
            x, state, cell = torch.lstm(x, (zeros, zeros), weights, *how)
            last.append(state)
            cells.append(cell)
            if layer < self.num_layers - 1:
                x = dropout(x, self.dropout, self.training)
        return x, (torch.cat(last), torch.cat(cells))


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """`F.dropout` for a CPU: 64 random bits decide for four values; p to the nearest 1/65,536."""
    if not training or not p:
        return x
    if p > 1 - 2**-16:
        return torch.zeros_like(x)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = bits.view(torch.int16)
    dropped = round(p * 2**16)  # so many of the 65,536 values of 16 bits
    keep = bits[: x.numel()].view(x.shape) >= dropped - 2**15
    return x * (keep * (2**16 / (2**16 - dropped))).to(x.dtype)
