"""The cells: each is run once, leaves one whole record, and goes on where it was killed."""

import base64
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from labkit import training
from labkit.claims import arms, cells, command, ledger, plan
from labkit.data import download
from labkit.machine import commands, locks
from labkit.runs import checkpoints

ARM = "digits LSTM"
fork = multiprocessing.get_context("fork")  # a process begins with what this one has made up


@pytest.fixture
def begun(small, monkeypatch):
    """Have no cell be trained: each notes its name in a file and leaves a made-up record."""

    def run_cell(arm, seed, budget, folder):
        with open(small / "begun", "a") as file:
            file.write(f"{arm}, seed {seed}\n")
        time.sleep(0.2)
        test = {"accuracy": 0.5, "n": 0}
        made = {"arm": arm, "seed": seed, "budget": budget, "test": test, "train_seconds": 0.0}
        where = {"device_name": "a CPU", "versions": {"torch": "9"}}
        made |= {"history": [], "diverged": {"epoch": 1}, "environment": where}
        made |= {"settings": plan.settings(arm, budget), "correct": ""}
        return made | {"nonce": time.time_ns()}

    monkeypatch.setattr(cells, "run_cell", run_cell)
    return lambda: Counter((small / "begun").read_text().splitlines())


def whole_folder(small):
    """Return a folder of its own for a cell that is trained without a stop."""
    folder = small / "digits-RNN-0"
    folder.mkdir()
    locks.lock(folder)
    return folder


def found():
    return [(record["arm"], record["seed"]) for record in plan.records("reduced")]


def test_every_cell_of_a_claim_is_run_once_and_leaves_a_record(small, capsys):
    pairs = [(arm, seed) for seed in (0, 1) for arm in ("digits RNN", ARM)]
    assert cells.missing(["m2"], "reduced") == pairs
    cells.run(["M2"], "reduced")
    assert capsys.readouterr().out.count("test accuracy") == 4
    assert sorted(found()) == sorted(pairs) and cells.missing(["M2"], "reduced") == []
    for record in plan.records("reduced"):
        bits = np.unpackbits(np.frombuffer(base64.b64decode(record["correct"]), np.uint8))
        right = bits[: record["test"]["n"]]
        assert right.mean() == pytest.approx(record["test"]["accuracy"]), "a bit a test example"
        assert len(record["history"]) == 3
        assert record["claims_sha256"] == plan.plan()["sha256"]
        assert set(record["slopes"]) == {"before", "after"} and record["cells_at_once"] == 1
        assert record["settings"] == plan.settings(record["arm"], "reduced")
        for epoch in record["history"]:
            assert (
                epoch["clean_train_loss"] > 0 and epoch["clean_train_loss"] != epoch["train_loss"]
            )
    assert not list((small / "runs").rglob("*.pt"))
    shutil.rmtree(small / "runs")
    cells.run(["M2"], "reduced")
    assert capsys.readouterr().out == "" and not (small / "runs").exists(), "nothing is run again"
    assert len(found()) == 4
    entry = next(each for each in ledger.ledger() if each["id"] == "M2")
    assert entry["seeds"] == [] and entry["verdict"] == "not run yet", "two seeds are no look"


def test_the_loss_in_evaluation_mode_is_that_of_the_weights_after_each_epoch(small):
    """Reference: the model of the last checkpoint, without dropout, over all 96 digits."""
    record = cells.run_cell(ARM, 0, "reduced", whole_folder(small))
    data = arms.load(ARM, "reduced")
    model = arms.build(ARM, data, 0, "reduced")
    last = small / "digits-RNN-0" / "digits-RNN-0.epoch-3.pt"
    model.load_state_dict(checkpoints.read_state(last)["model"])
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model.eval()(data.train.x), data.train.y)
    assert record["history"][-1]["clean_train_loss"] == pytest.approx(float(loss), rel=1e-5)


def test_a_cell_is_trained_as_its_arm_says(small, monkeypatch):
    """Reference: `arms.config`, which test_arms compares with the plan."""
    seen, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *given: seen.append(given[2]) or fit(*given))
    cells.run_and_keep(ARM, 1, "reduced")
    assert seen == [arms.config(ARM, 1, "reduced")]


def test_out_of_memory_ends_a_command_in_one_sentence(small, monkeypatch):
    """PyTorch's error is a RuntimeError of several lines; one of Python's own has no words."""
    for error, said in (
        (RuntimeError("CUDA out of memory.\nTried"), "CUDA out of memory."),
        (MemoryError(), "MemoryError"),
    ):
        monkeypatch.setattr(cells, "run", Mock(side_effect=error))
        done = CliRunner().invoke(command.claims, ["run", "M2", "--budget", "reduced"])
        assert done.exit_code == 1 and done.output.splitlines()[-1] == said


def test_only_the_first_seeds_that_are_asked_for(begun):
    cells.run(["M2"], "reduced", 1)
    assert sorted(found()) == [(ARM, 0), ("digits RNN", 0)]
    assert cells.missing([ARM], "reduced") == [(ARM, 1)], "an arm by its name"
    with pytest.raises(ValueError, match="There is no claim digits XNN"):
        cells.missing(["digits XNN"], "reduced")


