"""Fetch the official data: only when asked, with time-outs and retries, checked before they are put in place."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from labkit import sources
from labkit.sources import DataError

IMDB_REPOSITORY, IMDB_REVISION = "stanfordnlp/imdb", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
TRIES, TIMEOUT = 3, 30  # times, seconds without an answer


def get(notebook: str) -> list[Path]:
    """Download the official files of an experiment unless they are there; return where they lie.

    Raises DataError, leaving nothing behind, if they cannot be fetched or are not what they should be.
    """
    files = sources.official_files(notebook)
    if sources.is_there(notebook):
        return list(files.values())
    folder = next(iter(files.values())).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # in the folder itself, so that moving a file into place is one atomic step
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    except OSError as error:
        raise DataError(f"{folder} cannot be written to ({error.strerror}). Set LABKIT_DATA to a folder that can.") from error
    try:
        fetch = _fetch_mnist if notebook == "01_mnist" else _fetch_imdb
        for path in _retry(lambda: fetch(partial), sources.FULL_DATA[notebook]):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return list(sources.official_files(notebook).values())


def check(notebook: str) -> None:
    """Read and verify every official file of an experiment; raise DataError for the first one that is not right."""
    for name, path in sources.official_files(notebook).items():
        if not path.exists():
            raise DataError(f"{path} is not there. `labkit data get` fetches it.")
        sources.read_mnist(name) if notebook == "01_mnist" else sources.read_imdb(name)


def _fetch_mnist(partial: Path) -> list[Path]:
    """Download the four MNIST archives through torchvision."""
    from torchvision.datasets import MNIST

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torchvision gives urlopen no time-out
    try:
        MNIST(str(partial), download=True)
    finally:
        socket.setdefaulttimeout(before)
    return [partial / "MNIST" / "raw" / f"{name}.gz" for name in sources.MNIST_FILES]


def _fetch_imdb(partial: Path) -> list[Path]:
    """Download the reviews through `datasets` at a pinned revision, and write them as plain parquet files."""
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", str(TIMEOUT))  # read when `datasets` is imported
    from datasets import load_dataset

    paths = []
    for split, name in sources.IMDB_FILES.items():
        reviews = load_dataset(IMDB_REPOSITORY, split=split, revision=IMDB_REVISION, cache_dir=str(partial / "cache"))
        reviews.to_parquet(str(partial / name))
        sources.check_imdb(partial / name)
        paths.append(partial / name)
    return paths


def _retry(fetch: Callable[[], list[Path]], what: str) -> list[Path]:
    """Call `fetch` up to TRIES times, a little later each time; a DataError is final."""
    for attempt in range(1, TRIES + 1):
        try:
            return fetch()
        except DataError:
            raise
        except Exception as error:  # whatever torchvision, datasets, the hub or the network raise
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            print(f"Download of {what}, try {attempt} of {TRIES}: {reason}")
        if attempt < TRIES:
            time.sleep(2**attempt)
    raise DataError(
        f"{what} could not be downloaded ({reason}). Copy them from another machine to {sources.data_root()} "
        "(data/README.md lists the files), or go on with the sample (data_source = 'sample'). If the hub of the reviews is "
        "blocked, set HF_ENDPOINT to a mirror of it, and HF_HUB_DISABLE_XET=1 with it."
    )
