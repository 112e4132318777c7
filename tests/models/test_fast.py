"""The written-out recurrence, against `nn.RNN`, and finite differences."""

import pytest
import torch
from torch import nn

from labkit.models.fast import LSTM, RNN, TanhSteps, dropout


@pytest.mark.parametrize(
    "sizes", [(2, 32, 128, 8, 32), (1, 100, 64, 5, 200), (3, 5, 7, 3, 1), (1, 3, 4, 1, 2)], ids=str
)
def test_states_and_gradients_are_those_of_pytorch(sizes):
    layers, inputs, hidden, examples, steps = sizes
    torch.manual_seed(0)
    theirs = nn.RNN(inputs, hidden, layers, batch_first=True)
    ours = RNN(inputs, hidden, layers, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    x, weight = torch.randn(examples, steps, inputs), torch.randn(examples, steps, hidden)
    found = []
    for net in (ours, theirs):
        own = x.clone().requires_grad_()
        states, last = net(own)
        ((states * weight).mean() + last.square().mean()).backward()
        found.append([states, last, own.grad, *(parameter.grad for parameter in net.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    a, U = torch.randn(5, 2, 3, dtype=torch.double), torch.randn(3, 3, dtype=torch.double)
    assert torch.autograd.gradcheck(TanhSteps.apply, (a.requires_grad_(), U.requires_grad_()))


def test_what_it_is_given_is_left_as_it_was():
    """The arriving gradient may be shared with other nodes: it must not serve as working space."""
    a, U = torch.randn(4, 2, 3, requires_grad=True), torch.randn(3, 3, requires_grad=True)
    given, before = torch.ones(4, 2, 3), a.detach().clone()
    TanhSteps.apply(a, U).backward(given)
    assert torch.equal(given, torch.ones(4, 2, 3)) and torch.equal(a, before)


@pytest.mark.parametrize("cell", [RNN, LSTM])
def test_dropout_acts_between_layers_in_training_only(cell):
    torch.manual_seed(0)
    net, x = cell(4, 6, 2, batch_first=True, dropout=0.9), torch.randn(3, 5, 4)
    assert not torch.equal(net(x)[0], net(x)[0])
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])
    single = cell(4, 6, 1, batch_first=True)
    assert torch.equal(single(x)[0], single(x)[0])


def test_in_bf16_the_recurrence_stays_in_fp32():
    net = RNN(4, 6, batch_first=True)
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = net(torch.randn(3, 5, 4))
    states.sum().backward()
    assert states.dtype == torch.float32 and torch.isfinite(net.weight_hh_l0.grad).all()


ODD = [
    (cell, other)
    for cell in (RNN, LSTM)
    for other in ({"bidirectional": True}, {"batch_first": False}, {"bias": False})
]


@pytest.mark.parametrize(
    ("cell", "other"), [*ODD, (RNN, {"nonlinearity": "relu"}), (LSTM, {"proj_size": 3})], ids=str
)
def test_what_it_does_not_do_is_refused_and_not_done_wrongly(cell, other):
    with pytest.raises(AssertionError):
        cell(4, 6, **{"batch_first": True} | other)(torch.randn(3, 5, 4))


@pytest.mark.parametrize("layers", [1, 3])
def test_the_lstm_is_that_of_pytorch(layers):
    torch.manual_seed(0)
    theirs = nn.LSTM(5, 7, layers, batch_first=True)
    ours = LSTM(5, 7, layers, batch_first=True, dropout=0.0)
    ours.load_state_dict(theirs.state_dict())
    x, weight = torch.randn(4, 9, 5), torch.randn(4, 9, 7)
    found = []
    for net in (ours, theirs):
        states, (last, cells) = net(x)
        (states * weight).sum().backward()
        found.append([states, last, cells, *(parameter.grad for parameter in net.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.99])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    """Reference: the standard deviation of a share of n values, √(p (1 - p) / n).

    Neighbours that come from one random number are independent.
    """
    torch.manual_seed(0)
    n = 1_000_003  # no multiple of four
    x = torch.full((n,), 2.0, requires_grad=True)
    y = dropout(x, p, True)
    y.sum().backward()
    dropped = (y == 0).double()
    assert abs(dropped.mean() - p) < 5 * (p * (1 - p) / n) ** 0.5 + 2**-16
    assert y.max().item() == pytest.approx(2 / (1 - p), rel=1e-3)
    assert torch.equal(x.grad * 2, y.detach())
    for apart in (1, 2, 3, 4):
        both = (dropped[:-apart] * dropped[apart:]).mean()
        assert abs(both - p * p) < 5 * (p * p * (1 - p * p) / n) ** 0.5 + 2**-15
    assert torch.equal(dropout(x, p, False), x) and torch.equal(dropout(x, 0.0, True), x)
    assert torch.equal(dropout(x, 1.0, True), torch.zeros_like(x))
    assert dropout(x.bfloat16(), 0.5, True).dtype == torch.bfloat16
