"""Where a study of Optuna lies: a database, or a journal file."""

from __future__ import annotations

import random
import re
import time
import warnings
from pathlib import Path
from urllib.parse import unquote_plus

import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

# seconds: a database hears of a trial so often, and gives it up after six times that
HEARTBEAT = 10


def open_storage(url: str) -> BaseStorage:
    """Open a database by its URL, or a journal by its path; raise ValueError if it cannot be."""
    if "://" in url:
        return _open_database(re.sub("(?i)^postgres(ql)?://", "postgresql+psycopg://", url))
    path, lock = Path(url), JournalFileSymlinkLock(url)
    try:
        path.touch()  # never its folder: a misspelt name would be a study of its own
        lock.acquire()
        content = path.read_bytes()
        lock.release()
        if content and not content.endswith(b"\n"):  # Optuna would write on behind it
            raise ValueError("its last line is torn")
        return JournalStorage(JournalFileBackend(url, lock))
    except OSError as error:
        shown = re.sub(":.*@", ":…@", url)  # a URL without its slashes, for example
        raise ValueError(f"The storage {shown} cannot be used ({error.strerror}).") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # of the heartbeat
                return RDBStorage(url, **how)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as error:
            why = error  # in an empty database another worker is just making the tables
            time.sleep(1)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
            why = error
            if not re.search("too many clients|connection slots", str(error)):
                break
            time.sleep(random.uniform(1, 5))  # all workers of an array begin at once
    raise ValueError(without_password(url, f"{getattr(why, 'orig', why)}"))


def without_password(url: str, reason: str) -> str:
    """Say why a storage fails, and of its URL only what cannot be a password, decoded or not."""
    scheme, _, rest = url.partition("://")
    place = re.fullmatch(r"(?:[^?]*@)?([\w.-]+(:\d+)?(/[\w.-]*)?)", rest)
    place = place[1] if place else ""
    secret = rest.removesuffix(place)
    for word in {*re.findall(r"\w+", f"{secret} {unquote_plus(secret)}")}:
        reason = re.sub(rf"\b{word}\b", "…", reason, flags=re.IGNORECASE)
    shown = f"{scheme}://{'…@' if secret else ''}{place}" if scheme else url
    return f"The storage {shown} cannot be used ({reason.partition(chr(10))[0]})."
