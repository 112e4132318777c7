"""Growth: text preparation from 25,000 to 400,000 reviews, in time and memory.

The reviews are drawn again and again from the training part and written to an Arrow file. Reading,
tokenising and encoding then run in a process of their own, which reports its seconds and its
memory. Nothing is mapped from a file: texts and ids lie in memory, as in a notebook, so it ends at
400,000 reviews.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import psutil
import pyarrow as pa
import torch

from labkit.data import imdb, official, words

SIZES = (25_000, 100_000, 400_000)
BLOCK = 5_000  # reviews in a record batch


def resample(texts: list[str], labels: np.ndarray, size: int, path: Path) -> None:
    """Write `size` reviews drawn at random from `texts` to an Arrow file."""
    random = np.random.default_rng(0)
    schema = pa.schema({"text": pa.string(), "label": pa.int8()})
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, schema) as writer:
        for _ in range(size // BLOCK):
            index = random.integers(0, len(texts), BLOCK)
            columns = [pa.array([texts[k] for k in index]), pa.array(labels[index].astype(np.int8))]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def anonymous() -> float:
    """Return the memory of this process that is not mapped from a file, in MB."""
    memory = psutil.Process().memory_info()
    return (memory.rss - getattr(memory, "shared", 0)) / 2**20


def prepare(path: Path) -> dict:
    """Prepare the reviews of an Arrow file and draw 300 batches of 64; return seconds and MB."""
    before = anonymous()
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    started = time.perf_counter()
    texts = table["text"].to_pylist()
    tokens = words.tokenize_all(texts)
    vocabulary = words.build_vocabulary(tokens, min_freq=10)
    seconds, held = time.perf_counter() - started, anonymous() - before
    started = time.perf_counter()
    labels = table["label"].to_numpy()
    split = imdb.encode(texts, labels, vocabulary, max_len=500, tokens=tokens)
    seconds += time.perf_counter() - started
    order = split.order(64, torch.Generator().manual_seed(0))
    started = time.perf_counter()
    for index in order[:300]:
        split.batch(index)
    a_batch = (time.perf_counter() - started) / 300
    return {
        "seconds": seconds,
        "held MB": held,
        "with batches MB": anonymous() - before,
        "ms a batch": 1e3 * a_batch,
    }


def figure(rows: list[dict], path: Path) -> None:
    """Draw seconds, memory and the time of a batch against the number of reviews."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    thousands = [row["reviews"] / 1000 for row in rows]
    panels = (
        ("seconds", "seconds of preparation"),
        ("with batches MB", "memory held, MB"),
        ("ms a batch", "ms to draw a batch of 64"),
    )
    for axes, (name, label) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.plot(thousands, [row[name] for row in rows], "o-", label="measured")
        axes.set(
            xlabel="thousand reviews",
            ylabel=label,
            xlim=0,
            ylim=(0, 1.1 * max(row[name] for row in rows)),
        )
        if name == "seconds":
            slope = rows[-1][name] / thousands[-1]
            axes.plot(
                [0, thousands[-1]],
                [0, slope * thousands[-1]],
                ":",
                color="grey",
                label="in proportion",
            )
            axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Text preparation on {common.processor()}", fontsize=10)
    figure.savefig(path, dpi=150)


def main() -> None:
    if sys.argv[1:2] == ["prepare"]:
        print(json.dumps(prepare(Path(sys.argv[2]))))
        return
    quick = common.arguments(__doc__).quick
    texts, labels = official.read_imdb("train")
    rows = []
    for size in SIZES[:2] if quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "reviews.arrow"
            resample(texts, labels, size, path)
            done = subprocess.run(
                [sys.executable, __file__, "prepare", str(path)],
                check=True,
                capture_output=True,
                text=True,
            )
        rows.append({"reviews": size, **json.loads(done.stdout)})
    common.show(rows)
    if not quick:
        common.save("growth", rows)
        figure(rows, common.file().with_name(common.file().stem + "-growth.png"))
    first, last = rows[0], rows[-1]
    if last["seconds"] / first["seconds"] > 1.5 * last["reviews"] / first["reviews"]:
        sys.exit("preparation grows faster than the number of reviews")


if __name__ == "__main__":
    main()
