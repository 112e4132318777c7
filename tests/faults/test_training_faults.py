"""Faults of a training: real processes, kills and files. Each test says how it must end.

Reference throughout: the digest of the weights of the same training that nothing disturbed.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from labkit import training
from labkit.data import mnist
from labkit.machine import digests, environment, files, locks
from labkit.models.classifiers import SequenceClassifier
from labkit.runs.checkpoints import Checkpoints
from labkit.training import TrainingConfig

KILLS = int(os.environ.get("LABKIT_KILLS", "20"))  # make soak sets 200
HOW = {"num_epochs": 6, "batch_size": 32, "peak": 2.0, "clip_norm": 1.0}


def digits():
    draw = torch.Generator().manual_seed(0)
    part = mnist.Split(
        torch.randn(512, 32, 32, generator=draw), torch.randint(10, (512,), generator=draw), shift=1
    )
    return mnist.Digits(part, part, part, "made up", "0" * 64)


def train(folder, data, **changed):
    """Train a small LSTM with dropout between its layers."""
    torch.manual_seed(0)
    net = SequenceClassifier("LSTM", 32, 24, 2, 10, dropout=0.3)
    locks.lock(folder)
    config = TrainingConfig(**(HOW | changed))
    return training.fit(net, data, config, Checkpoints(folder, "LSTM"))


def digest(run):
    return digests.weights_sha256(run.model.state_dict())


def in_a_process(work) -> int:
    """Start `work` in a forked process, which has PyTorch loaded; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(1)


def finished(child) -> int:
    """Wait for a process and return its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    run = train(folder, data)
    locks.unlock(folder)
    return (
        digest(run),
        [record | {"seconds": 0} for record in run.history],
        time.monotonic() - started,
    )


# a process that has never trained, so that its children may: PyTorch's threads survive no fork
FORKS = """
import os, sys, torch
from pathlib import Path
torch.set_num_threads(1)  # as in the tests' own process: with others bits may be others
sys.path.insert(0, sys.argv[1])
import test_training_faults as faults
data = faults.digits()
for line in sys.stdin:
    child = faults.in_a_process(lambda: faults.train(Path(line.strip()), data))
    print(child, flush=True)
    print(faults.finished(child), flush=True)
"""


@pytest.mark.parametrize("seed", [os.environ.get("LABKIT_SEED", "0")])
def test_killed_at_random_moments_it_ends_with_the_same_weights(data, undisturbed, tmp_path, seed):
    expected, history, seconds = undisturbed
    moments, kills, tries = random.Random(seed), 0, 0
    command = [sys.executable, "-c", FORKS, os.path.dirname(__file__)]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        while kills < KILLS:
            folder = tmp_path / f"{tries}"
            folder.mkdir()
            tries += 1
            for _ in range(3):  # the same command, given again and again
                print(folder, file=parent.stdin, flush=True)
                child = int(parent.stdout.readline())
                time.sleep(moments.uniform(0, 1.2 * seconds))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                lines = iter(parent.stdout.readline, "")
                status = int(
                    next(line for line in lines if line.strip().lstrip("-").isdigit())
                )  # the rest is the training's
                assert status in (0, -signal.SIGKILL)
                kills += status != 0
                if status == 0:
                    break
            run = train(folder, data)
            locks.unlock(folder)
            assert digest(run) == expected
            assert [record | {"seconds": 0} for record in run.history] == history
            assert not list(folder.glob(".labkit-*")), (
                "what a kill left half-written was not removed"
            )
            assert len(list(folder.glob("*.pt"))) == 2
        parent.stdin.close()
    print(f"{kills} kills in {tries} trainings, seed {seed}")


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "one bit flipped": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("how_many", [1, 2])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_taken(
    data, undisturbed, tmp_path, capsys, damage, how_many
):
    train(tmp_path, data)
    newest = list(Checkpoints(tmp_path, "LSTM")._paths().values())[-how_many:]
    for path in newest:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert digest(train(tmp_path, data)) == undisturbed[0]
    said = capsys.readouterr().out
    assert all(f"{path} is damaged" in said for path in newest)
    assert ("going on after epoch 5" in said) == (how_many == 1)  # both damaged: from the beginning
    locks.unlock(tmp_path)


def test_when_all_checkpoints_are_damaged_the_new_ones_count(
    data, undisturbed, tmp_path, capsys, interrupt_in
):
    """Damaged ones of later epochs stay in nobody's way: new ones count."""
    train(tmp_path, data)
    for path in Checkpoints(tmp_path, "LSTM")._paths().values():
        path.write_bytes(b"damaged")
    interrupt_in(epoch=2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, data)
    assert digest(train(tmp_path, data)) == undisturbed[0]
    assert "going on after epoch 1 of 6" in capsys.readouterr().out
    locks.unlock(tmp_path)


