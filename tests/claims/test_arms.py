"""The arms: what they see, what their models are, how they are trained, and what is measured."""

import math

import pytest
import torch

from labkit.claims import arms, plan
from labkit.data import imdb, mnist
from labkit.training import TrainingConfig

ARM = "digits LSTM"


def test_the_pixels_of_permuted_and_blank_arms():
    """The same pixels in one other order for all digits; blank rows are paper, after the digit."""
    x = torch.arange(2 * 32 * 32.0).view(2, 32, 32)
    how = plan.plan()["arms"]
    permuted = arms._pixels(x, how["digits LSTM, permuted"])
    assert permuted.shape == x.shape and not torch.equal(permuted, x)
    assert torch.equal(permuted[0].flatten().sort().values, x[0].flatten())
    assert torch.equal(permuted[1] - permuted[0], torch.full((32, 32), 1024.0))
    assert torch.equal(arms._pixels(x[1:], how["digits LSTM, permuted"]), permuted[1:])
    blank = arms._pixels(x, how["digits LSTM, 32 blank rows"])
    assert blank.shape == (2, 64, 32) and torch.equal(blank[:, :32], x)
    assert blank[:, 32:].unique().tolist() == pytest.approx([-0.1307 / 0.3081])


@pytest.mark.parametrize(
    "arm", [name for name, how in plan.plan()["arms"].items() if how["data"] == "imdb"]
)
def test_models_of_the_text_arms_are_what_they_say(arm, tiny_reviews):
    how = plan.plan()["arms"][arm]
    model = arms.build(arm, tiny_reviews, 0)
    assert type(model.forward_layers[0]).__name__ == how["architecture"]
    assert len(model.forward_layers) == how["num_layers"] and model.readout == how["readout"]
    assert model.head.in_features == how["hidden_size"] and model.dropout.p == how["dropout"]
    assert model.between.p == (how["dropout"] if how["between"] else 0.0)
    again = arms.build(arm, tiny_reviews, 0)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "arm", [name for name, how in plan.plan()["arms"].items() if how["data"] == "mnist"]
)
def test_models_of_the_arms_of_digits_are_what_they_say(arm):
    how = plan.plan()["arms"][arm]
    model = arms.build(arm, None, 0)
    if how["architecture"] == "LeNet":
        assert type(model) is arms.classifiers.LeNet
    else:
        assert type(model.rnn).__name__ == how["architecture"]
        assert (model.rnn.hidden_size, model.rnn.num_layers) == (128, 2)
        assert model.rnn.dropout == how["dropout"] == 0.3


def test_an_arm_is_trained_as_the_report_trains(small):
    """Reference: the plan's batch size and rate; no schedule, no clipping, no other precision."""
    plan.plan()["arms"][ARM] |= {"batch_size": 32, "learning_rate": 0.002}
    plan.plan()["budgets"]["reduced"]["mnist"]["num_epochs"] = 20
    device = arms.settings.choose_device("auto")
    found = arms.config(ARM, 7, "reduced")
    assert found == TrainingConfig(20, 32, 0.002, 7, device, "fp32", 0.0, 0.0, 1.0)


def test_word_vectors_begin_as_the_reports_and_in_the_older_budget_as_the_courses(tiny_reviews):
    """Reference: the standard deviation of N(0, 1), and a tenth of the same numbers."""
    new, old = (
        arms.build("reviews RNN", tiny_reviews, 0, budget).embedding.weight.detach()
        for budget in ("report", "reduced")
    )
    assert float(new[1:].std()) == pytest.approx(1, abs=0.1) and not new[0].any()
    assert torch.allclose(new, old * 10)


def test_what_only_some_arms_say_reaches_their_models_and_training(tiny_reviews):
    """Reference: a forget bias of 1 in the second quarter of the biases, and nowhere else."""
    plain, biased = (
        arms.build(f"reviews LSTM, 128 units{more}", tiny_reviews, 0).forward_layers[1].bias_hh_l0
        for more in ("", ", forget bias 1")
    )
    assert (biased[128:256] == 1).all()
    assert torch.equal(biased[:128], plain[:128]) and torch.equal(biased[256:], plain[256:])
    plain, biased = (
        dict(arms.build(f"digits LSTM, 16 blank rows{more}", None, 0).named_parameters())
        for more in ("", ", forget bias 1")
    )
    for name in plain:
        differ = (plain[name] != biased[name]).nonzero()[:, 0].tolist()
        assert differ == (list(range(128, 256)) if "bias_hh" in name else []), name
    assert arms.config("reviews RNN, clipped", 0, "report").clip_norm == 1.0
    assert arms.config("reviews RNN", 0, "report").clip_norm == 0.0
    assert arms.config("reviews RNN, rate 0.003", 0, "report").learning_rate == 0.003


def test_padding_in_front_moves_the_words_to_the_end():
    """Reference: by hand. Two reviews of one and three words, five places."""
    part = imdb.Split(
        ids=torch.tensor([7, 4, 5, 6, 1], dtype=torch.int32),
        starts=torch.tensor([0, 1]),
        num_words=torch.tensor([1, 3]),
        lengths=torch.tensor([1, 3]),
        y=torch.tensor([0, 1]),
        texts=("a", "b c d"),
        tail=0,
        width=5,
    )
    index = torch.tensor([0, 1])
    assert part.batch(index)[0].tolist() == [[7, 0, 0, 0, 0], [4, 5, 6, 0, 0]]
    moved = arms.InFront(**vars(part)).to("cpu")
    ids, lengths, y = moved.batch(index)
    assert ids.tolist() == [[0, 0, 0, 0, 7], [0, 0, 4, 5, 6]]
    assert lengths.tolist() == [1, 3] and y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arm", "budget", "wide"),
    [
        ("reviews LSTM", "report", True),
        ("reviews LSTM", "reduced", False),
        ("reviews LSTM, padded", "reduced", True),
    ],
)
def test_batches_are_made_up_alike_in_all_arms_but_those_of_the_older_budget(
    arm, budget, wide, monkeypatch
):
    """A fixed width is a plain shuffle, whatever is read out."""
    given = {}
    monkeypatch.setattr(arms, "check_data", lambda arm: None)
    monkeypatch.setattr(arms, "_reviews", lambda *sizes, **how: given.update(how))
    arms.load.__wrapped__(arm, budget)
    assert given == {"pad_to_max_len": wide}


def test_gradient_slope_of_a_known_recurrence():
    """h_t = 0.5 h_{t-1} + x_t, read at the end: the gradient at row t is 0.5^(T-1-t)."""

    class Halving(torch.nn.Module):
        def forward(self, x):
            h = torch.zeros(len(x), 10)
            for t in range(x.shape[1]):
                h = 0.5 * h + x[:, t, :10]
            return h

    part = mnist.Split(torch.randn(8, 20, 32), torch.arange(8))
    assert arms.gradient_slope(Halving(), part) == pytest.approx(math.log(2), rel=1e-4)
