"""Where a study of Optuna lies: a database, or a journal file, mended if its last line is torn."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

# seconds: a database hears of a trial so often, and gives it up after six times that
HEARTBEAT = 10
BEGINNING = b'{"op_code":'  # of every line of a journal


class MendingLock(JournalFileSymlinkLock):
    """Optuna's lock of a journal; whoever has it finds, and leaves, whole lines.

    A line that a full disk or a power cut has torn is removed: what is written behind it would
    spoil the journal for all.
    """

    def __init__(self, journal: Path):
        super().__init__(f"{journal}")
        self.journal = journal

    def acquire(self) -> bool:
        super().acquire()
        try:
            _remove_torn_line(self.journal)
        except BaseException:
            self.release()
            raise
        return True


def _remove_torn_line(journal: Path) -> None:
    """Remove a last line that is torn; raise ValueError for a file that is no journal."""
    with open(journal, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() in (b"", b"\n"):
            return
        file.seek(0)
        whole, _, torn = file.read().rpartition(b"\n")
    if not all(line.startswith(BEGINNING[: len(line)]) for line in [*whole.splitlines(), torn]):
        raise ValueError("its lines are none of a journal's")
    os.truncate(journal, size - len(torn))
    print(f"{journal}: the last line was torn and is removed; what it said is done again.")


def open_storage(url: str) -> BaseStorage:
    """Open a database by its URL, or a journal by its path; raise ValueError if it cannot be."""
    if "://" in url:
        return _open_database(url)
    path = Path(url).expanduser().resolve()
    try:
        path.touch()  # never its folder: a misspelt name would be a study of its own
        lock = MendingLock(path)
        lock.acquire()
        lock.release()
        return JournalStorage(JournalFileBackend(f"{path}", lock))
    except OSError as error:
        raise ValueError(f"The storage {path} cannot be used ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no journal of Optuna, or damaged ({error}): give another --storage."
        ) from None


def _open_database(url: str) -> RDBStorage:
    if url.startswith("sqlite"):
        raise ValueError(
            "SQLite lets two workers take the same trial: give a journal or a PostgreSQL server."
        )
    # a connection only while it is needed: a hundred workers would hold more than a server allows
    how = {"engine_kwargs": {"poolclass": sqlalchemy.pool.NullPool}}
    how |= {"heartbeat_interval": HEARTBEAT, "grace_period": 6 * HEARTBEAT}
    for _ in range(10):
        try:
            return RDBStorage(url, **how)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as error:
            why = error  # in an empty database another worker is just making the tables
            time.sleep(1)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
            why = error
            if not re.search("too many clients|connection slots", str(error)):
                break
            time.sleep(random.uniform(1, 5))  # all workers of an array begin at once
    raise ValueError(_without_password(url, str(getattr(why, "orig", why)).splitlines()[0]))


def _without_password(url: str, reason: str) -> str:
    """Say that a database cannot be used, without what may be a password anywhere in its URL."""
    secret = re.search("//(.*)@", url)
    for part in sorted(re.split("[:@]", secret[1]) if secret else [], key=len, reverse=True):
        reason = reason.replace(part, "…") if part else reason
    return f"The storage {re.sub('//.*@', '//…@', url)} cannot be used ({reason})."