def test_a_finished_training_is_not_repeated(data, undisturbed, tmp_path, monkeypatch):
    train(tmp_path, data)
    monkeypatch.setattr(training, "train_epoch", None)
    assert digest(train(tmp_path, data)) == undisturbed[0]
    locks.unlock(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", 2e-3), ("seed", 7), ("num_epochs", 8), ("peak", 0.0)]
)
def test_a_checkpoint_of_another_training_is_not_gone_on_from(data, tmp_path, capsys, name, value):
    """Reference: the same training in an empty folder."""
    (tmp_path / "empty").mkdir()
    changed = {"num_epochs": 2, name: value}
    expected = digest(train(tmp_path / "empty", data, **changed))
    train(tmp_path, data, num_epochs=1)
    capsys.readouterr()
    assert digest(train(tmp_path, data, **changed)) == expected
    names = sorted({"num_epochs", name}) if changed["num_epochs"] != 1 else [name]
    said = capsys.readouterr().out
    assert all(each in said for each in names) and "trained anew" in said
    assert "going on" not in said
    locks.unlock(tmp_path)


def test_a_checkpoint_of_another_processor_or_number_of_threads_is_not_gone_on_from(
    data, undisturbed, tmp_path, capsys, monkeypatch, interrupt_in
):
    interrupt_in(epoch=3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, data)
    here = environment.place("cpu")
    monkeypatch.setattr(environment, "place", lambda device: here | {"device_name": "another"})
    assert digest(train(tmp_path, data)) == undisturbed[0]
    said = capsys.readouterr().out
    assert "LSTM: device_name changed since it was trained here: trained anew" in said
    assert "going on" not in said
    locks.unlock(tmp_path)


def test_a_checkpoint_of_other_code_or_data_is_not_gone_on_from(
    data, undisturbed, tmp_path, capsys, monkeypatch
):
    train(tmp_path, data, num_epochs=6)
    monkeypatch.setattr(environment, "SOURCE_SHA256", "edited")
    monkeypatch.setattr(training, "train_epoch", counted(training.train_epoch))
    assert digest(train(tmp_path, data)) == undisturbed[0] and training.train_epoch.calls == 6
    assert "labkit's source changed since it was trained here" in capsys.readouterr().out
    blank = mnist.Split(torch.zeros_like(data.train.x), data.train.y, shift=1)
    other = mnist.Digits(blank, data.validation, data.test, "made up", "0" * 64)
    assert digest(train(tmp_path, other)) != undisturbed[0]
    assert "LSTM: training data changed since" in capsys.readouterr().out
    locks.unlock(tmp_path)


def counted(work):
    def call(*given):
        call.calls += 1
        return work(*given)

    call.calls = 0
    return call


def test_a_checkpoint_cannot_run_code(data, undisturbed, tmp_path, capsys):
    """Even with the right digest in front, a pickle that would create a file is refused."""
    import hashlib

    canary = tmp_path / "canary"

    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {canary}",)

    for content in (pickle.dumps(Malicious()), saved_by_torch(Malicious())):
        (tmp_path / "LSTM.epoch-6.pt").write_bytes(hashlib.sha256(content).digest() + content)
        assert digest(train(tmp_path, data)) == undisturbed[0]
        assert "is damaged (" in capsys.readouterr().out and not canary.exists()
        for path in tmp_path.glob("*.pt"):
            path.unlink()
    locks.unlock(tmp_path)


def saved_by_torch(thing) -> bytes:
    content = io.BytesIO()
    torch.save({"identity": {}, "model": thing}, content)
    return content.getvalue()


def test_a_full_disk_leaves_the_checkpoint_before(data, undisturbed, tmp_path, capfd):
    """The limit of a file's size stands for the full disk: writing fails in the middle."""
    train(tmp_path, data, num_epochs=2)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")}
    locks.unlock(tmp_path)
    size = max(map(len, before.values()))

    def short_of_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        checkpoints = Checkpoints(tmp_path, "LSTM")
        locks.lock(tmp_path)
        checkpoints.save(3, {"model": torch.randn(size)})

    assert finished(in_a_process(short_of_room)) == 1
    assert "could not be written (File too large). Make room there" in capfd.readouterr().out
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")} == before
    assert not list(tmp_path.glob(".labkit-*"))


