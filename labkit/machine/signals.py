"""How a command ends when it is stopped."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def clean_end(what_now: str) -> Iterator[None]:
    """End with a clear last line, and 130 or 143, when Ctrl-C or SIGTERM comes."""

    def hear(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, hear)
    try:
        yield
    except KeyboardInterrupt as stopped:
        print(f"stopped; {what_now}", file=sys.stderr)
        sys.exit(128 + (stopped.args or (signal.SIGINT,))[0])
