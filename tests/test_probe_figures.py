"""Figures of the probes: what is drawn is what was found, in both languages."""

import re

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt

from labkit import figures, language, notebook_display, probe_figures

matplotlib.use("Agg")
NAMES = "RNN LSTM LeNet linear padded last pool good bad the film was not loss h"


@pytest.fixture(autouse=True)
def tidy():
    yield
    language.set_language("en")
    plt.close("all")


def when_it_knows():
    """Of two digits, both 1: the RNN knows the first from row 3, the second never."""
    answers = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
    found = {"RNN": torch.eye(3)[answers], "LeNet": torch.eye(3)[answers]}
    return probe_figures.when_it_knows(torch.zeros(2, 4, 4), torch.ones(2).long(), found)


def gradient_flow():
    norms = 2.0 ** torch.arange(8)
    found = {"RNN": norms, "LSTM": 1 / norms}
    return probe_figures.gradient_flow({name: [each] * 2 for name, each in found.items()},
                                       found | {"LSTM": torch.ones(8)}, found)  # fmt: skip


def assumptions():
    accuracies = {"as it is": {"RNN": 0.9, "LeNet": 1.0}}
    accuracies["8 blank rows"] = {"RNN": 0.2, "LeNet": float("nan")}
    return probe_figures.assumptions({name: torch.zeros(4, 4) for name in accuracies}, accuracies)


def lstm_gates():
    gates = torch.linspace(0, 1, 4 * 4 * 3).view(4, 4, 3)
    return probe_figures.lstm_gates(gates, gates.mean(2), {("", 0): 0.9, ("forget", 1): 0.5})


def misread():
    logits = {"RNN": torch.tensor([[2.0, 0.0], [0.0, 2.0]]), "LSTM": 9 * torch.eye(2)[[1, 1]]}
    tests = {"RNN": {"confusion": [[0, 0], [1, 1]]}, "LSTM": {"confusion": [[0, 0], [0, 2]]}}
    return probe_figures.misread(torch.zeros(2, 4, 4), torch.ones(2).long(), logits, tests)


def padding():
    each = {"logit": torch.arange(4.0), "accuracy": [0.5, 0.8]}
    many = torch.tensor([[1.0, 2, 4, 8, 1], [0, 1, 1, 2, 1]])  # shares 0, 0.5, 0.25, 0.25 and 1
    each["gradient"] = [torch.tensor([[2.0], [1]]), many]
    found = {("RNN", readout): each for readout in probe_figures.READOUTS}
    return probe_figures.padding(["good", "film"], [0, 9], [1, 5, 99], found)


def sentence():
    values = {"linear": torch.tensor([1.0, -2.0]), "RNN": torch.tensor([0.5, 0.25])}
    found = {"words": ["good", "bad"], "running": values, "contribution": values}
    return probe_figures.sentence(found)


def negation():
    found = {"RNN": torch.tensor([[1.0, -1.0]]), "LSTM": torch.tensor([[2.0, 1.0]])}
    return probe_figures.negation(["good"], ("the film was", "the film was not"), found)


def reviews_cut():
    first, last = torch.tensor([[[1.0, -1, 1, 1], [2, -1, -1, 3]], [[-3, 1, 1, 1], [4, 1, -1, 1]]])
    found = {("RNN", "first words"): first, ("RNN", "last words"): last}
    return probe_figures.reviews_cut([50, 500], found, torch.tensor([1, 0, 0, 1]), case=0)


ALL = [when_it_knows, gradient_flow, assumptions, lstm_gates, misread, padding]
ALL += [sentence, negation, reviews_cut]


@pytest.mark.filterwarnings("ignore:Glyph")  # of the font that stands in
@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
def test_every_label_has_its_chinese(draw, monkeypatch):
    """Reference: a figure in Chinese with no Latin word but names, models and our sentences."""
    monkeypatch.setattr(language, "CJK_FONTS", "DejaVu Sans")  # stands in for a Chinese one
    language.set_language("zh")
    said = notebook_display.words(draw())
    left = set(re.findall(r"[A-Za-z][A-Za-z0-9]*", said)) - set(NAMES.split())
    assert re.search("[一-鿿]", said) and not left, said


