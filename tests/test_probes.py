"""The probes: each against an answer that is known beforehand."""

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from labkit import probes, training
from labkit.data import imdb, mnist, words
from labkit.models import linear
from labkit.models.classifiers import LeNet, SequenceClassifier, TextClassifier

WORDS = ("bad", "awful", "film", "the", "plot", "actor", "good", "great")

X = torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([1, 2, 3, 3])


def sequence(cell, num_layers=2):
    torch.manual_seed(0)
    return SequenceClassifier(cell, 32, 8, num_layers).eval()


def halving(rnn):
    """Have a layer halve its state at every step, without a bias."""
    for weights in (rnn.bias_ih_l0, rnn.bias_hh_l0):
        nn.init.zeros_(weights)
    rnn.weight_hh_l0.data = 0.5 * torch.eye(rnn.hidden_size)


def run_of(model):
    return training.Run(model, [], 0, 0.0, 0)


def test_trained_models_are_copies_without_dropout():
    model = LeNet().train()
    copied = probes.trained({"LeNet": run_of(model)})["LeNet"]
    assert model.training and not copied.training
    nn.init.zeros_(copied.layers[0].weight)
    assert model.layers[0].weight.any()


def test_accuracy_is_the_share_of_right_answers():
    """Reference: a model that calls every digit a 3, and half of the labels are 3."""
    model = LeNet()
    nn.init.zeros_(model.layers[-1].weight)
    model.layers[-1].bias.data = torch.eye(10)[3]
    assert probes.accuracy(model, mnist.Split(X, Y)) == 0.5
    assert math.isnan(probes.accuracy(model, mnist.Split(torch.cat([X, X], dim=1), Y)))


@pytest.mark.parametrize("cell", ["RNN", "LSTM"])
def test_a_reader_of_rows_answers_as_if_the_digit_ended_there(cell):
    """Reference: the model itself, given a digit that ends there."""
    model = sequence(cell)
    found = probes.row_by_row(model, X)
    for rows in (1, 16, 32):
        expected = model(X[:, :rows]).softmax(dim=1)
        torch.testing.assert_close(found[:, rows - 1], expected, atol=1e-6, rtol=0)


def test_lenet_sees_paper_below_the_rows_so_far():
    """Reference: the model itself, given a digit with paper below row 16."""
    model, half = LeNet().eval(), X.clone()
    half[:, 16:] = probes.PAPER
    found = probes.row_by_row(model, X)
    torch.testing.assert_close(found[:, 15], model(half).softmax(dim=1))
    torch.testing.assert_close(found[:, -1], model(X).softmax(dim=1))


@pytest.mark.parametrize(
    ("answers", "row"), [([2, 2, 2, 2], 1), ([0, 2, 0, 0], 3), ([0, 1, 0, 1], 4)]
)
def test_decided_is_the_row_after_which_the_answer_stays(answers, row):
    """Reference: counted by hand, from 1."""
    probabilities = torch.eye(3)[torch.tensor([answers])]
    assert probes.decided_at(probabilities).tolist() == [row]


def test_a_linear_rnn_that_halves_its_state_halves_the_gradient_in_each_row():
    """Reference: h_t = h_{t-1} / 2 with tanh'(0) = 1, so ∂loss/∂h_t = 2^-(T - t) ∂loss/∂h_T."""
    model = sequence("RNN", num_layers=1)
    halving(model.rnn)
    norms = probes.gradient_norms(model, torch.zeros(2, 32, 32), Y[:2])
    torch.testing.assert_close(norms[:-1] / norms[1:], torch.full((31,), 0.5))
    assert probes.half_life(norms) == pytest.approx(1)
    assert probes.half_life(1 / norms) == pytest.approx(-1)


def recalled(model):
    """Ask for the first of ten symbols behind 31 blanks: accuracy, and the gradient's norms."""
    symbols = torch.arange(10)
    x = torch.zeros(10, 32, 32)
    x[symbols, 0, symbols] = 1  # one-hot; a blank is nothing
    return probes.accuracy(model, mnist.Split(x, symbols)), probes.gradient_norms(model, x, symbols)


