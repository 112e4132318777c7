"""What is measured of a record, by hand."""

import math

import numpy as np
import pytest

from labkit.claims import measures


def made(data="imdb", **curves):
    """Return a record whose epochs have these curves."""
    names = {"val_loss": 1.0, "val_accuracy": 0.7, "val_f1": 0.7, "train_loss": 1.0, "seconds": 1.0}
    num = max(map(len, curves.values()), default=3)
    history = [
        {name: curves.get(name, [default] * num)[k] for name, default in names.items()}
        for k in range(num)
    ]
    for k, value in enumerate(curves.get("clean_train_loss", [])):
        history[k]["clean_train_loss"] = value
    return {"history": history, "settings": {"data": data}, "test": {"confusion": [[1, 1], [1, 1]]}}


def test_a_models_falls_count_from_the_epoch_in_which_it_leaves_chance():
    """0.55 and 0.52 are chance still; from 0.6 on it falls by 0.02 and by 0.10."""
    record = made(val_accuracy=[0.55, 0.52, 0.6, 0.58, 0.7, 0.6], val_loss=[9, 1, 2, 1, 3, 4])
    assert measures.measure(record, "falls of validation accuracy") == pytest.approx(0.12)
    assert measures.measure(record, "rises of validation loss") == pytest.approx(3)
    assert measures.measure(made(val_f1=[0.5, 0.9, 0.4]), "falls of validation F1") == 0.5
    never = made(val_accuracy=[0.55, 0.59, 0.5])
    assert measures.measure(never, "falls of validation accuracy") is None
    digits = made("mnist", val_accuracy=[0.19, 0.2, 0.15])
    assert measures.measure(digits, "falls of validation accuracy") == pytest.approx(0.05)


def test_losses_and_seconds_of_the_epochs():
    record = made(
        train_loss=[4.0, 2.0, 1.0, 1.0],
        val_loss=[3.0, 1.0, 2.0, 3.0],
        clean_train_loss=[2.0, 1.0, 0.5, 0.5],
        seconds=[9.0, 2.0, 1.0, 2.0],
        val_accuracy=[0.5, 0.7, 0.9, 0.8],
    )
    expected = {
        "area under the training loss": 2.0,
        "area under the training loss in evaluation mode": 1.0,
        "last training loss in evaluation mode": 0.5,
        "first training loss": 4.0,
        "training loss of the first two epochs": 3.0,
        "late rise of validation loss": 1.0,
        "log of the seconds an epoch": math.log(2),
        "best validation accuracy": 0.9,
        "validation accuracy of the first two epochs": 0.6,
    }
    for name, value in expected.items():
        assert measures.measure(record, name) == pytest.approx(value), name
    with pytest.raises(KeyError):  # as in the older records
        measures.measure(made(), "last training loss in evaluation mode")


def test_confused_pairs_by_hand():
    """Ten errors: 6 of 4 and 9, 3 of 2 and 7, 1 of 3 and 5.

    10 · 9 / (6 · 5 + 3 · 2 + 1 · 0) = 2.5 pairs; 4 and 9 have 0.6, the largest other has 0.3.
    """
    confusion = np.diag([90] * 10)
    confusion[4, 9], confusion[9, 4], confusion[2, 7], confusion[3, 5] = 4, 2, 3, 1
    record = made("mnist") | {"test": {"confusion": confusion.tolist()}}
    assert measures.measure(record, "effective number of confused pairs") == pytest.approx(2.5)
    share = "share of 4 and 9 in the errors less that of the largest other pair"
    assert measures.measure(record, share) == pytest.approx(0.3)


def test_slopes_by_both_names():
    new = made("mnist") | {"slopes": {"before": 0.5, "after": -0.1}}
    old = {f"slope of the log gradient {when} training": -0.2 for when in ("before", "after")}
    assert measures.measure(new, "size of the gradient's slope after training") == 0.1
    older = made("mnist") | {"measures": old}
    assert measures.measure(older, "size of the gradient's slope before training") == 0.2


def test_equal_time_by_hand():
    """Three epochs of 1 s and of 2.5 s: at 3 s the slow arm has done one; at 0.5 s none."""
    fast = made(val_accuracy=[0.5, 0.55, 0.58], seconds=[1.0, 1.0, 1.0])
    slow = made(val_accuracy=[0.6, 0.7, 0.8], seconds=[2.5, 2.5, 9.0])  # one was disturbed
    assert measures.at_equal_time([fast, slow]) == [0.58, 0.6]
    slow = made("mnist", seconds=[9.0, 9.0, 9.0])
    assert measures.at_equal_time([fast, slow]) == [0.58, 0.1], "chance before the first epoch"
    tenths = made(val_accuracy=[k / 10 for k in range(10)], seconds=[0.1] * 10)
    assert measures.at_equal_time([tenths, slow])[0] == 0.9


def test_of_each_measure_it_is_said_whether_less_is_better():
    less = ("first training loss", "rises of validation loss", "log of the seconds an epoch")
    less += ("falls of validation F1", "late rise of validation loss")
    less += ("size of the gradient's slope after training",)
    more = ("test F1", "best validation accuracy", "effective number of confused pairs")
    more += (measures.EQUAL_TIME,)
    assert all(measures.worst(name) == math.inf for name in less)
    assert all(measures.worst(name) == -math.inf for name in more)
