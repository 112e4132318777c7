"""Runs of large weights, so that answers differ; their pages; a browser, if there is one."""

import shutil

import pytest
import torch
from torch import nn

from labkit import settings, training
from labkit.data import imdb, mnist
from labkit.models import linear
from labkit.models.classifiers import LeNet, SequenceClassifier, TextClassifier
from labkit.page import export
from labkit.runs.folder import open_run

WITHOUT = "this test needs a Chromium, and playwright: pip install -e '.[browser]'"


@pytest.fixture
def page_of(tmp_path, monkeypatch, tiny_digits, tiny_reviews):
    """Return a function that makes a run of a notebook and its page: `export.Exported`."""
    monkeypatch.setattr(mnist, "load", lambda *asked: tiny_digits)

    def make(notebook, **asked):
        asked = {"data_source": "sample", "preset": "quick", "device": "cpu"} | asked
        config = settings.resolve(notebook, num_epochs=1, **asked)
        config.run_dir, config.learning_rate = f"{tmp_path / 'run'}", 1e-9

        def read(*sizes, pad_to_max_len):
            assert pad_to_max_len == (config.readout == "padded"), "batches of the run's width"
            return tiny_reviews

        monkeypatch.setattr(imdb, "load", read)
        if notebook == "01_mnist":
            data, sizes = tiny_digits, (32, config.hidden_size, config.num_layers)
            nets = {cell: SequenceClassifier(cell, *sizes) for cell in ("RNN", "LSTM")}
            nets["LeNet"] = LeNet()
        else:
            data, sizes = tiny_reviews, (config.embedding_dim, config.hidden_dim, config.n_layers)
            words = len(data.vocabulary)
            how = {"readout": config.readout, "bidirectional": config.bidirectional}
            nets = {cell: TextClassifier(cell, words, *sizes, **how) for cell in ("RNN", "LSTM")}
        folder = open_run(config, data)
        if notebook == "02_imdb":
            run = training.fit_linear(linear.LinearModel(), data, folder.at("linear"))
            folder.test("linear", run, data.test)
        for name, net in nets.items():
            run = training.fit(grown(net), data, config.training, folder.at(name))
            folder.test(name, run, data.test)
        folder.finish()
        return export.write(folder.path)

    return make


def grown(net: nn.Module) -> nn.Module:
    """Return the net with weights drawn so large that tanh and gates are often saturated."""
    torch.manual_seed(0)
    for name, weight in net.named_parameters():
        scale = 1.0 if "embedding" in name else 0.15
        nn.init.normal_(weight, std=scale)
        if "embedding" in name:
            weight.data[0] = 0  # <pad>
    return net


@pytest.fixture(scope="session")
def browser():
    """Return a Chromium, or skip."""
    playwright = pytest.importorskip("playwright.sync_api", reason=WITHOUT)
    with playwright.sync_playwright() as driver:
        try:
            chromium = driver.chromium.launch(executable_path=shutil.which("chromium"))
        except playwright.Error:
            pytest.skip(WITHOUT)
        yield chromium
        chromium.close()
