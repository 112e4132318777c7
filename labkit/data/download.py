"""Fetch the official data: only when asked, with retries, checked before they are put in place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from labkit.data import official
from labkit.data.official import DataError
from labkit.machine import files, paths

IMDB_REPOSITORY, IMDB_REVISION = "stanfordnlp/imdb", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
TRIES, TIMEOUT = 3, 30  # times, seconds without an answer
OTHERS = 1800  # seconds for which another process that is downloading the same is waited for
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def get(data_set: str) -> list[Path]:
    """Download the files of `mnist` or `imdb` unless they are there; return where they lie.

    Raises DataError, leaving nothing behind, if they cannot be fetched or are wrong.
    """
    found = list(official.official_files(data_set).values())
    folder = found[0].parent
    if official.is_there(data_set) and not list(folder.glob(".partial-*")):
        return found
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=OTHERS)
    except Timeout:
        raise DataError(
            f"Another process has been downloading into {folder} for half an hour: look at it."
        ) from None
    except OSError as error:
        if official.is_there(data_set):  # a shared folder, in which a killed process left something
            return found
        raise DataError(
            f"{folder} cannot be written to ({error.strerror}): set LABKIT_DATA to another folder."
        ) from error
    try:
        for left in folder.glob(".partial-*"):  # a killed process's: a living one has the lock
            shutil.rmtree(left, ignore_errors=True)
        if not official.is_there(data_set):  # another process may have fetched them meanwhile
            _fetch(data_set, folder)
    finally:
        lock.release()
    return list(official.official_files(data_set).values())


def check(data_set: str) -> None:
    """Read and verify every file of a data set; raise DataError for the first that is wrong."""
    for name, path in official.official_files(data_set).items():
        if not path.exists():
            raise DataError(f"{path} is not there. `labkit data get` fetches it.")
        official.read_mnist(name) if data_set == "mnist" else official.read_imdb(name)


def _fetch(data_set: str, folder: Path) -> None:
    """Download into a part of `folder` and move what is right into place, each file in one step."""
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        fetch = _fetch_mnist if data_set == "mnist" else _fetch_imdb
        for path in _retry(lambda: fetch(partial), official.FULL_DATA[data_set]):
            files.put_in_place(path, folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch_mnist(partial: Path) -> list[Path]:
    """Download the four MNIST archives from the mirrors that torchvision names, always over TLS."""
    from torchvision.datasets import MNIST

    found = []
    for name in official.MNIST_SHAPES:
        path = partial / f"{name}.gz"
        found.append(path)
        failed = []
        for mirror in filter(_protected, MNIST.mirrors):
            try:
                _download(f"{mirror}{name}.gz", path)
                official.check_mnist(path, name)
                break
            except (OSError, DataError) as error:
                if getattr(error, "errno", None) in NO_ROOM:
                    raise
                page = path.exists() and path.read_bytes()[:20].lstrip().startswith(b"<")
                hint = " A web page came instead: does the network want you to sign in?"
                failed.append(f"{mirror}{name}.gz: {error}{hint * page}")
        else:
            raise OSError("; ".join(failed) or "no mirror with TLS")
    return found


def _download(url: str, path: Path) -> None:
    """Fetch one file. Raises OSError if the host does not answer well, or leads away from TLS."""
    opener = urllib.request.build_opener(_StayProtected)
    with opener.open(url, timeout=TIMEOUT) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)


class _StayProtected(urllib.request.HTTPRedirectHandler):
    """Follows a host to another address, but never to one without TLS."""

    def redirect_request(self, request, answer, code, message, headers, url):
        if not _protected(url):
            raise OSError(f"led on to {url}, without TLS")
        return super().redirect_request(request, answer, code, message, headers, url)


def _protected(url: str) -> bool:
    """Tell whether nobody on the way can change what is fetched: TLS, or this very machine."""
    return url.startswith(("https://", "http://127.0.0.1:"))


def _fetch_imdb(partial: Path) -> list[Path]:
    """Download the reviews with `datasets` at a pinned revision, as parquet files."""
    # both are read when `datasets` is imported; the second keeps downloads out of the user's home
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", str(TIMEOUT))
    os.environ.setdefault("HF_HUB_CACHE", str(partial / "hub"))
    from datasets import load_dataset

    how = {"revision": IMDB_REVISION, "cache_dir": str(partial / "cache")}
    found = []
    for part, name in official.IMDB_FILES.items():
        load_dataset(IMDB_REPOSITORY, split=part, **how).to_parquet(str(partial / name))
        official.check_imdb(partial / name)
        found.append(partial / name)
    return found


def _retry(fetch: Callable[[], list[Path]], what: str) -> list[Path]:
    """Call `fetch` up to TRIES times, a little later each time; a DataError is final."""
    for attempt in range(1, TRIES + 1):
        try:
            return fetch()
        except DataError:
            raise
        except Exception as error:  # whatever datasets, the hub or the network raise
            for cause in _causes(error):
                if getattr(cause, "errno", None) in NO_ROOM:
                    raise DataError(
                        f"There is no room for {what} in {paths.data_root()} ({cause.strerror})."
                    ) from error
            message = str(error).splitlines()[0] if str(error) else "no message"
            reason = f"{type(error).__name__}: {message}"
            print(f"Download of {what}, try {attempt} of {TRIES}: {reason}")
        if attempt < TRIES:
            time.sleep(2**attempt)
    raise DataError(
        f"{what} could not be downloaded ({reason}). Copy them from another machine to "
        f"{paths.data_root()} (data/README.md lists the files), or go on with the sample "
        "(data_source = 'sample'). If the hub of the reviews is blocked, set HF_ENDPOINT to a "
        "mirror of it, and HF_HUB_DISABLE_XET=1 with it."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes: `datasets` wraps a full disk in errors of its own."""
    while error:
        yield error
        error = error.__cause__ or error.__context__
