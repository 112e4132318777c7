"""The loop, against full-batch figures, a hand-written twin, and what a loop must never do."""

import copy
import math
import platform
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit import metrics, training
from labkit.data import mnist
from labkit.machine import digests, numerics
from labkit.machine.progress import Progress, in_words
from labkit.models.classifiers import LeNet, SequenceClassifier, TextClassifier, count_parameters
from labkit.models.linear import LinearModel
from labkit.runs import timing
from labkit.training import TrainingConfig

SETTINGS = dict(num_epochs=2, batch_size=8, learning_rate=1e-3, seed=42)


def fit(net, data, **settings):
    return training.fit(net, data, TrainingConfig(**settings))


def epoch(net, part, order, optimizer, config, progress):
    """Train an epoch at a constant learning rate."""
    constant = training.one_cycle(optimizer, config, 0)
    return training.train_epoch(net, part, order, optimizer, constant, config, progress)


def digits_net(cell="LSTM"):
    torch.manual_seed(0)
    return SequenceClassifier(cell, 32, 16, 2, 10, dropout=0.3)


def reviews_net(data, cell="LSTM", **kwargs):
    torch.manual_seed(0)
    return TextClassifier(cell, len(data.vocabulary), 8, 16, dropout=0.2, **kwargs)


def test_loss_is_cross_entropy_or_binary_by_the_width_of_the_logits():
    """References: -log of the softmax, and -log of the sigmoid."""
    logits, y = torch.tensor([[1.0, 2.0, 0.5], [0.1, 0.2, 0.3]]), torch.tensor([1, 2])
    expected = -(logits.exp() / logits.exp().sum(1, keepdim=True)).log()[[0, 1], y].mean()
    torch.testing.assert_close(metrics.loss(logits, y), expected)
    logit, y = torch.tensor([[2.0], [-1.0]]), torch.tensor([1, 1])
    torch.testing.assert_close(metrics.loss(logit, y), -torch.sigmoid(logit).log().mean())


def test_averages_are_weighted_by_examples(tiny_digits):
    """At a learning rate of 0 the loss over batches, the last short, is that of all at once."""
    net = digits_net().eval()
    net.rnn.dropout = 0.0
    expected = metrics.loss(net(tiny_digits.train.x), tiny_digits.train.y).item()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.0)
    with Progress("", 7) as progress:
        order = tiny_digits.train.order(5)
        found = epoch(net, tiny_digits.train, order, optimizer, TrainingConfig(1), progress)
    assert found["train_loss"] == pytest.approx(expected, rel=1e-5)
    correct = (net(tiny_digits.train.x).argmax(1) == tiny_digits.train.y).sum().item()
    assert found["train_accuracy"] == pytest.approx(correct / 32)


def test_an_epoch_is_the_loop_written_out(tiny_digits):
    """Reference: the same steps with plain Adam, by hand."""
    net = LeNet()
    twin = copy.deepcopy(net)
    run = fit(net, tiny_digits, num_epochs=1, batch_size=8, learning_rate=1e-3, seed=7)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(digests.seed(7, "order", 1)))
    for index in order.split(8):
        loss = F.cross_entropy(twin(tiny_digits.train.x[index]), tiny_digits.train.y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for ours, theirs in zip(run.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [LeNet, lambda: digits_net("RNN"), lambda: digits_net("LSTM"), lambda: digits_net("GRU")],
)
def test_eight_digits_are_learnt_by_heart(tiny_digits, make):
    part = mnist.Split(tiny_digits.train.x[:8], tiny_digits.train.y[:8])
    tiny_digits.train = tiny_digits.validation = part
    torch.manual_seed(0)
    run = fit(make(), tiny_digits, num_epochs=60, batch_size=8, learning_rate=1e-2)
    assert run.history[run.best_epoch - 1]["val_accuracy"] == 1.0


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_reviews_are_learnt_by_heart(tiny_reviews, cell):
    run = fit(
        reviews_net(tiny_reviews, cell),
        tiny_reviews,
        num_epochs=40,
        batch_size=8,
        learning_rate=1e-2,
    )
    assert run.history[run.best_epoch - 1]["val_accuracy"] == 1.0


def test_same_seed_same_run_whatever_ran_before(tiny_reviews):
    net = reviews_net(tiny_reviews, num_layers=2)
    first = fit(net, tiny_reviews, **SETTINGS)
    torch.rand(1000)  # as another cell might
    again = fit(net, tiny_reviews, **SETTINGS)
    other = fit(net, tiny_reviews, **SETTINGS | {"seed": 43})
    without_time = [
        [{**record, "seconds": 0} for record in run.history] for run in (first, again, other)
    ]
    assert without_time[0] == without_time[1] != without_time[2]
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key])