def test_a_cell_that_was_interrupted_goes_on_with_the_same_weights(small, interrupt_in, capsys):
    whole = cells.run_cell("digits RNN", 0, "reduced", whole_folder(small))
    interrupt_in(epoch=3)
    with pytest.raises(KeyboardInterrupt):
        cells.run(["M8"], "reduced")  # begins with seed 0 of the RNN
    assert found() == []
    cells.run(["M8"], "reduced")
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    again = plan.read(plan.record_path("digits RNN", 0, "reduced"))
    for key in ("weights_sha256", "correct"):
        assert again[key] == whole[key]


def test_a_cell_whose_worker_was_killed_goes_on_with_the_same_weights(small, monkeypatch, capsys):
    whole = cells.run_cell("digits RNN", 0, "reduced", whole_folder(small))
    train_epoch, calls = cells.training.train_epoch, []

    def kill_in_the_third(*given):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_epoch(*given)

    with monkeypatch.context() as during:
        during.setattr(cells.training, "train_epoch", kill_in_the_third)
        other = fork.Process(target=cells.run, args=(["M8"], "reduced"))
        other.start()
        other.join(60)
    assert other.exitcode == -signal.SIGKILL and found() == []
    cells.run(["M8"], "reduced")
    assert "digits-RNN-0: going on after epoch 2 of 3" in capsys.readouterr().out
    again = plan.read(plan.record_path("digits RNN", 0, "reduced"))
    assert again["weights_sha256"] == whole["weights_sha256"]


def test_a_cell_that_another_process_has_is_left_to_it(begun):
    """Three at once, two of which were asked for the same: what all of them ended with is there."""
    asked = (["M2"], ["M2"], ["M3"])
    others = [fork.Process(target=cells.run, args=(ids, "reduced")) for ids in asked]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert len(found()) == 6 and set(begun().values()) == {1} and len(begun()) == 6


def test_a_cell_that_got_its_record_meanwhile_is_not_run(begun, small):
    """Another process was quicker."""
    assert cells.run_and_keep(ARM, 0, "reduced")
    records = plan.records("reduced")
    assert not cells.run_and_keep(ARM, 0, "reduced")
    plan.keep(records[0] | {"nonce": 0})  # without the lock, on another machine
    assert begun() == {f"{ARM}, seed 0": 1} and plan.records("reduced") == records
    assert not any((small / "runs" / "claims" / "reduced").iterdir()), "its folder is removed"


def test_a_record_that_was_deleted_is_made_anew(begun):
    cells.run(["M2"], "reduced")
    path = plan.record_path(ARM, 1, "reduced")
    for times in (2, 3):
        old = plan.read(path)
        path.unlink()
        cells.run(["M2"], "reduced")
        assert begun()[f"{ARM}, seed 1"] == times and sum(begun().values()) == 3 + times
        assert plan.read(path)["nonce"] > old["nonce"]


def test_what_a_killed_worker_left_half_written_is_removed_and_no_record(begun):
    folder = plan.RECORDS / "reduced"
    folder.mkdir(parents=True)
    over = fork.Process(target=int)
    over.start()
    over.join()
    left = folder / f".labkit-{os.uname().nodename}-{over.pid}-digits-LSTM-0.json"
    left.write_text('{"arm":')
    assert plan.records("reduced") == []
    cells.run(["M2"], "reduced")
    assert not left.exists() and len(found()) == 4


def test_the_command_says_what_it_begins_and_ends_once_however_many_workers(begun, monkeypatch):
    given = []
    monkeypatch.setattr(commands, "run_workers", given.append)
    monkeypatch.delenv("LABKIT_WORKER", raising=False)
    asked = ["run", "M2", "--budget", "reduced"]
    out = CliRunner().invoke(command.claims, [*asked, "--workers", "4"]).output.splitlines()
    assert out[0] == "budget reduced: 4 cells to run, seed by seed:"
    assert out[1].startswith("  digits RNN, seeds 0, 1: about ") and "digits LSTM" in out[2]
    assert out[3].startswith("At best ") and out[3].endswith("hours in all, with 4 at a time.")
    assert out[-1] == f"done: every cell has its record in {plan.RECORDS / 'reduced'}"
    assert given == [4]
    monkeypatch.setenv("LABKIT_WORKER", "2")
    done = CliRunner().invoke(command.claims, asked)
    assert done.exit_code == 0 and done.output == "", "a worker leaves it to who has started it"


@pytest.mark.parametrize("budget", ["reduced", "report"])
def test_without_the_official_data_it_says_so_and_fetches_nothing(tmp_path, monkeypatch, budget):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(plan, "RECORDS", tmp_path / "study")
    monkeypatch.setattr(download, "get", None)
    arms.load.cache_clear()
    message = "The claims need the official data: run `labkit data get`"
    with pytest.raises(ValueError, match=message):
        arms.load(ARM, budget)
    done = CliRunner().invoke(command.claims, ["run", "M2", "--budget", budget])
    assert done.exit_code == 1 and message in done.output
    assert not (tmp_path / "runs").exists(), "no try of a cell is counted as lost"
