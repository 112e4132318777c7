"""A finished run as a text: for the end of a notebook, for report.txt and for the command line."""

from __future__ import annotations

from collections.abc import Mapping

import pandas

from labkit import tables
from labkit.language import device, word


def summary(result: Mapping, lang: str = "en") -> str:
    """Return a finished run as a text: what was run on what, its models, the digests."""
    shown = _text(tables.results(result["models"], lang))
    models = result["models"].items()
    weights = ", ".join(f"{name} {model['weights_sha256'][:8]}" for name, model in models)
    run = f"{word('SHA-256 of settings and data', lang)} {result['settings_sha256'][:12]}"
    digests = f"{run}, {word('of the weights', lang)} {weights}"
    return f"{headline(result, lang)}\n\n{shown}\n\n{digests}"


def report(result: Mapping, lang: str = "en") -> str:
    """Return the report of a finished run: its summary, and its best model class by class."""
    tests = {name: model["test"] for name, model in result["models"].items()}
    best = max(tests, key=lambda name: tests[name]["accuracy"])
    shown = _text(tables.by_class(tests[best], result["data"]["classes"], lang))
    return f"{summary(result, lang)}\n\n{word('Best model', lang)}: {best}\n\n{shown}"


def headline(result: Mapping, lang: str = "en") -> str:
    """Return in one line what was run on what."""
    data, where = result["data"], result["environment"]
    counts = " / ".join(f"{data[part]:,}" for part in ("train", "validation", "test"))
    return (
        f"{result['notebook']} · {word('preset', lang)} {result['preset']}, "
        f"{word('seed', lang)} {result['parameters']['seed']} · "
        f"{word(data['source'] + ' data', lang)}: {counts} "
        f"{word('training / validation / test examples', lang)} · "
        f"{device(where['device_name'], lang)}, torch {where['versions']['torch']}"
    )


def _text(table: pandas.DataFrame) -> str:
    """Lay a table out as text, whatever the window's width; a Chinese character is two wide."""
    with pandas.option_context("display.unicode.east_asian_width", True):
        return table.to_string()
