"""Locks, between real processes: who has a folder, and when it is free."""

import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from labkit.machine import locks


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    for held in list(locks._held):
        locks.unlock(held)


def another_process(folder, then="", wait=0.3):
    """Start a process that locks the folder, waiting so many seconds for it, then says `mine`."""
    lines = f"""
import pathlib, sys, time
from labkit.machine import locks
try:
    locks.lock(pathlib.Path({str(folder)!r}), wait={wait})
except locks.InUseError as error:
    sys.exit(f"InUseError: {{error}}")
print("mine", flush=True)
{then}
"""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", lines], text=True, **pipes)


def test_a_second_process_is_told_who_has_the_folder(folder):
    locks.lock(folder)
    second = another_process(folder)
    out, errors = second.communicate()
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    assert second.returncode == 1 and "mine" not in out
    assert f"{folder} is in use by {owner}. Waiting" in out
    assert errors.startswith(f"InUseError: {folder} is in use by {owner}: end that process")


def test_a_killed_owners_folder_is_free_at_once(folder):
    """Not after LEASE seconds, which are for owners on other machines."""
    owner = another_process(folder, then="time.sleep(60)")
    assert owner.stdout.readline() == "mine\n"
    with pytest.raises(locks.InUseError, match=f"process {owner.pid} on "):
        locks.lock(folder, wait=0)
    owner.kill()
    owner.communicate()
    started = time.monotonic()
    locks.lock(folder, wait=0)
    locks.check_lock(folder)
    assert time.monotonic() - started < 5


def test_a_folder_deleted_under_us_is_noticed(folder):
    run = folder / "run"
    run.mkdir()
    locks.lock(run)
    locks.check_lock(run)
    shutil.rmtree(run)
    with pytest.raises(ValueError, match=f"{run} is no longer locked by this process"):
        locks.check_lock(run)
    run.mkdir()
    with pytest.raises(ValueError, match="nothing is written"):
        locks.check_lock(run)
    locks.lock(run)
    locks.check_lock(run)
    assert another_process(run).wait() == 1, "locked anew, not just remembered"


def test_unlock_and_lock_again(folder):
    locks.lock(folder)
    locks.lock(folder)  # nothing happens
    locks.check_lock(folder)
    locks.unlock(folder)
    assert not (folder / ".lock").exists()
    with pytest.raises(ValueError, match="no longer locked by this process"):
        locks.check_lock(folder)
    locks.unlock(folder)  # nothing happens
    assert another_process(folder).wait() == 0
    locks.lock(folder, wait=0)
    locks.check_lock(folder)
    assert another_process(folder).wait() == 1


def test_a_file_system_without_locks_is_named_with_the_folder(folder, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.SoftFileLease, "acquire", refuse)
    with pytest.raises(OSError, match=f"No locks available: '{folder}'") as error:
        locks.lock(folder)
    assert error.value.errno == errno.ENOLCK and not locks._held


def test_an_owner_in_a_container_has_a_host_like_any_other():
    """filelock marks a host's name in a container, which tells a reader nothing."""
    lease = SimpleNamespace(owner=SimpleNamespace(pid=7, hostname="room-1?pidns-f0000001"))
    assert locks._owner(lease) == "process 7 on room-1"
    assert "nobody" in locks._owner(SimpleNamespace(owner=None))
