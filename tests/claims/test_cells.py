"""The study: a cell leaves one whole record, is never run twice, goes on where it was killed, and shows when it is stale."""

import base64
import copy
import json

import numpy as np
import pytest
import torch

from labkit.claims import arms, cells, ledger
from labkit.data import mnist
from labkit.machine import environment, processes

ARM = "digits LSTM"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two seeds of three epochs on made-up digits."""
    draw = torch.Generator().manual_seed(0)
    part = mnist.Split(
        torch.randn(96, 32, 32, generator=draw), torch.randint(10, (96,), generator=draw)
    )
    monkeypatch.setattr(
        arms, "load", lambda arm, budget: mnist.Digits(part, part, part, "made up", "0" * 64)
    )
    changed = copy.deepcopy(ledger.study())
    changed["budgets"]["reduced"] |= {
        "seeds": 2,
        "mnist": {"num_examples": 96, "num_test": 96, "num_epochs": 3},
    }
    for arm in changed["arms"].values():
        arm |= {"hidden_size": 8} if arm["data"] == "mnist" else {}
    monkeypatch.setattr(verdicts, "study", lambda: changed)
    monkeypatch.setattr(verdicts, "RECORDS", tmp_path / "study")
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_every_cell_of_a_claim_is_run_once_and_leaves_a_record(small, capsys):
    assert cells.missing(["M2"], "reduced") == [
        (arm, seed) for seed in (0, 1) for arm in ("digits RNN", "digits LSTM")
    ]
    assert cells.run(["M2"], "reduced") == 0
    assert capsys.readouterr().out.count("test accuracy") == 4
    found = ledger.records("reduced")
    assert [(each["arm"], each["seed"]) for each in found] == [
        (arm, seed) for seed in (0, 1) for arm in ("digits RNN", ARM)
    ]
    for each in found:
        right = np.unpackbits(np.frombuffer(base64.b64decode(each["correct"]), np.uint8))[
            : each["test"]["n"]
        ]
        assert right.mean() == pytest.approx(each["test"]["accuracy"]), "a bit a test example"
        assert len(each["history"]) == 3 and each["claims_sha256"] == ledger.study()["sha256"]
        assert "slope of the log gradient after training" in each["measures"]
    assert cells.run(["M2"], "reduced") == 0 and capsys.readouterr().out == "", (
        "nothing is run again"
    )
    assert len(ledger.records("reduced")) == 4 and not list((small / "runs").rglob("*.pt"))
    entry = next(each for each in ledger.ledger() if each["id"] == "M2")
    assert entry["seeds"] == [0, 1] and entry["devices"] and entry["torch"]


def test_a_cell_that_was_killed_goes_on_and_ends_with_the_same_weights(small, interrupt_in, capsys):
    whole = cells.run_cell(ARM, 1, "reduced")
    interrupt_in(epoch=3)
    with pytest.raises(KeyboardInterrupt):
        cells.run(["M8"], "reduced")  # begins with seed 0 of the RNN
    for folder in list(locks._held):
        locks.unlock(folder)
    assert ledger.records("reduced") == []
    cells.run(["M8"], "reduced")
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    again = next(
        each for each in ledger.records("reduced") if (each["arm"], each["seed"]) == (ARM, 1)
    )
    assert (
        again["weights_sha256"] == whole["weights_sha256"] and again["correct"] == whole["correct"]
    )


def test_a_cell_that_another_process_has_is_left_to_it(small):
    import subprocess
    import sys

    folder = small / "runs" / "study" / "reduced" / "digits-LSTM-0"
    folder.mkdir(parents=True)
    lines = (
        "import pathlib, sys",
        "from labkit import files",
        f"locks.lock(pathlib.Path({str(folder)!r}))",
    )
    code = "\n".join((*lines, "print(1, flush=True)", "sys.stdin.read()"))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        assert cells.run(["M2"], "reduced") == 1
        other.stdin.close()
    assert cells.missing(["M2"], "reduced") == [(ARM, 0)] and cells.run(["M2"], "reduced") == 0


def test_workers_that_share_only_a_storage_end_with_all_records(small, monkeypatch):
    """Each has folders of its own, as on two machines; the second finds everything done and gathers the records."""
    pytest.importorskip("optuna")
    url = str(small / "journal.log")
    assert cells.run(["M2"], "reduced", url) == 0
    first = ledger.records("reduced")
    monkeypatch.setattr(verdicts, "RECORDS", small / "elsewhere")
    monkeypatch.setenv("LABKIT_RUNS", str(small / "other runs"))
    monkeypatch.setattr(study, "run_cell", None)  # nothing is run again
    assert cells.run(["M2"], "reduced", url) == 0
    assert (
        sorted(map(str, ledger.records("reduced"))) == sorted(map(str, first)) and len(first) == 4
    )


def test_workers_with_other_claims_share_a_storage_and_no_record_is_kept_twice(small):
    pytest.importorskip("optuna")
    url = str(small / "journal.log")
    assert cells.run(["M8"], "reduced", url) == 0 and cells.run(["M3"], "reduced", url) == 0
    found = ledger.records("reduced")
    assert len(found) == 6
    for record in found:
        cells._keep(record)  # gathered by another worker at the same time
    assert len(ledger.records("reduced")) == 6


def test_two_workers_are_processes_that_share_the_processors_and_the_gpus(monkeypatch):
    begun = []

    class Popen:
        def __init__(self, command, env):
            begun.append((command[1:], env["OMP_NUM_THREADS"], env["CUDA_VISIBLE_DEVICES"]))

        def wait(self):
            return self.ends.pop()

    monkeypatch.setattr(environment.subprocess, "Popen", Popen)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    Popen.ends = [0, 0, 0]
    processes.run_workers(["claims", "run"], 3)
    assert begun == [(["-m", "labkit.cli", "claims", "run"], "2", gpu) for gpu in ("3", "5", "3")]
    Popen.ends = [0, 1]
    with pytest.raises(RuntimeError, match="1 of 2 workers failed"):
        processes.run_workers(["claims", "run"], 2)


@pytest.mark.parametrize(("stop", "told"), [(KeyboardInterrupt(), 0), (KeyboardInterrupt(15), 2)])
def test_workers_are_told_of_a_sigterm_and_have_heard_of_ctrl_c_themselves(monkeypatch, stop, told):
    terminated, ends = [], [stop]

    class Popen:
        def __init__(self, command, env): ...

        def wait(self):
            if ends:
                raise ends.pop()

        def terminate(self):
            terminated.append(self)

    monkeypatch.setattr(environment.subprocess, "Popen", Popen)
    with pytest.raises(KeyboardInterrupt):
        processes.run_workers(["claims", "run"], 2)
    assert len(terminated) == told


def test_without_the_official_data_it_says_so_and_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(downloads, "get", None)
    arms.load.cache_clear()
    with pytest.raises(
        ValueError, match="needs the official data, which are not there: `labkit data get`"
    ):
        arms.load(ARM, "reduced")


def test_a_record_whose_source_would_now_give_another_result_is_stale(small, monkeypatch):
    cells.run(["M2"], "reduced")
    assert cells.stale("reduced") == []
    path = ledger.RECORDS / "reduced.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["golden"] *= 1.001
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = cells.stale("reduced")
    assert found.startswith("digits LSTM, seed 0: golden loss ")


def test_the_pixels_of_permuted_and_blank_arms(monkeypatch):
    """The same pixels in one other order for all digits; blank rows are paper, after the digit."""
    x = torch.arange(2 * 32 * 32.0).view(2, 32, 32)
    how = ledger.study()["arms"]
    permuted = arms._pixels(x, how["digits LSTM, permuted"])
    assert permuted.shape == x.shape and torch.equal(
        permuted[0].flatten().sort().values, x[0].flatten()
    )
    assert torch.equal(permuted[1] - permuted[0], torch.full((32, 32), 1024.0)) and not torch.equal(
        permuted, x
    )
    blank = arms._pixels(x, how["digits LSTM, 32 blank rows"])
    assert blank.shape == (2, 64, 32) and torch.equal(blank[:, :32], x)
    assert blank[:, 32:].unique().tolist() == pytest.approx([-0.1307 / 0.3081])


@pytest.mark.parametrize(
    "arm", [name for name, how in ledger.study()["arms"].items() if how["data"] == "imdb"]
)
def test_models_of_the_text_arms_are_what_they_say(arm, tiny_reviews):
    how = ledger.study()["arms"][arm]
    net = arms.build(arm, tiny_reviews, 0)
    assert len(net.forward_layers) == how["n_layers"] and net.readout == how["readout"]
    assert net.head.in_features == how["hidden_dim"] and net.dropout.p == how["dropout"]
    assert net.between.p == (how["dropout"] if how["between"] else 0.0)
    again = arms.build(arm, tiny_reviews, 0)
    assert all(
        torch.equal(one, other)
        for one, other in zip(net.parameters(), again.parameters(), strict=True)
    )
