"""The arms: what they see, what their models are, how they are trained, and what is measured."""

import math

import numpy as np
import pytest
import torch

from labkit.claims import arms, plan
from labkit.data import mnist
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


def test_an_arm_is_trained_as_the_report_trains(small, monkeypatch):
    """Reference: the plan's batch size and rate; no schedule, no clipping, no other precision."""
    given = []
    plan.plan()["arms"][ARM] |= {"batch_size": 32, "learning_rate": 0.002}
    monkeypatch.setattr(arms.training, "fit", lambda *how: given.append(how))
    arms.fit(ARM, arms.load(ARM, "reduced"), 7, 20)
    device = arms.settings.choose_device("auto")
    assert given[0][2] == TrainingConfig(20, 32, 0.002, 7, device, "fp32", 0.0, 0.0, 1.0)


def test_measures_of_a_curve_by_hand():
    """Losses 3, 1, 2 and accuracies 0.5, 0.7, 0.6.

    The accuracies change by +0.2 and -0.1, whose standard deviation is 0.3 / √2.
    """
    history = [
        {"train_loss": loss, "val_loss": loss, "val_accuracy": accuracy, "seconds": 2.0}
        for loss, accuracy in ((3.0, 0.5), (1.0, 0.7), (2.0, 0.6))
    ]
    test = {
        "accuracy": 0.9,
        "precision": 0.8,
        "recall": 0.7,
        "f1": 0.6,
        "confusion": [[1, 0], [0, 1]],
    }
    found = arms.measures(history, test)
    assert found["area under the training loss"] == 2.0 and found["last training loss"] == 2.0
    assert found["spread of validation accuracy"] == pytest.approx(0.3 / math.sqrt(2))
    assert found["spread of validation loss"] == pytest.approx(3 / math.sqrt(2))
    assert found["rise of the validation loss from its lowest"] == 1.0
    assert found["validation accuracy in the first two epochs"] == pytest.approx(0.6)
    assert (
        found["log of the seconds an epoch"] == pytest.approx(math.log(2))
        and found["test F1"] == 0.6
    )


def test_share_of_4_and_9_by_hand():
    """10 errors, 6 of them between 4 and 9: 0.6, the other 44 pairs 0.4 / 44 each in the mean."""
    confusion = np.diag([90] * 10)
    confusion[4, 9], confusion[9, 4], confusion[2, 7], confusion[3, 5] = 4, 2, 3, 1
    assert arms.share_of_4_and_9(confusion) == pytest.approx(0.6 - 0.4 / 44)


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