def test_a_loss_that_is_nan_stops_with_epoch_step_seed_and_rate(data, tmp_path, capsys):
    """Reference: an infinite digit gives the loss NaN in the step whose batch has it."""
    broken = mnist.Digits(
        mnist.Split(data.train.x.clone(), data.train.y),
        data.validation,
        data.test,
        "made up",
        "0" * 64,
    )
    broken.train.x[77] = torch.inf
    order = broken.train.order(32, torch.Generator().manual_seed(digests.seed(42, "order", 1)))
    (step,) = (k for k, index in enumerate(order, 1) if 77 in index)
    run = train(tmp_path, broken)
    assert run.diverged == {
        "epoch": 1,
        "step": step,
        "seed": 42,
        "learning_rate": pytest.approx(1e-3),
    }
    assert run.history == [] and run.best_epoch == 0
    said = f"LSTM diverged: its loss became NaN or infinite in epoch 1, step {step} (seed 42,"
    assert said in capsys.readouterr().out
    assert all(weight.isfinite().all() for weight in run.model.state_dict().values())
    locks.unlock(tmp_path)


def test_weights_that_the_last_step_spoils_are_seen_in_the_validation_loss(
    data, tmp_path, monkeypatch
):
    """All weights are NaN after the second epoch's last step; the first epoch's are kept."""
    whole = training.train_epoch

    def spoil(model, train, order, optimizer, *rest):
        trained = whole(model, train, order, optimizer, *rest)
        if spoil.epochs == 1:
            [weight.data.fill_(torch.nan) for weight in model.parameters()]
        spoil.epochs += 1
        return trained

    spoil.epochs = 0
    monkeypatch.setattr(training, "train_epoch", spoil)
    run = train(tmp_path, data)
    locks.unlock(tmp_path)
    assert (run.diverged["epoch"], run.diverged["step"], run.best_epoch, len(run.history)) == (
        2,
        16,
        1,
        1,
    )
    assert all(weight.isfinite().all() for weight in run.model.state_dict().values())


def test_an_interrupt_says_where_and_the_same_call_goes_on(
    data, undisturbed, tmp_path, capsys, interrupt_in
):
    """Kernel → Interrupt in the third epoch."""
    interrupt_in(epoch=3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, data)
    said = "LSTM: stopped after 32 of 96 steps. Run it again: where checkpoints are kept, it goes"
    assert said in capsys.readouterr().out
    assert digest(train(tmp_path, data)) == undisturbed[0]
    locks.unlock(tmp_path)


def test_the_order_of_trainings_changes_nothing(data):
    """Each is given again in the other order, and after numbers were drawn in between."""

    def digest_of(seed):
        return digest(
            training.fit(net, data, TrainingConfig(**HOW | {"num_epochs": 2, "seed": seed}))
        )

    net = SequenceClassifier("LSTM", 32, 8, 2, 10, dropout=0.3)
    first = [digest_of(1), digest_of(2)]
    torch.randn(7)
    assert [digest_of(2), digest_of(1)] == first[::-1] and first[0] != first[1]


def test_too_little_memory_on_a_gpu_names_the_batch_size(data, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training, "train_epoch", full)
    with pytest.raises(
        MemoryError, match="LSTM: batches of 32 do not fit on cpu: choose a smaller batch_size"
    ):
        train(tmp_path, data)
    locks.unlock(tmp_path)


# --- one process a folder ---------------------------------------------------------------


def another_process(folder, then="", wait=0.5):
    """Start a process that locks the folder, waiting so long for it, and then does as told."""
    lines = ("import sys, time, pathlib", "from labkit.machine import locks")
    lines += (f"locks.lock(pathlib.Path({str(folder)!r}), wait={wait})", then)
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_process_waits_and_then_names_the_owner(tmp_path):
    locks.lock(tmp_path)
    started = time.monotonic()
    second = another_process(tmp_path)
    out, errors = second.communicate()
    assert second.returncode == 1 and time.monotonic() - started > 0.5
    assert f"is in use by process {os.getpid()} on" in out and "choose another run_dir" in errors
    locks.unlock(tmp_path)
    assert another_process(tmp_path).wait() == 0