def silent(cell):
    """Build a net of ten units whose weights are all 0."""
    model = SequenceClassifier(cell, 32, 10).eval()
    for weights in model.parameters():
        nn.init.zeros_(weights)
    return model


def test_a_net_that_recalls_the_first_symbol_has_its_whole_gradient_there():
    """Reference: h_T = turn³¹ h_1, so ‖∂loss/∂h_1‖ = ‖∂loss/∂h_T‖; without U nothing goes back."""
    model, turn = silent("RNN"), torch.eye(10).roll(1, dims=0)  # a unit hands on to the next one
    model.rnn.weight_ih_l0.data[:, :10] = 1e-2 * torch.eye(10)  # so small that tanh is linear
    model.rnn.weight_hh_l0.data = turn
    model.head.weight.data = 100 * torch.matrix_power(turn.T, 31)  # undoes 31 turns
    accuracy, norms = recalled(model)
    assert accuracy == 1 and norms[-1] > 10
    torch.testing.assert_close(norms / norms[-1], torch.ones(32), atol=0.01, rtol=0)
    assert abs(probes.half_life(norms)) > 1_000
    nn.init.zeros_(model.rnn.weight_hh_l0)
    accuracy, norms = recalled(model)
    assert accuracy == 0.1 and norms[-1] > 10 and norms[:-1].max() == 0


def test_what_an_lstm_recalls_in_its_cell_alone_is_not_in_the_gradient_of_h():
    """Reference: with U = 0 no h is read again; c keeps the symbol behind an open forget gate."""
    model = silent("LSTM")
    input_gate, forget_gate, candidate, output_gate = torch.arange(40).chunk(4)
    model.rnn.weight_ih_l0.data[candidate, :10] = 1e-2 * torch.eye(10)
    for gate in (input_gate, forget_gate, output_gate):
        model.rnn.bias_ih_l0.data[gate] = 40.0  # open
    model.head.weight.data = 100 * torch.eye(10)
    accuracy, norms = recalled(model)
    assert accuracy == 1 and norms[-1] > 10 and norms[:-1].max() == 0


@pytest.mark.parametrize("cell", ["RNN", "LSTM"])
def test_the_gradient_is_the_mean_of_what_each_digit_gets_alone(cell):
    """Reference: one digit at a time; at the last row, h_T of the top layer by its formula."""
    model = sequence(cell)
    norms = probes.gradient_norms(model, X, Y)
    alone = [probes.gradient_norms(model, X[k : k + 1], Y[k : k + 1]) for k in range(4)]
    torch.testing.assert_close(norms, torch.stack(alone).mean(dim=0))
    softmax = model(X).softmax(dim=1) - torch.eye(10)[Y]
    torch.testing.assert_close(norms[-1], (softmax @ model.head.weight).norm(dim=1).mean())


def test_what_is_broken_is_broken_in_all_digits_alike():
    """Reference: a digit whose pixels are numbered, beside the same digit again."""
    numbered = torch.arange(1024.0).view(1, 32, 32).repeat(2, 1, 1)
    found = probes.broken(numbered)
    assert all(torch.equal(first, second) for first, second in found.values())
    assert torch.equal(found["32 blank rows"][:, :32], numbered)
    assert (found["8 blank rows"][:, 32:] == torch.tensor(probes.PAPER)).all()
    assert found["8 blank rows"].shape[1] == 40
    assert found["columns for rows"][0, 3, 5] == numbered[0, 5, 3]
    rows = found["rows permuted"][0]
    assert (rows.diff(dim=1) == 1).all() and not torch.equal(rows, numbered[0])
    pixels = found["pixels permuted"][0]
    assert torch.equal(pixels.flatten().sort().values, numbered[0].flatten())
    assert not (pixels.diff(dim=1) == 1).all(dim=1).any()


