"""Models, against textbook equations, PyTorch's stacked and packed networks, and hand counts."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from labkit.models import classifiers
from labkit.models.classifiers import LeNet, SequenceClassifier, TextClassifier, count_parameters

IDS = torch.tensor([[5, 3, 4, 2, 6], [2, 7, 0, 0, 0], [3, 0, 0, 0, 0]])
LENGTHS = torch.tensor([5, 2, 1])


def rnn_step(layer, x, h):
    """h_t = tanh(W x + b + U h + c)."""
    return torch.tanh(
        x @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
    )


def lstm_step(layer, x, h, c):
    """Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).

    The gates are in PyTorch's order: i, f, g, o.
    """
    gates = (
        x @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
    )
    i, f, g, o = gates.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def by_hand(net, ids, length):
    """Return the top layer's states (T, H) over the first `length` words, step by step."""
    x = net.embedding.weight[ids[:length]]
    for layer in net.forward_layers:
        h = c = torch.zeros(layer.hidden_size)
        states = []
        for word in x:
            if isinstance(layer, nn.LSTM):
                h, c = lstm_step(layer, word, h, c)
            else:
                h = rnn_step(layer, word, h)
            states.append(h)
        x = torch.stack(states)
    return x


@pytest.mark.parametrize("cell", ["RNN", "LSTM"])
@pytest.mark.parametrize("readout", classifiers.READOUTS)
def test_text_classifier_follows_the_textbook_equations(cell, readout):
    torch.manual_seed(0)
    net = TextClassifier(cell, 8, 6, 4, num_layers=2, dropout=0.5, readout=readout).eval()
    logits = net(IDS, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        states = by_hand(net, IDS[row], IDS.shape[1] if readout == "padded" else length)
        read = states[-1]
        if readout == "pool":
            read = torch.cat([states[-1], states.mean(0), states.amax(0)])
        torch.testing.assert_close(logits[row], net.head(read))


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_two_directions_equal_a_packed_pytorch_network(cell):
    """Reference: nn.RNN and kin, bidirectional, two layers, over packed sequences."""
    torch.manual_seed(1)
    net = TextClassifier(cell, 8, 6, 4, num_layers=2, bidirectional=True, readout="last").eval()
    reference = getattr(nn, cell)(6, 4, num_layers=2, bidirectional=True, batch_first=True)
    for depth in range(2):
        for layer, suffix in (
            (net.forward_layers[depth], ""),
            (net.backward_layers[depth], "_reverse"),
        ):
            for name, value in layer.named_parameters():
                getattr(reference, name.replace("_l0", f"_l{depth}") + suffix).data.copy_(value)
    _, h = reference(pack_padded_sequence(net.embedding(IDS), LENGTHS, batch_first=True))
    h = h[0] if cell == "LSTM" else h
    torch.testing.assert_close(net(IDS, LENGTHS), net.head(torch.cat([h[-2], h[-1]], dim=1)))


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_never_changes_last_and_pool_but_does_change_padded(cell, bidirectional):
    more = torch.cat([IDS, torch.zeros(3, 40, dtype=torch.long)], dim=1)
    for readout in classifiers.READOUTS:
        torch.manual_seed(2)
        net = TextClassifier(
            cell, 8, 6, 5, num_layers=2, bidirectional=bidirectional, readout=readout
        ).eval()
        same = torch.allclose(net(IDS, LENGTHS), net(more, LENGTHS), atol=1e-6)
        assert same == (readout != "padded"), readout


def test_padding_gets_no_gradient():
    net = TextClassifier("LSTM", 8, 6, 5, num_layers=2, bidirectional=True)
    net(IDS, LENGTHS).sum().backward()
    assert net.embedding.weight.grad[0].abs().sum() == 0
    assert net.embedding.weight.grad[2:].abs().sum() > 0


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_sequence_classifier_is_pytorchs_stacked_network(cell):
    torch.manual_seed(3)
    net = SequenceClassifier(cell, 32, 16, 2, 10, dropout=0.3).eval()
    x = torch.randn(4, 32, 32)
    h = net.rnn(x)[1]
    h = h[0] if cell == "LSTM" else h
    torch.testing.assert_close(net(x), net.head(h[-1]))


def test_parameter_counts_by_hand():
    """The report's sizes; a gate of a layer has in·out + out·out weights and two biases."""

    def layer(inputs, hidden, gates):
        return gates * (inputs * hidden + hidden * hidden + 2 * hidden)

    for cell, gates in (("RNN", 1), ("LSTM", 4), ("GRU", 3)):
        digits = layer(32, 128, gates) + layer(128, 128, gates) + 128 * 10 + 10
        assert count_parameters(SequenceClassifier(cell, 32, 128, 2, 10, 0.3)) == digits
        for readout in ("padded", "last"):
            one_way = 1000 * 100 + layer(100, 256, gates) + layer(256, 256, gates) + 256 + 1
            how = {"num_layers": 2, "readout": readout}
            assert count_parameters(TextClassifier(cell, 1000, 100, 256, **how)) == one_way
            layers = layer(100, 256, gates) + layer(512, 256, gates)
            both = TextClassifier(cell, 1000, 100, 256, bidirectional=True, **how)
            assert count_parameters(both) == 1000 * 100 + 2 * layers + 512 + 1
    lenet = (25 + 1) * 6 + (6 * 25 + 1) * 16 + 577 * 120 + 121 * 84 + 85 * 10
    assert count_parameters(LeNet()) == lenet


def test_report_network_of_pytorch_has_as_many_parameters():
    """Reference: nn.LSTM itself, as the report builds it."""
    reference = nn.LSTM(100, 256, num_layers=2, bidirectional=True)
    net = TextClassifier("LSTM", 10, 100, 256, num_layers=2, bidirectional=True, readout="padded")
    ours = count_parameters(net.forward_layers) + count_parameters(net.backward_layers)
    assert ours == count_parameters(reference)


def convolved(layer, x):
    """Convolve as a product of patches: x (N, C, H, W) → (N, D, H', W')."""
    size, (pad, _) = layer.kernel_size[0], layer.padding
    patches = F.unfold(x, size, padding=pad)  # (N, C·size², places)
    product = layer.weight.flatten(1) @ patches + layer.bias[:, None]
    return product.unflatten(2, (x.shape[2] + 2 * pad - size + 1, -1))


def pooled(x):
    """Return the largest of every 2 × 2 pixels."""
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))


