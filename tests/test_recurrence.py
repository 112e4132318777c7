"""The written-out tanh recurrence, against `nn.RNN`, finite differences, and what a gradient must never do."""

import pytest
import torch
from torch import nn

from labkit.recurrence import RNN, TanhSteps


@pytest.mark.parametrize("sizes", [(2, 32, 128, 8, 32), (1, 100, 64, 5, 200), (3, 5, 7, 3, 1), (1, 3, 4, 1, 2)], ids=str)
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
    """The arriving gradient may be shared with other nodes, so it must not serve as working space."""
    a, U = torch.randn(4, 2, 3, requires_grad=True), torch.randn(3, 3, requires_grad=True)
    given, before = torch.ones(4, 2, 3), a.detach().clone()
    TanhSteps.apply(a, U).backward(given)
    assert torch.equal(given, torch.ones(4, 2, 3)) and torch.equal(a, before)


def test_dropout_acts_between_layers_in_training_only():
    torch.manual_seed(0)
    net, x = RNN(4, 6, 2, batch_first=True, dropout=0.9), torch.randn(3, 5, 4)
    assert not torch.equal(net(x)[0], net(x)[0])
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])
    single = RNN(4, 6, 1, batch_first=True)
    assert torch.equal(single(x)[0], single(x)[0])


def test_in_bf16_the_recurrence_stays_in_fp32():
    net = RNN(4, 6, batch_first=True)
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = net(torch.randn(3, 5, 4))
    states.sum().backward()
    assert states.dtype == torch.float32 and torch.isfinite(net.weight_hh_l0.grad).all()


@pytest.mark.parametrize(
    "other", [{"bidirectional": True}, {"nonlinearity": "relu"}, {"batch_first": False}, {"bias": False}], ids=str
)
def test_what_it_does_not_do_is_refused_and_not_done_wrongly(other):
    with pytest.raises(AssertionError):
        RNN(4, 6, **{"batch_first": True} | other)(torch.randn(3, 5, 4))
