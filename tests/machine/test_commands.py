"""Several workers of one command: processes that share a machine and are told when to stop."""

import sys

import click
import pytest
import torch
from click.testing import CliRunner

from labkit import cli
from labkit.machine import commands


def test_two_workers_are_processes_that_share_the_processors_and_the_gpus(monkeypatch):
    begun = []

    class Popen:
        def __init__(self, command, env):
            begun.append((command[1:], env["OMP_NUM_THREADS"], env["CUDA_VISIBLE_DEVICES"]))

        def wait(self):
            return self.ends.pop()

    monkeypatch.setattr(commands.subprocess, "Popen", Popen)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(sys, "argv", ["labkit", "claims", "run"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    Popen.ends = [0, 0, 0]
    commands.run_workers(3)
    same = ["-m", "labkit.cli", "claims", "run", "--workers", "1"]
    assert begun == [(same, "2", gpu) for gpu in ("3", "5", "3")]
    Popen.ends = [0, 1]
    with pytest.raises(ChildProcessError, match="1 of 2 workers failed"):
        commands.run_workers(2)


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

    monkeypatch.setattr(commands.subprocess, "Popen", Popen)
    with pytest.raises(KeyboardInterrupt):
        commands.run_workers(2)
    assert len(terminated) == told


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (KeyboardInterrupt(15), 143)]
)
@pytest.mark.parametrize("worker", [False, True])
def test_a_stopped_command_says_so_once_and_its_workers_are_silent(
    monkeypatch, capsys, stop, code, worker
):
    monkeypatch.setattr(commands.signal, "signal", lambda *_: None)
    if worker:
        monkeypatch.setenv("LABKIT_WORKER", "1")
    with pytest.raises(SystemExit) as ended, commands.clean_end("it goes on"):
        raise stop
    assert ended.value.code == code
    assert capsys.readouterr().err == ("" if worker else "stopped; it goes on\n")


def every_command(group, path=()):
    """Return the words of every command below a group, its own groups among them."""
    found = [path]
    for name, one in group.commands.items():
        below = isinstance(one, click.Group)
        found += every_command(one, (*path, name)) if below else [(*path, name)]
    return found


@pytest.mark.parametrize("path", every_command(cli.main), ids=" ".join)
def test_every_command_says_what_it_is_for(path):
    done = CliRunner().invoke(cli.main, [*path, "--help"])
    assert done.exit_code == 0 and done.output.startswith("Usage: ") and not done.stderr
