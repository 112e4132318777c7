"""Folders that one process at a time writes to, also on network drives."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import SoftFileLease, Timeout

from labkit.machine import files

LEASE = 30.0  # seconds without a sign of life: an owner on another machine counts as dead
WAIT = 40.0  # seconds that a second process waits: a kernel outlives its papermill by some
_held: dict[Path, SoftFileLease] = {}


class InUseError(ValueError):
    """A folder that another process has locked."""


def lock(folder: Path, wait: float = WAIT) -> None:
    """Lock `folder` until this process ends or unlocks it; remove a killed owner's leftovers.

    A process works on one run at a time: locking one unlocks the one before, which a notebook has
    left unfinished by going on to other parameters. Raises InUseError, naming the owner, if another
    process still has `folder` after `wait` seconds.
    """
    if folder in _held and _held[folder].is_lock_held_by_us:
        return
    for other in list(_held):  # the same folder too, if somebody deleted it under us
        unlock(other)
    lease = _lease(folder)
    try:
        with suppress(Timeout):
            lease.acquire(timeout=0)
        if wait and not lease.is_locked:
            print(f"{folder} is in use by {_owner(lease)}. Waiting for up to {wait:.0f} seconds.")
            with suppress(Timeout):
                lease.acquire(timeout=wait)
    except OSError as error:  # that of a file system without locks names no path
        raise OSError(error.errno, error.strerror, str(folder)) from error
    if not lease.is_locked:
        raise InUseError(
            f"{folder} is in use by {_owner(lease)}: end that process or its kernel, "
            "or choose another run_dir."
        )
    files.remove_leftovers(folder)
    _held[folder] = lease


def unlock(folder: Path) -> None:
    """Unlock a folder; nothing happens if this process does not have it."""
    if folder in _held:
        _held.pop(folder).release()


def check_lock(folder: Path) -> None:
    """Raise ValueError if the folder is no longer this process's, so that two never write to it."""
    if folder not in _held or not _held[folder].is_lock_held_by_us:
        raise ValueError(
            f"{folder} is no longer locked by this process, but by {_owner(_lease(folder))}: "
            "nothing is written. Run again, or choose another run_dir."
        )


def _lease(folder: Path) -> SoftFileLease:
    return SoftFileLease(folder / ".lock", lease_duration=LEASE, thread_local=False)


def _owner(lease: SoftFileLease) -> str:
    owner = lease.owner
    host = owner and owner.hostname.partition("?pidns")[0]  # filelock's mark of a container
    return f"process {owner.pid} on {host}" if owner else "nobody that left a name"
