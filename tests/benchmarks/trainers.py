"""Speed against the trainers a student would pick: the same model, digits, batch and epoch.

Each does it as its tutorial shows. Lightning and the Trainer of Hugging Face load through a
`DataLoader`, skorch and Keras take arrays; all but Keras, which has layers of its own, train the
plain model as a student writes it. labkit is timed in the same run; the others have a process of
their own, so that what labkit sets for its process (kept memory, denormal numbers) does not help
them. Making the model is timed with them and not with labkit: a few milliseconds of a second.
Install them first: pip install lightning skorch transformers accelerate keras
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import warnings

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is imported
os.environ["TQDM_DISABLE"] = "1"
warnings.filterwarnings("ignore")

import common
import keras
import lightning
import numpy as np
import plain
import skorch
import torch
import transformers
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from labkit.data import mnist, official

PACKAGES = ("lightning", "skorch", "transformers", "keras")


class Lit(lightning.LightningModule):
    """Lightning's own first example, with this model."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def training_step(self, batch, _):
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class WithLoss(nn.Module):
    """Hugging Face's Trainer wants the loss from the model."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x, labels):
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class AsDicts(plain.Digits):
    """The plain dataset with names for its two parts."""

    def __getitem__(self, k: int):
        x, y = super().__getitem__(k)
        return {"x": x, "labels": y}


def with_lightning(name: str, data: plain.Digits) -> None:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = lightning.Trainer(max_epochs=1, accelerator="auto", devices=1, **quiet)
    trainer.fit(Lit(plain.model(name)), DataLoader(data, batch_size=64, shuffle=True))


def with_skorch(name: str, x: np.ndarray, y: np.ndarray) -> None:
    net = skorch.NeuralNetClassifier(
        plain.model,
        module__name=name,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=1,
        batch_size=64,
        train_split=None,
        iterator_train__shuffle=True,
        device=plain.DEVICE,
        verbose=0,
    )
    net.fit(x, y)


def with_transformers(name: str, data: AsDicts) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = transformers.TrainingArguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=64,
            learning_rate=1e-3,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
        )
        transformers.Trainer(WithLoss(plain.model(name)), settings, train_dataset=data).train()


def with_keras(name: str, x: np.ndarray, y: np.ndarray) -> None:
    if name == "LeNet":
        model, x = keras.Sequential([keras.Input((32, 32, 1))]), x[..., None]
        for filters, padding in ((6, "same"), (16, "valid")):
            model.add(keras.layers.Conv2D(filters, 5, padding=padding, activation="relu"))
            model.add(keras.layers.MaxPooling2D())
        model.add(keras.layers.Flatten())
        for units in (120, 84):
            model.add(keras.layers.Dense(units, activation="relu"))
    else:
        layer = {"RNN": keras.layers.SimpleRNN, "LSTM": keras.layers.LSTM}[name]
        model = keras.Sequential(
            [
                keras.Input((32, 32)),
                layer(128, return_sequences=True),
                keras.layers.Dropout(0.3),
                layer(128),
            ]
        )
    model.add(keras.layers.Dense(10))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=64, epochs=1, verbose=0)


@functools.cache
def digits(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first images and labels of the training file."""
    return official.read_mnist("train-images-idx3-ubyte")[:size], official.read_mnist(
        "train-labels-idx1-ubyte"
    )[:size]


@functools.cache
def arrays(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same, prepared for trainers that take arrays: that is not timed."""
    split = mnist.prepare(*digits(size))
    return split.x.numpy(), split.y.numpy()


OTHERS = {
    "Lightning": lambda name, size: with_lightning(name, plain.Digits(*digits(size))),
    "skorch": lambda name, size: with_skorch(name, *arrays(size)),
    "Hugging Face": lambda name, size: with_transformers(name, AsDicts(*digits(size))),
    "Keras": lambda name, size: with_keras(name, *arrays(size)),
}


def serve() -> None:
    """Do each piece of work, a line with trainer, model and number of digits, and answer "done"."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the trainers print is no answer
    transformers.logging.set_verbosity_error()
    lightning.pytorch.utilities.disable_possible_user_warnings()
    for line in sys.stdin:
        trainer, name, size = json.loads(line)
        OTHERS[trainer](name, size)
        print("done", file=answers, flush=True)


def main() -> None:
    import speed  # which sets what labkit sets

    from labkit.models import classifiers

    quick = common.arguments(__doc__).quick
    size = 3_200 if quick else 12_800
    ours = mnist.prepare(*digits(size)).to(plain.DEVICE)
    apart, rows = speed.Apart(__file__, "serve"), []
    for name in ("LeNet", "RNN", "LSTM"):
        net = (
            classifiers.LeNet()
            if name == "LeNet"
            else classifiers.SequenceClassifier(name, 32, 128, 2, 10, 0.3)
        )
        sides = {"labkit": speed.steps(net, ours, size // 64)}
        sides |= {trainer: apart.work(trainer, name, size) for trainer in OTHERS}
        seconds = common.in_turn(sides, 1 if quick else 3)
        ratio = (
            min(value for side, value in seconds.items() if side != "labkit") / seconds["labkit"]
        )
        what = name if name == "LeNet" else f"{name} 128×2"
        row = {
            "work": f"{what}, {size:,} digits, an epoch",
            **seconds,
            "ratio to the fastest": ratio,
            "at least": 1.5,
        }
        rows.append(row)
    common.show(rows)
    if not quick:
        common.save("trainers", rows, PACKAGES)
    near = [
        row["work"]
        for row in rows
        if row["ratio to the fastest"] < (1.0 if quick else row["at least"])
    ]
    for work in near:
        print(f"the fastest of the others is too near: {work}")
    if quick and near:
        sys.exit(1)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