def test_lenet_is_two_convolutions_and_three_linear_layers():
    """Reference: products of patches, maxima of slices, and the linear layers written out."""
    torch.manual_seed(0)
    net, x = LeNet(), torch.randn(3, 32, 32)
    first, second = (layer for layer in net.layers if isinstance(layer, nn.Conv2d))
    hidden = pooled(convolved(first, x[:, None]).clamp(min=0))
    assert hidden.shape == (3, 6, 16, 16)
    hidden = pooled(convolved(second, hidden).clamp(min=0)).flatten(1)
    one, two, three = (layer for layer in net.layers if isinstance(layer, nn.Linear))
    hidden = (hidden @ one.weight.T + one.bias).clamp(min=0)
    hidden = (hidden @ two.weight.T + two.bias).clamp(min=0)
    torch.testing.assert_close(net(x), hidden @ three.weight.T + three.bias, rtol=1e-4, atol=1e-5)
    assert net(x).shape == (3, 10)


@pytest.mark.parametrize("layers", [1, 4])
def test_odd_but_legal_sizes(layers):
    net = SequenceClassifier("LSTM", 32, 1, layers, 10, 0.3)
    assert net(torch.randn(1, 32, 32)).shape == (1, 10)
    for readout in classifiers.READOUTS:
        net = TextClassifier(
            "GRU", 2, 1, 1, num_layers=layers, dropout=0.5, bidirectional=True, readout=readout
        )
        assert net(torch.tensor([[1]]), torch.tensor([1])).shape == (1, 1)


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match="'Lstm' is not known: choose one of RNN, LSTM, GRU"):
        SequenceClassifier("Lstm", 32, 8, 1)
    with pytest.raises(ValueError, match="choose one of padded, last, pool"):
        TextClassifier("RNN", 8, 4, 4, readout="first")


def test_reverse_turns_each_sequence_within_its_length():
    x = torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0]]).unsqueeze(2)
    reversed_ = classifiers.reverse(x, torch.tensor([4, 2])).squeeze(2)
    assert reversed_.tolist() == [[4, 3, 2, 1], [2, 1, 0, 0]]


def test_word_dropout_hides_words_in_training_only():
    """With every word hidden but the padding, a review is a row of unknown ones."""
    torch.manual_seed(0)
    net = TextClassifier("RNN", 20, 4, 6, word_dropout=0.5)
    ids, lengths = torch.randint(2, 20, (64, 9)), torch.full((64,), 9)
    ids[:, 7:] = 0
    seen = []
    net.embedding.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    net(ids, lengths)
    hidden = seen[0][:, :7] == 1
    assert 0.4 < hidden.float().mean() < 0.6
    assert torch.equal(seen[0][:, :7][~hidden], ids[:, :7][~hidden])
    assert (seen[0][:, 7:] == 0).all()
    net.eval()(ids, lengths)
    assert torch.equal(seen[1], ids)
