"""Render the results of all machines as tables; `--write` puts them into README.md beside it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import accuracy

HERE = Path(__file__).parent
README = HERE / "README.md"
MARKS = re.compile(r"(?<=<!-- benchmarks -->\n).*?(?=<!-- /benchmarks -->)", re.DOTALL)


def cell(name: str, value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if name in ("mean", "± (95 %)") or (name == "at least" and value < 1):
        return "–" if value != value else f"{100 * value:.2f} %"
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def markdown(rows: list[dict]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[cell(name, row.get(name, "")) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render() -> str:
    """Return one section a machine: who measured, when, with what, and each of its tables."""
    parts = []
    for file in sorted((HERE / "results").glob("*.json")):
        for table, content in json.loads(file.read_text(encoding="utf-8")).items():
            machine = content["machine"]
            versions = {"torch": machine["torch"]} | machine["packages"]
            with_ = ", ".join(f"{name} {version}" for name, version in versions.items())
            rows = accuracy.summary(content["rows"]) if table == "accuracy" else content["rows"]
            where = f"{machine['processor']}, {machine['threads']} threads"
            head = f"**{table.capitalize()}**, {where}, {with_}, {content['date']}:"
            parts.append(f"{head}\n\n{markdown(rows)}\n")
            figure = file.with_name(f"{file.stem}-{table}.png")
            if figure.exists():
                shown = figure.relative_to(HERE).as_posix()
                parts.append(f"![{table} on {machine['processor']}]({shown})\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        text = README.read_text(encoding="utf-8")
        README.write_text(MARKS.sub(lambda _: render(), text), encoding="utf-8")
    else:
        print(render())