def test_the_gates_are_those_of_the_lstm():
    """Reference: PyTorch's own layers; a cell that lets nothing in leaves the last layer's bias."""
    model = sequence("LSTM")
    logits, gates = probes.gates(model, X)
    torch.testing.assert_close(logits, model(X), atol=1e-5, rtol=0)
    assert gates.shape == (4, 32, 4, 8)
    nothing, held = probes.gates(model, X, input=0.0)
    torch.testing.assert_close(nothing, model.head.bias.expand(4, 10))
    assert (held[:, :, probes.GATES.index("input")] == 0).all()
    model.rnn.bias_ih_l1.data[8:16] = 50.0  # of the forget gate: i, f, g, o
    opened = probes.gates(model, X)[1]
    assert (opened[:, :, probes.GATES.index("forget")] > 0.999).all()


def test_digits_that_only_one_model_gets_wrong():
    """Reference: read off by hand; digit 2 is wrong in both, and digit 1 was surer than 0."""
    y = torch.tensor([0, 0, 0, 0])
    first = torch.tensor([[0.0, 1.0], [0.0, 9.0], [0.0, 1.0], [1.0, 0.0]])
    second = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = probes.only_wrong({"RNN": first, "LSTM": second}, y)
    assert {name: index.tolist() for name, index in found.items()} == {"RNN": [1, 0], "LSTM": []}


def test_confusions_are_ranked_and_have_no_right_answers():
    assert probes.confusions([[90, 0, 1], [2, 80, 0], [0, 3, 70]]) == [
        (2, 1, 3), (1, 0, 2), (0, 2, 1),
    ]  # fmt: skip


class Bag(nn.Module):
    """A text classifier whose logit is the sum of its words' values."""

    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, ids, lengths):
        return self.values[ids].sum(dim=1, keepdim=True)


def test_in_a_sum_each_word_contributes_its_value():
    """Reference: <pad> 0, <unk> 0.5, bad -2, good 3."""
    vocabulary = words.Vocabulary(["bad", "good"])
    runs = {"bag": run_of(Bag([0.0, 0.5, -2.0, 3.0]))}
    found = probes.read("Good, so bad!", runs, vocabulary)
    assert found["words"] == ["good", "so", "bad"]
    torch.testing.assert_close(found["running"]["bag"], torch.tensor([3.0, 3.5, 1.5]))
    torch.testing.assert_close(found["contribution"]["bag"], torch.tensor([3.0, 0.5, -2.0]))
    with pytest.raises(ValueError, match="no word in it: give at least one"):
        probes.read("?!", runs, vocabulary)


def test_a_sentence_is_cut_into_words_as_the_reader_has_changed_it(monkeypatch):
    monkeypatch.setattr(words, "tokenize", lambda text: text.lower().split("-"))
    found = probes.read("Bad-Good", {"bag": run_of(Bag([0.0] * 4))}, words.Vocabulary(["bad"]))
    assert found["words"] == ["bad", "good"]
    assert probes.encode("Bad-Good", words.Vocabulary(["bad"])).tolist() == [[2, 1]]


def test_the_linear_model_reads_the_same_sentences(tiny_reviews):
    """Reference: the model's own logits of the words so far."""
    model = linear.LinearModel()
    model.fit(tiny_reviews.train)
    found = probes.read("the plot good", {"linear": run_of(model)}, tiny_reviews.vocabulary)
    part = replace(tiny_reviews.train, texts=("the", "the plot", "the plot good"))
    torch.testing.assert_close(found["running"]["linear"], model.logits(part)[:, 0])
    assert found["contribution"]["linear"][2] > 0


def forgetful(readout="last"):
    """A tanh RNN that keeps nothing from one word to the next."""
    torch.manual_seed(0)
    model = TextClassifier("RNN", 10, 8, 8, readout=readout).eval()
    halving(model.forward_layers[0])
    nn.init.zeros_(model.forward_layers[0].weight_hh_l0)
    nn.init.normal_(model.embedding.weight.data[1:])
    return model


