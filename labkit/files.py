"""Files that are never seen half written, and folders that one process at a time writes to."""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

WAIT = 30.0  # seconds for which a second process waits: a kernel whose papermill was killed lives on for some
_held: dict[Path, tuple[FileLock, dict]] = {}  # the folders this process has, with what it wrote about itself


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside `path`, then put it in place: a kill or a power cut leaves the old file or the new one.

    Raises OSError, of a full disk for example, with nothing left behind and the old file as it was.
    """
    partial = partial_of(path)
    try:
        write(partial)
        put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def partial_of(path: Path) -> Path:
    """Return where this process may write what `path` is to become."""
    return path.with_name(f".labkit-{socket.gethostname()}-{os.getpid()}-{path.name}")


def sweep(folder: Path) -> None:
    """Delete what processes of this machine that were killed left half written."""
    ours = re.compile(rf"\.labkit-{re.escape(socket.gethostname())}-(\d+)-")
    for left in folder.glob(".labkit-*"):
        number = ours.match(left.name)
        if number and not psutil.pid_exists(int(number[1])):
            left.unlink(missing_ok=True)


def read_json(path: Path, damaged_is_absent: bool = False) -> dict | None:
    """Return what a file holds, None if it is not there. Raises ValueError, naming it, if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError:
        if damaged_is_absent:
            return None
        raise ValueError(f"{path} is damaged. Choose another run_dir, or set fresh = True to run it anew.") from None


def put_in_place(partial: Path, path: Path) -> None:
    """Give a file that is complete, in the same folder or one below it, the name it is to have, in one step."""
    _to_disk(partial)  # first the content, then the name: the other way round a power cut leaves an empty file
    os.replace(partial, path)
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk now."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders, and needs none opened
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class InUseError(ValueError):
    """A folder that another process has."""


def claim(folder: Path, wait: float = WAIT) -> None:
    """Make `folder` this process's until it ends or lets go; sweep what a killed owner left half written.

    A process works on one run at a time: it lets go of the one before, which a notebook has left unfinished by going on
    to other parameters. Raises InUseError, naming the owner, if another process still has `folder` after `wait` seconds.
    """
    if folder in _held and _read_owner(folder) == _held[folder][1]:
        return
    for other in list(_held):  # the same folder too, if somebody deleted it under us
        let_go(other)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if wait:
            print(f"{folder} is in use by {_owner(folder)}. Waiting for up to {wait:.0f} seconds.")
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise InUseError(
                f"{folder} is in use by {_owner(folder)}: end that process or its kernel, or choose another run_dir."
            ) from None
    sweep(folder)
    me = {"process": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S.%f}"}
    (folder / ".owner").write_text(json.dumps(me), encoding="utf-8")
    _held[folder] = lock, me


def let_go(folder: Path) -> None:
    """Give a folder back; nothing happens if this process does not have it."""
    if folder in _held:
        lock, me = _held.pop(folder)
        if _read_owner(folder) == me:
            (folder / ".owner").unlink(missing_ok=True)
        lock.release()


def check_claim(folder: Path) -> None:
    """Raise ValueError if the folder is no longer this process's, so that two never write to it."""
    if folder not in _held or _read_owner(folder) != _held[folder][1]:
        raise ValueError(f"{folder} is no longer this process's, but {_owner(folder)}'s: nothing more is written to it.")


def _read_owner(folder: Path) -> dict:
    try:
        return json.loads((folder / ".owner").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _owner(folder: Path) -> str:
    found = _read_owner(folder)
    return f"process {found['process']} on {found['host']} since {found['since'][:19]}" if found else "nobody that left a name"
