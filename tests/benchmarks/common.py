"""What the benchmarks share: the machine, timing of two sides in turn, and where results go."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import labkit  # noqa: F401  first: it tells PyTorch's threads how to wait

# isort: split

import torch

# what OpenMP does by itself, GNU's and LLVM's: the way of a process without labkit
SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    """Return the name of the processor, and of the GPU if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def machine() -> dict:
    """Return what a figure depends on besides the code."""
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def in_turn(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the best seconds of each side. They take turns, and the first round only warms up."""
    best = dict.fromkeys(sides, float("inf"))
    for round_ in range(repeats + 1):
        for name, work in sides.items():
            started = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_:
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def file() -> Path:
    """Return where this machine's results lie."""
    words = re.findall(r"\w+", re.sub(r"\(.*?\)|CPU|Processor", "", processor()))
    return RESULTS / f"{'-'.join(words).lower()}-{torch.get_num_threads()}-threads.json"


def save(table: str, rows: list[dict], packages: tuple[str, ...] = ()) -> None:
    """Put one table into this machine's results, leaving the others as they are.

    Rows of other work stay as well if they were measured with the same versions.
    """
    RESULTS.mkdir(exist_ok=True)
    stored = json.loads(file().read_text(encoding="utf-8")) if file().exists() else {}
    here = machine() | {"packages": {name: importlib.metadata.version(name) for name in packages}}
    before = stored.get(table, {})
    if before.get("machine") == here and all("work" in row for row in rows):
        rows = list(
            (
                {row["work"]: row for row in before["rows"]} | {row["work"]: row for row in rows}
            ).values()
        )
    stored[table] = {"date": f"{datetime.date.today()}", "machine": here, "rows": rows}
    file().write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def show(rows: list[dict]) -> None:
    """Print rows as JSON and as a table."""
    print(json.dumps({"machine": machine(), "rows": rows}, ensure_ascii=False))
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names] + [
        [
            f"{row.get(name, ''):.4g}"
            if isinstance(row.get(name), float)
            else f"{row.get(name, '')}"
            for name in names
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    for line in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def arguments(description: str, parts: tuple[str, ...] = ()) -> argparse.Namespace:
    """Read the command line; parts of a table may be measured alone."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="fewer batches and repeats; nothing is saved"
    )
    if parts:
        parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)}; all if none is named")
    given = parser.parse_args()
    for part in getattr(given, "parts", ()):
        if part not in parts:
            parser.error(f"{part!r} is no part: choose from {', '.join(parts)}")
    return given
