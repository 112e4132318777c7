"""The claims ledger as people read it: lines, tables and sentences, in English and Chinese, and README's part of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pandas

from labkit import labels
from labkit.claims import ledger
from labkit.machine import files


def line(entry: dict) -> str:
    """Return a claim in one line: id, verdict, difference with its interval, seeds, budget and device."""
    if not entry["seeds"]:
        return f"{entry['id']:4}{entry['verdict']}"
    difference = f"{entry['mean']:+.4f}  {_interval(entry)}"
    rests_on = f"seeds {len(entry['seeds'])}, {entry['budget']}, {', '.join(entry['devices'])}"
    return (
        f"{entry['id']:4}{entry['verdict']:25}{difference:32}margin {entry['margin']:<8g}{rests_on}"
    )


def _interval(entry: dict) -> str:
    return (
        f"[{entry['low']:+.4f}, {entry['high']:+.4f}]" if math.isfinite(entry["low"]) else ""
    )  # one seed has none


def table(entries: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row a claim: the sentence, the verdict, the difference with its interval, and what it rests on."""
    rows = {}
    for entry in entries:
        shown = bool(entry["seeds"])
        rows[entry["id"]] = {
            "claim": entry["chinese" if lang == "zh" else "english"],
            "verdict": labels.word(entry["verdict"], lang),
            "difference": f"{entry['mean']:+.4f}" if shown else "",
            "95 % interval": _interval(entry),
            "margin": f"{entry['margin']:g}",
            "seeds won": f"{entry['won']} of {len(entry['seeds'])}" if shown else "",
            "p (Holm)": f"{entry['p_holm']:.3f}" if shown else "",
            "budget": entry["budget"] if shown else "",
            "device": ", ".join(entry["devices"]),
        }
    return pandas.DataFrame.from_dict(rows, orient="index").rename(
        columns=lambda name: labels.word(name, lang)
    )


def moved(fixed: Sequence[dict], yours: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return verdicts side by side: by the margins and seeds that were fixed, and by a reader's."""
    columns = [
        labels.word(name, lang) for name in ("margin", "seeds won", "95 % interval", "verdict")
    ]
    return table(fixed, lang)[columns].join(table(yours, lang)[columns].add_suffix(" *"))


def beside(entries: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row a comparison that is shown beside a claim and decides nothing: what, which arms, and the difference."""
    rows = []
    for entry in entries:
        for other in entry["also"]:
            if other["seeds"]:
                a, b = (f" {other['join']} ".join(other[side]) for side in "ab")
                claimed = f"{a} {other['claimed']} than {b}" if b else f"{a} above 0"
                row = {
                    "id": entry["id"],
                    "measure": labels.word(other["measure"], lang),
                    "claimed": claimed,
                }
                row |= {"difference": f"{other['mean']:+.4f}", "95 % interval": _interval(other)}
                rows.append(row | {"seeds won": f"{other['won']} of {len(other['seeds'])}"})
    return pandas.DataFrame(rows)


def sentences(entries: Sequence[dict], lang: str = "en") -> str:
    """Return the claims as Markdown prose, grouped by verdict: what may be said, what may not, what is open."""
    groups = {}
    for entry in entries:
        groups.setdefault(labels.word(entry["verdict"], lang), []).append(entry)
    parts = []
    for verdict, members in groups.items():
        said = [
            f"- {each['id']}: {each['chinese' if lang == 'zh' else 'english']}{_found(each, lang)}"
            for each in members
        ]
        parts.append("\n".join([f"**{verdict[0].upper()}{verdict[1:]}**", "", *said]))
    return "\n\n".join(parts)


def _found(entry: dict, lang: str) -> str:
    """Return in brackets what was measured and how large the difference is."""
    return (
        f" ({labels.word(entry['measure'], lang)}: {entry['mean']:+.4f} {_interval(entry)})"
        if entry["seeds"]
        else ""
    )


def markdown(entries: Sequence[dict], lang: str = "en") -> str:
    """Return the tables as Markdown, with what they rest on above them."""
    versions = ", ".join(sorted({version for entry in entries for version in entry["torch"]}))
    head = f"Official data, torch {versions}, claims.toml {ledger.study()['sha256'][:12]}:"
    diverged = sorted({cell for entry in entries for cell in entry["diverged"]})
    parts = [head, _rows(table(entries, lang).reset_index(names="id"))]
    parts += [f"Diverged: {'; '.join(diverged)}."] if diverged else []
    return "\n\n".join([*parts, "Beside them, deciding nothing:", _rows(beside(entries))]) + "\n"


def _rows(found: pandas.DataFrame) -> str:
    lines = [found.columns, ["---"] * len(found.columns), *found.to_numpy()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write(readme: Path) -> None:
    """Put the tables into README between their marks, and ledger.json, with every seed, beside the records."""
    entries = ledger.ledger()
    text = readme.read_text(encoding="utf-8")
    new = re.sub(
        r"(?<=<!-- claims -->\n).*?(?=<!-- /claims -->)",
        lambda _: markdown(entries),
        text,
        flags=re.DOTALL,
    )
    finite = json.loads(
        json.dumps(entries).replace("-Infinity", "null").replace("Infinity", "null")
    )
    content = (
        json.dumps(
            {"claims_sha256": ledger.study()["sha256"], "claims": finite},
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )
    files.write_whole(
        ledger.RECORDS / "ledger.json", lambda path: path.write_text(content, encoding="utf-8")
    )
    files.write_whole(readme, lambda path: path.write_text(new, encoding="utf-8"))
