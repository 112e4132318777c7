"""Files that are never seen half-written, whenever a process is killed or a disk is full."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside `path`, then put it in place: a kill leaves old or new.

    Raises OSError, of a full disk for example, with nothing left behind and the old file as it was.
    """
    partial = partial_of(path)
    try:
        write(partial)
        put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text as UTF-8, whole."""
    return write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: object) -> Path:
    """Write content as readable JSON, whole."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def write_figure(path: Path, figure, dpi: int = 150) -> Path:
    """Draw a figure of matplotlib as PNG, whole."""
    return write_whole(path, lambda partial: figure.savefig(partial, dpi=dpi, format="png"))


def read_json(path: Path, damaged_is_absent: bool = False) -> dict | None:
    """Return what a file holds, None if it is missing; raise ValueError if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError:
        if damaged_is_absent:
            return None
        raise ValueError(
            f"{path} is damaged: choose another run_dir, or set fresh = True to start over."
        ) from None


def partial_of(path: Path) -> Path:
    """Return where this process may write what `path` is to become."""
    return path.with_name(f".labkit-{socket.gethostname()}-{os.getpid()}-{path.name}")


def remove_leftovers(folder: Path) -> None:
    """Delete what processes of this machine that were killed left half-written."""
    ours = re.compile(rf"\.labkit-{re.escape(socket.gethostname())}-(\d+)-")
    for left in folder.glob(".labkit-*"):
        number = ours.match(left.name)
        if number and not psutil.pid_exists(int(number[1])):
            left.unlink(missing_ok=True)


def put_in_place(partial: Path, path: Path) -> None:
    """Give a complete file, in the same folder or one below it, its final name in one step."""
    # first the content, then the name: the other way round a power cut leaves an empty file
    with partial.open("rb+") as file:
        os.fsync(file)
    os.replace(partial, path)
    with suppress(OSError):  # the file is there: many file systems refuse this of a folder (EINVAL)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
