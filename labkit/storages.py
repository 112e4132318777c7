"""Where a study of Optuna lies: a database, or a journal file on a shared folder, mended if its last line is torn."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

HEARTBEAT = 10  # seconds: a database hears of a trial so often, and takes it for lost after six times as many


def open_storage(url: str) -> BaseStorage:
    """Open a database by its URL, which hears from living workers, or a journal file by its path.

    Raises ValueError if it cannot be reached or read.
    """
    if "://" in url:
        return _open_database(url)
    path = Path(url).expanduser().resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    repair(path)
    try:
        return JournalStorage(JournalFileBackend(f"{path}"))
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is no journal of Optuna, or damaged ({error}): give another --storage.") from None


def _open_database(url: str) -> RDBStorage:
    for _ in range(10):
        try:
            return RDBStorage(url, heartbeat_interval=HEARTBEAT, grace_period=6 * HEARTBEAT)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as error:
            why = error  # in an empty database another worker is just making the tables
            time.sleep(1)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            why = error
            break
    reason = str(getattr(why, "orig", why)).splitlines()[0]
    raise ValueError(f"The storage {re.sub(':[^:/@]*@', ':…@', url)} cannot be used ({reason}).")


def repair(journal: Path) -> None:
    """Cut off a last line that a full disk or a power cut has torn: a line written after it would spoil the journal."""
    if _is_whole(journal):
        return
    lock = JournalFileSymlinkLock(f"{journal}")  # Optuna's own: nobody is just writing while we have it
    lock.acquire()
    try:
        if not _is_whole(journal):
            os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
            print(f"{journal}: the last line was torn and is cut off; what it said is done again.")
    finally:
        lock.release()


def _is_whole(journal: Path) -> bool:
    if not journal.exists() or not journal.stat().st_size:
        return True
    with open(journal, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