def test_padding_hides_a_review_from_a_net_that_forgets():
    """Reference: the last word is the label; a net without memory has it only when there.

    One long review among 300 of one word: all are padded to its length, whatever their batch.
    """
    texts = ["good", "bad"] * 150 + ["film film film good"]
    y = np.array([1, 0] * 150 + [1])
    part = imdb.encode(texts, y, words.Vocabulary(WORDS), max_len=50)
    accuracy = {}
    for readout in ("last", "pool", "padded"):
        model = probes.with_readout(forgetful(), readout, part)
        accuracy[readout] = probes.accuracy_by_length(model, part, [1, 2, 9])
        assert model.head.in_features == (24 if readout == "pool" else 8)
    assert accuracy["last"] == accuracy["pool"] == [1, 1]
    assert accuracy["padded"] == [0.5, 1]


def test_the_last_words_gradient_halves_with_each_padding():
    """Reference: a linear RNN that halves its state; under `last` the padding is never read."""
    ids = torch.tensor([[2, 3, 4], [5, 6, 7]])
    for readout, expected in (("padded", [1, 1 / 2, 1 / 16]), ("last", [1, 1, 1])):
        model = forgetful(readout)
        halving(model.forward_layers[0])
        model.embedding.weight.data *= 1e-4  # so small that tanh is linear
        norms = probes.gradient_behind(model, ids, [0, 1, 4])  # (paddings, N)
        ratios = torch.tensor(expected).float()
        torch.testing.assert_close(norms / norms[0], ratios[:, None].expand(3, 2))
        model.head.bias.data.zero_()
        logits = probes.running_logits(model, ids[:1], [0, 1, 4])
        assert len(logits) == 6 and logits[2] == logits[3]
        torch.testing.assert_close(logits[0], model(ids[:1, :1], torch.tensor([1]))[0, 0])
        torch.testing.assert_close(logits[3:] / logits[3], ratios, rtol=1e-4, atol=0)


@pytest.mark.parametrize("tail", [0.0, 0.5, 1.0])
def test_cut_reviews_are_those_encoded_so(tiny_reviews, tail):
    """Reference: the encoding that a run with this max_len and tail makes."""
    part, index = tiny_reviews.train, torch.arange(10)
    found = probes.cut(probes.cut(part, 2), 4, tail)  # as if cut before
    expected = imdb.encode(
        part.texts[:10], np.zeros(10), tiny_reviews.vocabulary, 4, round(tail * 4)
    )
    assert torch.equal(found.batch(index)[0], expected.batch(index)[0])
    wide = probes.cut(dataclasses.replace(part, width=3), 4, tail)  # batches of a fixed width
    assert torch.equal(wide.batch(index)[0], expected.batch(index)[0]) and wide.width == 4
    assert probes.cut(dataclasses.replace(part, width=9), 4).width == 9


def test_some_reviews_of_a_sorted_part_are_of_both_classes():
    """Reference: the official test, whose first half is negative; every fourth of ten."""
    vocabulary = words.Vocabulary(["bad", "good"])
    part = imdb.encode(["bad"] * 5 + ["good"] * 5, np.arange(10) // 5, vocabulary, 9)
    found = probes.some(part, 3)
    assert found.y.tolist() == [0, 0, 1] and found.texts == ("bad", "bad", "good")
    assert len(probes.some(part, 10)) == len(probes.some(part, 99)) == 10


def test_accuracy_by_length_counts_each_review_once():
    """Reference: a bag of words, right on both reviews of one word and on one of the others."""
    vocabulary = words.Vocabulary(["bad", "good"])
    texts, y = ["good", "bad bad", "bad bad good", "bad"], np.array([1, 0, 1, 0])
    part = imdb.encode(texts, y, vocabulary, 9)
    model = Bag([0.0, 0.0, -1.0, 1.0])
    model.readout = "last"
    assert probes.accuracy_by_length(model, part, [1, 2, 4]) == [1.0, 0.5]
