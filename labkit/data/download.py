"""Fetch the official data: only when asked, and checked before they are put in place."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock

from labkit.data import official
from labkit.data.official import DataError
from labkit.machine import files, paths

IMDB_REPOSITORY, IMDB_REVISION = "stanfordnlp/imdb", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
TRIES, TIMEOUT = 2, 15  # of each mirror of the digits; seconds without an answer
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROTECTED = ("https://", "http://127.0.0.1:")  # TLS, or this very machine


def get(data_set: str) -> list[Path]:
    """Download the files of `mnist` or `imdb` unless they are there; return where they lie.

    Raises DataError, leaving nothing behind, if they cannot be fetched or are wrong.
    """
    found = list(official.official_files(data_set).values())
    folder = found[0].parent
    if official.is_there(data_set) and not (folder / ".partial").exists():
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            _fetch(data_set, folder, folder / ".partial")
    except OSError as error:
        if not official.is_there(data_set):  # else a shared folder, where somebody was killed
            said = f"{folder} cannot be written to ({error.strerror})"
            raise DataError(f"{said}: set LABKIT_DATA to another folder.") from error
    return list(official.official_files(data_set).values())


def check(data_set: str) -> str:
    """Verify every file of a data set; return in what it differs from what is known, or "".

    Raises DataError for the first file that is not there or wrong.
    """
    for path in official.official_files(data_set).values():
        if not path.exists():
            raise DataError(f"{path} is not there. `labkit data get` fetches it.")
    if data_set == "imdb":
        return official.describe_imdb(*official.read_imdb("train"), *official.read_imdb("test"))
    for name in official.MNIST_SHAPES:
        official.read_mnist(name)
    return ""


def _fetch(data_set: str, folder: Path, partial: Path) -> None:
    """Download into `partial` and move what is right into place, each file in one step."""
    shutil.rmtree(partial, ignore_errors=True)  # a killed process's: a living one has the lock
    if official.is_there(data_set):  # another process fetched them meanwhile
        return
    partial.mkdir()
    try:
        fetch = _fetch_mnist if data_set == "mnist" else _fetch_imdb
        for path in fetch(partial):
            files.put_in_place(path, folder / path.name)
    except DataError:
        raise
    except Exception as error:  # whatever datasets, the hub or the network raise
        raise _explain(error, data_set) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch_mnist(partial: Path) -> list[Path]:
    """Download the four MNIST archives from the mirrors that torchvision names, always over TLS."""
    from torchvision.datasets import MNIST

    mirrors = [mirror for mirror in MNIST.mirrors if mirror.startswith(PROTECTED)]
    return [_fetch_archive(name, partial / f"{name}.gz", mirrors) for name in official.MNIST_SHAPES]


def _fetch_archive(name: str, path: Path, mirrors: list[str]) -> Path:
    """Download one archive from the first mirror that has the right one; raise OSError if none."""
    failed = {}
    for mirror in mirrors * TRIES:
        try:
            with urlopen(mirror + path.name, timeout=TIMEOUT) as answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file)
            official.check_mnist(path, name)
            return path
        except DataError:
            failed[mirror] = "something else came (does the network want you to sign in?)"
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            failed[mirror] = f"{error}"
    said = [f"{mirror}: {why}" for mirror, why in failed.items()]
    raise OSError("; ".join(said) or "no mirror with TLS")


def _fetch_imdb(partial: Path) -> list[Path]:
    """Download the reviews with `datasets` at a pinned revision, as parquet files."""
    # read when the hub's library is imported: keeps downloads out of the user's home
    os.environ.setdefault("HF_HUB_CACHE", str(partial / "hub"))
    from datasets import load_dataset
    from huggingface_hub import HfApi, constants

    pinned = {"revision": IMDB_REVISION}
    if not constants.HF_HUB_OFFLINE:  # one question first: `datasets` asks six times, aloud
        HfApi().dataset_info(IMDB_REPOSITORY, timeout=TIMEOUT, **pinned)
    cache, found = str(partial / "cache"), []
    for part, name in official.IMDB_FILES.items():
        found.append(partial / name)
        load_dataset(IMDB_REPOSITORY, split=part, cache_dir=cache, **pinned).to_parquet(found[-1])
        official.check_imdb(found[-1])
    return found


def _explain(error: BaseException, data_set: str) -> DataError:
    """Say why a download failed, and what to do instead."""
    what = official.FULL_DATA[data_set]
    while cause := error.__cause__ or error.__context__:
        error = cause  # the first of all: `datasets` wraps a full disk in errors of its own
    if getattr(error, "errno", None) in NO_ROOM:
        return DataError(f"There is no room for {what} in {paths.data_root()} ({error.strerror}).")
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    blocked = " If the hub is blocked: HF_ENDPOINT names a mirror, with HF_HUB_DISABLE_XET=1."
    return DataError(
        f"{what} could not be downloaded ({reason}). Copy them from another machine to "
        f"{paths.data_root()} (data/README.md lists the files), or go on with the sample "
        "(data_source = 'sample')." + blocked * (data_set == "imdb")
    )