def test_fit_leaves_the_model_it_was_given_as_it_was(tiny_digits):
    net = digits_net()
    before = copy.deepcopy(net.state_dict())
    fit(net, tiny_digits, **SETTINGS)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


class Stub(nn.Module):
    """Answers class k on the k-th validation."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.calls, self.steps = answers, 0, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        if self.training:
            return self.steps * torch.ones(len(x), 10)
        self.calls += 1
        return F.one_hot(torch.full((len(x),), self.answers[self.calls - 1]), 10).float()


def test_best_epoch_is_the_first_of_the_best():
    """Labels 0, 0, 0, 1, 2: answering 1, 0, 2, 0 makes epochs 2 and 4 the best: 2 is kept."""
    part = mnist.Split(torch.zeros(5, 32, 32), torch.tensor([0, 0, 0, 1, 2]))
    data = type("Data", (), {"train": part, "validation": part})
    run = fit(Stub([1, 0, 2, 0]), data, num_epochs=4, batch_size=5)
    assert run.best_epoch == 2
    assert [round(record["val_accuracy"], 1) for record in run.history] == [0.2, 0.6, 0.2, 0.6]


def test_the_best_weights_are_restored(tiny_digits):
    """The first epoch without a mistake is the best; the loss tells whose weights are back."""
    run = fit(digits_net(), tiny_digits, num_epochs=40, batch_size=8, learning_rate=1e-2)
    loss = metrics.loss(
        training.predict(run.model, tiny_digits.validation), tiny_digits.validation.y
    ).item()
    assert run.best_epoch < 40 and run.history[-1]["val_loss"] != pytest.approx(loss)
    assert run.history[run.best_epoch - 1]["val_loss"] == pytest.approx(loss)


def test_history_has_what_the_course_shows(tiny_digits):
    run = fit(LeNet(), tiny_digits, **SETTINGS)
    names = "epoch train_loss train_accuracy val_loss val_accuracy val_precision val_recall val_f1 "
    names += "learning_rate seconds"
    assert [set(record) for record in run.history] == [set(names.split())] * 2
    assert run.train_seconds == pytest.approx(sum(record["seconds"] for record in run.history))
    assert run.num_parameters == count_parameters(LeNet())


def test_predict_keeps_the_order_the_mode_and_the_state(tiny_reviews):
    net = reviews_net(tiny_reviews).train()
    before = copy.deepcopy(net.state_dict())
    logits = training.predict(net, tiny_reviews.test, batch_size=5)
    assert net.training and all(
        torch.equal(value, before[key]) for key, value in net.state_dict().items()
    )
    net.eval()
    for row in range(len(tiny_reviews.test)):
        ids, lengths, _ = tiny_reviews.test.batch(torch.tensor([row]))
        torch.testing.assert_close(logits[row], net(ids, lengths)[0])


def test_one_cycle_climbs_to_its_peak_and_falls(tiny_digits):
    run = fit(LeNet(), tiny_digits, num_epochs=10, batch_size=8, learning_rate=1e-3, peak=4.0)
    rates = [record["learning_rate"] for record in run.history]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(4e-3, rel=0.05) and rates.index(max(rates)) in (2, 3)
    assert rates[-1] < 1e-3
    constant = fit(LeNet(), tiny_digits, **SETTINGS)
    assert {record["learning_rate"] for record in constant.history} == {1e-3}


def test_a_single_step_can_be_a_cycle(tiny_digits):
    run = fit(LeNet(), tiny_digits, num_epochs=1, batch_size=32, peak=4.0)
    assert math.isfinite(run.history[0]["train_loss"])


def test_clipping_bounds_the_gradient(tiny_digits):
    """Reference: a step of plain SGD moves the weights by at most clip_norm times the rate."""
    net = LeNet()
    before = nn.utils.parameters_to_vector(net.parameters()).clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    with Progress("", 1) as progress:
        config, order = TrainingConfig(1, clip_norm=0.01), tiny_digits.train.order(32)
        epoch(net, tiny_digits.train, order, optimizer, config, progress)
    moved = (nn.utils.parameters_to_vector(net.parameters()) - before).norm().item()
    assert 0 < moved <= 0.01 * 1.001


def test_batch_of_one(tiny_reviews):
    run = fit(reviews_net(tiny_reviews), tiny_reviews, num_epochs=1, batch_size=1)
    assert math.isfinite(run.history[0]["val_loss"])


@pytest.mark.skipif(not numerics.bf16_works(), reason="no bf16 on this processor")
def test_bf16_is_close_to_fp32(tiny_digits):
    net = digits_net()
    half = training.predict(net, tiny_digits.test, precision="bf16")
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, training.predict(net, tiny_digits.test), rtol=0.05, atol=0.02)


def test_an_epoch_is_a_line_that_says_what_is_left(capsys, monkeypatch):
    """Reference: by hand; ten seconds a step, 30 of 90 steps are done."""
    clock = iter([0, 300])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    with Progress("LSTM", 90) as progress:
        for _ in range(30):
            progress.step(torch.tensor(1.0), torch.tensor(1), 1)
        progress.epoch({"epoch": 1, "train_loss": 0.5, "val_accuracy": 0.75}, 3)
    line = "LSTM, epoch 1 of 3: loss 0.500, validation accuracy 75.0%, about 10 minutes left\n"
    assert capsys.readouterr() == (line, "")


def test_a_training_is_announced_for_all_its_epochs_and_leaves_no_trace(tiny_digits, monkeypatch):
    """Reference: by hand; 1 second a step, 4 batches of 8 and a third of 4, 3 epochs, 2 models."""
    monkeypatch.setattr(training, "train_epoch", lambda *given: {"seconds": len(given[2])})
    nets, state = {"RNN": digits_net(), "LSTM": digits_net()}, torch.get_rng_state()
    said = timing.how_long(nets, tiny_digits, TrainingConfig(3, batch_size=8))
    assert said == "Training RNN and LSTM from the start takes about 32 seconds here."
    assert torch.equal(state, torch.get_rng_state())


def test_durations_in_words():
    assert [in_words(s) for s in (30, 120, 5400, 7300)] == [
        "about 30 seconds",
        "about 2 minutes",
        "about 2 hours",
        "about 2 hours",
    ]


def test_numbers_too_small_to_count_are_zero_in_every_thread():
    """Reference: 1e-39 is below the smallest normal float; 10 million are for all threads."""
    lines = (
        "import sys, torch",
        "from labkit import training",
        "tiny = torch.full((10_000_000,), 2.0**-120) * 2.0**-10",
        "supported = torch.set_flush_denormal(True)  # after the product, so it does not help it",
        "sys.exit(int(supported and bool((tiny.view(torch.int32) != 0).any())))",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)]).returncode == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
@pytest.mark.parametrize(("numbers", "kept"), [(5_000_000, True), (10_000_000, False)])
def test_freed_memory_is_used_again_but_large_blocks_go_back(numbers, kept):
    """Reference: 8 blocks of 20 MB are 39,000 pages of 4 kB, which the system clears if given back.

    8 blocks of 40 MB, freed, are not the process's any more.
    """
    lines = (
        "import psutil, resource, sys, torch",
        "from labkit import training",
        f"def use(): [torch.ones({numbers}) for _ in range(8)]",
        "use(), use()",  # the second time may still need a place or two more
        "held = psutil.Process().memory_info().rss",
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt",
        "use()",
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, held)",
        "print(0, psutil.Process().memory_info().rss)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    faults, held = map(int, done.stdout.splitlines()[0].split())
    idle = subprocess.run(
        [sys.executable, "-c", "\n".join(lines[:2] + lines[-1:])],
        capture_output=True,
        text=True,
        check=True,
    )
    grown = held - int(idle.stdout.split()[1])
    assert (faults < 10_000 and grown > 100e6) if kept else (faults > 30_000 and grown < 100e6), (
        faults,
        grown,
    )


@pytest.mark.parametrize("peak", [0.0, 2.0])
def test_the_embedding_learns_at_its_own_rate(tiny_reviews, peak):
    """At rate 0 it stays as it was while all else moves; at its own rate it moves less."""
    net = reviews_net(tiny_reviews)
    ends = {}
    for rate in (0.0, 0.1, 1.0):
        ends[rate] = fit(net, tiny_reviews, **SETTINGS, peak=peak, embedding_rate=rate).model
    assert torch.equal(ends[0.0].embedding.weight, net.embedding.weight)
    assert not torch.equal(ends[0.0].head.weight, net.head.weight)
    assert not torch.equal(ends[0.1].embedding.weight, ends[1.0].embedding.weight)
    near, far = (
        float((ends[rate].embedding.weight - net.embedding.weight).abs().max().detach())
        for rate in (0.1, 1.0)
    )
    assert near < far / 3


def test_no_epochs_return_the_model_untrained(tiny_digits):
    net = LeNet()
    run = fit(net, tiny_digits, num_epochs=0, peak=2.0)
    assert (run.history, run.best_epoch, run.train_seconds, run.diverged) == ([], 0, 0, None)
    for ours, theirs in zip(run.model.parameters(), net.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Crowded(LeNet):
    """Takes at most so many digits at a time, as a small GPU does."""

    room = 3

    def forward(self, x):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("made up")
        return super().forward(x)


def test_evaluation_that_does_not_fit_is_done_in_smaller_batches(tiny_digits):
    """Reference: the same weights with room for everything."""
    torch.manual_seed(0)
    net, twin = Crowded().train(), LeNet()
    twin.load_state_dict(net.state_dict())
    logits = training.predict(net, tiny_digits.test)
    torch.testing.assert_close(logits, training.predict(twin, tiny_digits.test))
    assert net.training, "the mode is restored"
    net.room = 0
    with pytest.raises(torch.OutOfMemoryError):
        training.predict(net, tiny_digits.test)


def test_a_training_batch_that_does_not_fit_says_what_to_choose(tiny_digits):
    with pytest.raises(MemoryError, match="batches of 8 do not fit on cpu: .* smaller batch_size"):
        fit(Crowded(), tiny_digits, num_epochs=1, batch_size=8)


def test_the_linear_baseline_is_recalled_as_it_was(tiny_reviews):
    """Reference: the logits of the model that was fitted."""
    run = training.fit_linear(LinearModel(), tiny_reviews)
    again = LinearModel()
    again.load_state_dict(run.model.state_dict())
    logits = run.model.logits(tiny_reviews.test)
    assert torch.equal(logits, again.logits(tiny_reviews.test))
    assert run.num_parameters == run.model.state_dict()["coef"].numel() + 1
    assert metrics.scores(logits, tiny_reviews.test.y)["accuracy"] == 1.0


def test_on_a_gpu_bits_are_the_same_while_we_compute_and_all_is_as_before_afterwards():
    """The flags can be set without a GPU. cuDNN stays on; readers are free again afterwards."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul

    def flags():
        deterministic = torch.are_deterministic_algorithms_enabled()
        tf32 = cudnn.allow_tf32, matmul.allow_tf32
        return deterministic, cudnn.enabled, cudnn.deterministic, cudnn.benchmark, *tf32

    before = flags()
    with numerics.deterministic("cpu"):
        assert flags() == before
    with numerics.deterministic("cuda:0"):
        assert flags() == (True, True, True, False, False, False)
    assert flags() == before
