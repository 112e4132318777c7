"""The ledger as people read it: lines, tables and sentences in two languages, and its files."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence

import pandas

from labkit.claims import ledger, plan
from labkit.language import word
from labkit.machine import files, paths

pandas.set_option("display.max_colwidth", None)  # a claim is longer than the 50 characters shown
SENTENCE = {"en": "english", "zh": "chinese"}  # of an entry
MARKS = "<!-- claims -->", "<!-- /claims -->"  # in README, around the tables


def line(entry: dict) -> str:
    """Return a claim in one line: id, verdict, difference, margin, and what it rests on."""
    if not entry["seeds"]:
        return f"{entry['id']:4}{entry['verdict']}"
    difference = f"{entry['mean']:+.4f}  {_interval(entry)}"
    found = f"{entry['id']:4}{entry['verdict']:25}{difference:32}margin {entry['margin']:<8g}"
    return f"{found}seeds {len(entry['seeds'])}, {entry['budget']}, {', '.join(entry['devices'])}"


def _interval(entry: dict) -> str:
    """Return the interval, nothing for one seed, which has none."""
    finite = math.isfinite(entry["low"])
    return f"[{entry['low']:+.4f}, {entry['high']:+.4f}]" if finite else ""


def table(entries: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row a claim: the sentence, the verdict, the difference and what it rests on."""
    rows = {}
    for entry in entries:
        shown = bool(entry["seeds"])
        rows[entry["id"]] = {
            "claim": entry[SENTENCE[lang]],
            "verdict": word(entry["verdict"], lang),
            "difference": f"{entry['mean']:+.4f}" if shown else "",
            "95 % interval": _interval(entry),
            "margin": f"{entry['margin']:g}",
            "seeds won": _won(entry, lang) if shown else "",
            "p (Holm)": f"{entry['p_holm']:.3f}" if shown else "",
            "budget": word(entry["budget"], lang) if shown else "",
            "device": ", ".join(entry["devices"]).replace("threads", word("threads", lang)),
        }
    found = pandas.DataFrame.from_dict(rows, orient="index")
    return found.rename(columns=lambda name: word(name, lang))


def _won(compared: dict, lang: str) -> str:
    return f"{compared['won']} {word('of', lang)} {len(compared['seeds'])}"


def moved(fixed: Sequence[dict], yours: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return verdicts side by side: by the margins and seeds that were fixed, and by a reader's."""
    names = ("margin", "seeds won", "95 % interval", "verdict")
    columns = [word(name, lang) for name in names]
    return table(fixed, lang)[columns].join(table(yours, lang)[columns].add_suffix(" *"))


def beside(entries: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row a secondary comparison, which decides nothing: measure, arms, difference."""
    rows = []
    for entry in entries:
        for other in filter(lambda other: other["seeds"], entry["also"]):
            a, b = (", ".join(word(arm, lang) for arm in other[side]) for side in "ab")
            said = f"{{a}} {other['claimed']} than {{b}}" if b else "{a} above 0"
            row = {"id": entry["id"], "measure": word(other["measure"], lang)}
            row["claimed"] = word(said, lang).format(a=a, b=b)
            row |= {"difference": f"{other['mean']:+.4f}", "95 % interval": _interval(other)}
            rows.append(row | {"seeds won": _won(other, lang)})
    return pandas.DataFrame(rows).rename(columns=lambda name: word(name, lang))


def sentences(entries: Sequence[dict], lang: str = "en") -> str:
    """Return the claims as Markdown, grouped by verdict, each with its measure and difference."""
    groups = {}
    for entry in entries:
        said = f"- {entry['id']}: {entry[SENTENCE[lang]]}"
        if entry["seeds"]:
            measure = word(entry["measure"], lang)
            said += f" ({measure}: {entry['mean']:+.4f} {_interval(entry)})"
        verdict = word(entry["verdict"], lang)
        groups.setdefault(f"**{verdict[0].upper()}{verdict[1:]}**\n", []).append(said)
    return "\n\n".join("\n".join([title, *said]) for title, said in groups.items())


def markdown(entries: Sequence[dict]) -> str:
    """Return both tables as Markdown, with what they rest on above them."""
    versions = ", ".join(sorted({version for entry in entries for version in entry["torch"]}))
    head = f"Official data, torch {versions}, claims.toml {plan.plan()['sha256'][:12]}:"
    diverged = sorted({cell for entry in entries for cell in entry["diverged"]})
    parts = [head, _rows(table(entries).reset_index(names="id"))]
    parts += [f"Diverged: {'; '.join(diverged)}."] if diverged else []
    parts += ["Secondary comparisons, not used for the verdicts:", _rows(beside(entries))]
    return "\n\n".join(parts) + "\n"


def _rows(found: pandas.DataFrame) -> str:
    lines = [found.columns, ["---"] * len(found.columns), *found.to_numpy()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write() -> None:
    """Put the tables into README.md and claims.png beside the records, and renew ledger.json.

    Raises ValueError outside a checkout, and if the README has lost its marks.
    """
    if not paths.IN_CHECKOUT:
        raise ValueError("`labkit claims report --write` renews a checkout: run it in a clone.")
    from labkit.claims import figure  # here: what only reads the ledger does without matplotlib

    entries, readme = ledger.ledger(), plan.RECORDS / "README.md"
    text = readme.read_text(encoding="utf-8")
    between = f"(?<={MARKS[0]}\n).*?(?={MARKS[1]})"
    new, found = re.subn(between, lambda _: markdown(entries), text, flags=re.DOTALL)
    if not found:
        raise ValueError(f"{readme} lacks {' or '.join(MARKS)}: put them around its tables.")
    finite = json.loads(json.dumps(entries), parse_constant=lambda _: None)  # JSON has no infinity
    content = {"claims_sha256": plan.plan()["sha256"], "claims": finite}
    files.write_json(ledger.SHIPPED, content)
    files.write_text(readme, new)
    save = functools.partial(figure.claim_dots(entries).savefig, dpi=150, format="png")
    files.write_whole(plan.RECORDS / "claims.png", save)
