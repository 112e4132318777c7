"""Speed against the trainers a student would pick: LeNet on the same digits, batch and epoch, each as its tutorial shows.

Lightning and the Trainer of Hugging Face load through a `DataLoader`, skorch and Keras take arrays; labkit is timed
in the same run. Install them first: pip install lightning skorch transformers accelerate keras
"""

from __future__ import annotations

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
import speed
import torch
import transformers
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from labkit import mnist, models, sources

PACKAGES = ("lightning", "skorch", "transformers", "keras")


class Lit(lightning.LightningModule):
    """Lightning's own first example, with this model."""

    def __init__(self):
        super().__init__()
        self.net = models.LeNet()

    def training_step(self, batch, _):
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class WithLoss(nn.Module):
    """Hugging Face's Trainer wants the loss from the model."""

    def __init__(self):
        super().__init__()
        self.net = models.LeNet()

    def forward(self, x, labels):
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class AsDicts(plain.Digits):
    """The plain dataset with names for its two parts."""

    def __getitem__(self, k: int):
        x, y = super().__getitem__(k)
        return {"x": x, "labels": y}


def with_lightning(data: plain.Digits) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = lightning.Trainer(max_epochs=1, accelerator="auto", devices=1, **quiet)
    trainer.fit(Lit(), DataLoader(data, batch_size=64, shuffle=True))


def with_skorch(x: np.ndarray, y: np.ndarray) -> None:
    net = skorch.NeuralNetClassifier(
        models.LeNet,
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


def with_transformers(data: AsDicts) -> None:
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
        transformers.Trainer(WithLoss(), settings, train_dataset=data).train()


def with_keras(x: np.ndarray, y: np.ndarray) -> None:
    def layers():
        yield keras.Input((32, 32, 1))
        for filters, padding in ((6, "same"), (16, "valid")):
            yield keras.layers.Conv2D(filters, 5, padding=padding, activation="relu")
            yield keras.layers.MaxPooling2D()
        yield keras.layers.Flatten()
        for units, activation in ((120, "relu"), (84, "relu"), (10, None)):
            yield keras.layers.Dense(units, activation=activation)

    model = keras.Sequential(list(layers()))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x[..., None], y, batch_size=64, epochs=1, verbose=0)


def main() -> None:
    quick = common.arguments(__doc__).quick
    size = 3_200 if quick else 12_800
    transformers.logging.set_verbosity_error()
    lightning.pytorch.utilities.disable_possible_user_warnings()
    images, labels = sources.read_mnist("train-images-idx3-ubyte")[:size], sources.read_mnist("train-labels-idx1-ubyte")[:size]
    ours = mnist.prepare(images, labels)
    x, y = ours.x.numpy(), ours.y.numpy()
    sides = {
        "labkit": speed.steps(models.LeNet(), ours.to(plain.DEVICE), size // 64, "fp32"),
        "Lightning": lambda: with_lightning(plain.Digits(images, labels)),
        "skorch": lambda: with_skorch(x, y),
        "Hugging Face": lambda: with_transformers(AsDicts(images, labels)),
        "Keras": lambda: with_keras(x, y),
    }
    seconds = common.in_turn(sides, 1 if quick else 3)
    fastest = min(value for name, value in seconds.items() if name != "labkit")
    ratio = fastest / seconds["labkit"]
    rows = [{"work": f"LeNet, {size:,} digits, an epoch", **seconds, "ratio to the fastest": ratio, "at least": 1.5}]
    common.show(rows)
    if not quick:
        common.save("trainers", rows, PACKAGES)
    if ratio < (1.0 if quick else 1.5):
        print("the fastest of the others is too near")
        if quick:
            sys.exit(1)


if __name__ == "__main__":
    main()