def test_the_rows_that_a_model_needs():
    """Reference: see when_it_knows; half are right and all are decided at the end."""
    so_far, decided = when_it_knows().axes[-2:]
    assert list(so_far.lines[0].get_ydata()) == [0, 0, 0.5, 0.5]
    assert list(decided.lines[0].get_ydata()) == [0.5, 0.5, 1, 1]
    assert so_far.lines[0].get_color() == figures.STYLES["RNN"][0]


def test_a_gradients_slope_is_said_in_rows():
    """Reference: powers of two, which halve or double in each row, and a level line."""
    left, right = gradient_flow().axes
    said = [[text.get_text() for text in ax.get_legend().get_texts()] for ax in (left, right)]
    assert said[0] == ["RNN: halves every 1.0 rows", "LSTM: doubles every 1.0 rows"]
    assert said[1][1] == "LSTM: about level"


def test_bars_and_digits_are_what_was_found():
    """Reference: see assumptions and misread; a model that could not be asked has no bar."""
    axes = assumptions().axes
    assert [text.get_text() for text in axes[3].texts if text.get_text()] == ["20%"]
    axes = misread().axes
    assert axes[0].get_title() == "1 → 0  88%" and axes[0].get_ylabel() == "RNN: 1"
    assert not axes[7].images and axes[7].get_ylabel() == "LSTM: 0"
    assert [text.get_text() for text in axes[6].texts] == ["1"]


def test_each_model_has_its_own_scale_of_colours():
    """Reference: the largest logit of a model, of either sign, has the strongest colour."""
    above = sentence().axes[0]
    assert above.collections[0].get_array().tolist() == [[0.5, -1.0], [1.0, 0.5]]
    assert [text.get_text() for text in above.texts] == ["+1.0", "-2.0", "+0.5", "+0.2"]


def test_the_gradient_is_drawn_as_a_share_of_that_without_padding():
    """Reference: see padding; half of it is left behind nine in our sentence, a quarter in most."""
    left, middle, right = padding().axes
    median, ours = right.lines[:2]
    assert (median.get_ydata().tolist(), ours.get_ydata().tolist()) == ([1, 0.25], [1, 0.5])
    quartiles = right.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in quartiles} == {(0, 1), (9, 0.25), (9, 0.5)}
    assert [text.get_text() for text in left.get_xticklabels()] == ["good", "film", "+0", "+9"]
    assert [text.get_text() for text in middle.get_xticklabels()] == ["1–4", "≥ 5"]


def test_the_sentence_with_not_has_the_open_dots():
    """Reference: see negation; 1 without it and -1 with it, in the RNN."""
    without, with_not = negation().axes[0].lines[:2]
    assert (list(without.get_xdata()), list(with_not.get_xdata())) == ([1], [-1])
    assert with_not.get_markerfacecolor() == "white" and with_not.get_label().endswith("not")


def test_first_words_have_the_solid_line_and_last_words_the_dotted_one():
    """Reference: see reviews_cut; counted by hand, and the logits of the first review."""
    one, all_of_them = reviews_cut().axes
    drawn = [[(line.get_linestyle(), list(line.get_ydata())) for line in ax.lines]
             for ax in (one, all_of_them)]  # fmt: skip
    assert drawn[0][:2] == [("-", [1, 2]), (":", [-3, 4])]
    assert drawn[1] == [("-", [0.75, 1.0]), (":", [0.25, 0.75])]
    first, last = one.lines[:2]
    assert "first words" in first.get_label() and "last words" in last.get_label()
    assert first.get_markerfacecolor() != last.get_markerfacecolor() == "white"


def test_the_gates_have_their_own_means_and_a_held_gate_its_bar():
    """Reference: see lstm_gates; the second of four is the forget gate, in 0 … 1 over all."""
    gates = torch.linspace(0, 1, 4 * 4 * 3).view(4, 4, 3).mean(2)
    left, middle, right = lstm_gates().axes[:3]
    drawn = {line.get_label(): torch.tensor(line.get_ydata()) for line in middle.lines}
    assert torch.allclose(drawn["forget"].float(), gates[:, 1])
    names = [text.get_text() for text in right.get_yticklabels()]
    assert dict(zip(names, [bar.get_width() for bar in right.patches], strict=True)) == {
        "none": 0.9,
        "forget = 1": 0.5,
    }