def test_a_second_process_goes_on_when_the_first_ends(tmp_path):
    first = another_process(tmp_path, then="print('mine', flush=True); time.sleep(1)")
    assert first.stdout.readline() == "mine\n"
    locks.lock(tmp_path)  # waits for as long
    assert first.wait() == 0
    locks.unlock(tmp_path)


def test_a_killed_owner_does_not_keep_the_folder(tmp_path):
    owner = another_process(tmp_path, then="print('mine', flush=True); time.sleep(60)")
    assert owner.stdout.readline() == "mine\n"
    owner.kill()
    owner.wait()
    assert another_process(tmp_path, wait=0.1).wait() == 0


def test_a_process_that_goes_on_to_another_run_lets_go_of_the_one_before(tmp_path):
    """What a kernel does when a reader changes a parameter in the middle of a run."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        locks.lock(tmp_path / name)
    assert another_process(tmp_path / "first", wait=0.1).wait() == 0
    assert another_process(tmp_path / "second", wait=0.1).wait() == 1
    locks.unlock(tmp_path / "second")


def test_a_folder_that_was_deleted_under_its_owner_can_be_used_again(data, undisturbed, tmp_path):
    """Kernel → Interrupt, the folder deleted by hand, Run All."""
    import shutil

    (tmp_path / "run").mkdir()
    train(tmp_path / "run", data, num_epochs=1)
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").mkdir()
    assert digest(train(tmp_path / "run", data)) == undisturbed[0]
    locks.unlock(tmp_path / "run")


def test_only_what_dead_processes_left_half_written_is_removed(tmp_path):
    gone = another_process(tmp_path)
    gone.wait()
    host, mine = socket.gethostname(), files.partial_of(tmp_path / "x.json")
    others = [
        tmp_path / name for name in (".2024-notes.txt", f".labkit-elsewhere-{gone.pid}-x.json")
    ]
    for path in (*others, mine, tmp_path / f".labkit-{host}-{gone.pid}-x.json"):
        path.touch()
    locks.lock(tmp_path)
    locks.unlock(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        mine.name,
        *(path.name for path in others),
    }


def test_a_process_that_lost_its_folder_writes_no_more(tmp_path):
    locks.lock(tmp_path)
    (tmp_path / ".lock").unlink()  # by a hand, or a network file system that forgot it
    other = another_process(tmp_path, then="print('mine', flush=True); time.sleep(60)")
    assert other.stdout.readline() == "mine\n"
    with pytest.raises(
        ValueError, match=f"no longer locked by this process, but by process {other.pid} on"
    ):
        Checkpoints(tmp_path, "LSTM").save(1, {})
    assert not list(tmp_path.glob("*.pt"))
    locks.unlock(tmp_path)
    assert (tmp_path / ".lock").exists(), "the other one's"
    other.kill()
    other.wait()


def test_a_model_that_diverged_is_marked_in_the_tables():
    """A model that diverged in its first epoch has no history, and the tables say so."""
    from labkit import tables

    test = {
        "accuracy": 0.1,
        "accuracy_interval": [0.0, 0.2],
        "precision": 0.1,
        "recall": 0.1,
        "f1": 0.1,
    }
    model = {
        "history": [],
        "best_epoch": 0,
        "test": test,
        "train_seconds": 0.0,
        "num_parameters": 1,
    }
    model["diverged"] = {"epoch": 1, "step": 3, "seed": 42, "learning_rate": 1e-3}
    assert tables.results({"RNN": model}).loc["RNN", "best epoch"] == "diverged in 1"
    assert tables.validation({"RNN": []}).loc["RNN", "best epoch"] == "–"


def test_another_process_can_look_at_the_epochs_that_have_ended(data, tmp_path, interrupt_in):
    looked_at = Checkpoints(tmp_path / "run", "LSTM")
    assert looked_at.history() == [], "the folder is not there yet"
    (tmp_path / "run").mkdir()
    interrupt_in(epoch=3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", data)
    assert [epoch["epoch"] for epoch in looked_at.history()] == [1, 2]
    assert [epoch["epoch"] for epoch in looked_at.history(1)] == [2] and looked_at.history(2) == []
    newest = max((tmp_path / "run").glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert looked_at.history() == [], (
        "one that is just not readable says nothing, and nothing is printed or raised"
    )
