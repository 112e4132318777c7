"""The ledger as people read it: lines, tables and sentences in two languages, and its files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas
from scipy.stats import binomtest

from labkit.claims import ledger, measures, plan, statistics
from labkit.language import device, word
from labkit.machine import files, paths

SENTENCE = {"en": "english", "zh": "chinese"}  # of an entry
MARKS = "<!-- claims -->", "<!-- /claims -->"  # in README, around the tables
GROUPS = {  # of verdicts, as a reader asks for them
    "The seeds speak for these": ("supported", "points that way"),
    "The seeds speak against these, or show no difference that matters": (
        ("contradicted", "points the other way", "equivalent")
    ),
    "The seeds cannot tell": ("inconclusive",),
    "Not tested": ("not tested", "not run yet"),
}
HALF_LIVES = (
    "Rows over which the gradient at the input halves, in the study ({num_examples:,} digits, "
    "{num_epochs} epochs); median (lowest … highest; ∞: more than 32, or it grows): "
)


def line(entry: dict) -> str:
    """Return a claim in one line: id, verdict, difference, margin, and what it rests on."""
    if not entry["seeds"]:
        return f"{entry['id']:4}{entry['verdict']}"
    part = ledger.deciding(entry)
    difference = f"{part['mean']:+.4f}  {_interval(part)}" if part["seeds"] else ""
    found = f"{entry['id']:4}{ledger.said(entry):30}{difference:32}margin {part['margin']:<8g}"
    found += f"seeds {len(entry['seeds'])}, {entry['budget']}, "
    found += "; ".join(device(name, "en") for name in entry["devices"])
    return found + verdict(entry, "en").removeprefix(ledger.said(entry))


def _interval(part: dict, names: tuple[str, str] = ("low", "high")) -> str:
    """Return an interval, nothing for one seed, which has none."""
    low, high = (part.get(name, math.inf) for name in names)
    return f"[{low:+.4f}, {high:+.4f}]" if math.isfinite(high) else ""


def verdict(entry: dict, lang: str) -> str:
    """Return the verdict in a language, with what speaks against it."""
    against = f"; {word('a comparison beside it speaks against it', lang)}"
    return _translated(ledger.said(entry), lang) + against * bool(entry["against"])


def table(entries: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row per claim: the sentence, the verdict, the weakest part's difference."""
    rows = {}
    for entry in entries:
        part, n = ledger.deciding(entry), len(entry["seeds"])
        shown = bool(part["seeds"])
        corrected = n >= ledger.LOOKS[0] - 1  # with fewer seeds it cannot be small
        others = (f"{word(name, lang)}: {said}" for name, said in entry.get("others", {}).items())
        rows[entry["id"]] = {
            "claim": entry[SENTENCE[lang]],
            "verdict": verdict(entry, lang),
            "difference": f"{part['mean']:+.4f}" if shown else "",
            "95 % interval": _interval(part),
            "and over examples": _interval(part, ("low_examples", "high_examples")),
            "margin": f"{part['margin']:g}",
            "seeds won": _of(part["won"], len(part["seeds"]), lang) if shown else "",
            "p": f"{entry['p']:.3f}" if shown else "",
            "p (Holm)": f"{entry['p_holm']:.3f}" if corrected else "",
            "learnt": _of(max(entry["gate"].values()), n, lang) if n and entry["gate"] else "",
            "budget": word(entry["budget"], lang) if n else "",
            "other budget": "; ".join(_translated(said, lang) for said in others),
            "device": "; ".join(device(name, lang) for name in entry["devices"]),
        }
    found = pandas.DataFrame.from_dict(rows, orient="index")
    return found.rename(columns=lambda name: word(name, lang))


def _translated(said: str, lang: str) -> str:
    for name in ledger.VERDICTS:
        said = said.replace(name, word(name, lang))
    return said


def _of(k: int, n: int, lang: str) -> str:
    return f"{k} {word('of', lang)} {n}"


def moved(fixed: Sequence[dict], yours: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return verdicts side by side: by the margins and seeds that were fixed, and by a reader's."""
    names = ("margin", "seeds won", "95 % interval", "verdict")
    columns = [word(name, lang) for name in names]
    return table(fixed, lang)[columns].join(table(yours, lang)[columns].add_suffix(" *"))


def compared(entries: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row per comparison: a claim's parts, which decide, and those beside them."""
    rows = []
    for entry in entries:
        parts = [(part, word(part["verdict"], lang)) for part in entry["parts"]]
        beside = [(other, word("beside", lang)) for other in entry["also"]]
        for each, role in [*parts, *beside]:
            if not each["seeds"]:
                continue
            glue = f" {word('or', lang)} " if each["join"] == "chosen" else " + "
            a, b = (glue.join(word(arm, lang) for arm in each[side]) for side in "ab")
            b = b or f"{each['bound']:g}"
            row = {"id": entry["id"], "part": role, "measure": word(each["measure"], lang)}
            row["claimed"] = word(f"{{a}} {each['claimed']} than {{b}}", lang).format(a=a, b=b)
            row |= {"difference": f"{each['mean']:+.4f}", "95 % interval": _interval(each)}
            rows.append(row | {"seeds won": _of(each["won"], len(each["seeds"]), lang)})
    return pandas.DataFrame(rows).rename(columns=lambda name: word(name, lang))


def guessed(ids: Sequence[str], entries: Sequence[dict], lang: str = "en") -> str:
    """Say, as Markdown, what was found of the claims that a reader believes, and of the others."""
    lines = []
    for belief, text in ((True, "You believe"), (False, "You do not believe")):
        asked = [entry for entry in entries if (entry["id"] in ids) is belief]
        for title, verdicts in GROUPS.items():
            if found := [entry["id"] for entry in asked if entry["verdict"] in verdicts]:
                lines.append(f"- {word(text, lang)} {', '.join(found)} → {word(title, lang)}")
    return "\n".join(lines)


def lottery(entries: Sequence[dict], lang: str = "en") -> pandas.DataFrame:
    """Return one row per claim of two sides: how often fewer seeds would name another winner."""
    rows = []
    for entry in entries:
        part = ledger.deciding(entry)
        if not (part["b"] and len(part["seeds"]) >= 3):
            continue
        row = {"id": entry["id"], "measure": word(part["measure"], lang)}
        for size, name in ((1, "one seed against one"), (3, "three against three")):
            row[name] = f"{statistics.lottery(part['values'], size):.0%}"
        rows.append(row)
    return pandas.DataFrame(rows).rename(columns=lambda name: word(name, lang))


def half_lives(lang: str = "en") -> str:
    """Say over how many rows the gradient halves, in the budget with most records of it, if any."""
    models = {"digits RNN": "RNN", "digits LSTM": "LSTM"}
    every = [plan.records(budget) for budget in ledger.BUDGETS]
    found = [[r for r in each if r["arm"] in models and not r["diverged"]] for each in every]
    records, lines = max(found, key=len), []
    for arm, model in models.items():
        seeds = [record for record in records if record["arm"] == arm]
        for when in ("before", "after") if seeds else ():
            halvings = [measures.slope(record, when) / math.log(2) for record in seeds]  # a row
            rows = [1 / each if each * 32 > 1 else math.inf for each in halvings]
            span = f"{np.median(rows):.1f} ({min(rows):.1f} … {max(rows):.1f}; n = {len(rows)})"
            lines.append(f"{model} {word(f'{when} training', lang)} {span.replace('inf', '∞')}")
    head = word(HALF_LIVES, lang).format(**records[0]["settings"]) if records else ""
    return head + "; ".join(lines)


def sentences(entries: Sequence[dict], lang: str = "en") -> str:
    """Return the claims as Markdown, by what a reader takes home: sentence first, numbers after."""
    groups = []
    for title, verdicts in GROUPS.items():
        said = [_sentence(entry, lang) for entry in entries if entry["verdict"] in verdicts]
        groups += ["\n".join([f"**{word(title, lang)}**\n", *said])] if said else []
    return "\n\n".join(groups)


def _sentence(entry: dict, lang: str) -> str:
    part = ledger.deciding(entry)
    said = f"- {entry['id']}: {entry[SENTENCE[lang]]} *{verdict(entry, lang)}*"
    n, counted = len(entry["seeds"]), min(len(part["seeds"]) for part in entry["parts"])
    if entry["verdict"] == "not tested" and max(entry["gate"].values(), default=n) < 0.8 * n:
        learnt = word("seeds in which it learnt", lang)
        arms = (f"{word(arm, lang)}: {k}" for arm, k in entry["gate"].items())
        return f"{said} ({learnt}: {'; '.join(arms)})"
    if entry["verdict"] == "not tested":
        return f"{said} ({word('seeds that count', lang)}: {_of(counted, n, lang)})"
    if not part["seeds"]:
        return said
    return f"{said} ({word(part['measure'], lang)}: {part['mean']:+.4f} {_interval(part)})"


def arms(budget: str) -> pandas.DataFrame:
    """Return one row per arm: how many seeds learnt, with Wilson's interval, and their accuracy."""
    rows, all_records = [], plan.records(budget)
    for arm in plan.plan()["arms"]:
        records = [record for record in all_records if record["arm"] == arm]
        if not records:
            continue
        found = [each["test"]["accuracy"] for each in records if measures.has_learnt(each)]
        wilson = binomtest(len(found), len(records)).proportion_ci(0.95, method="wilson")
        row = {"arm": arm, "learnt": f"{len(found)} of {len(records)}"}
        row["share, 95 % interval"] = f"[{wilson.low:.2f}, {wilson.high:.2f}]"
        row["test accuracy of those"] = f"{np.mean(found):.2%}" if found else ""
        rows.append(row | {"from … to": f"{min(found):.2%} … {max(found):.2%}" if found else ""})
    return pandas.DataFrame(rows)


def lacking(entries: Sequence[dict]) -> str:
    """Return in a line which cells of `report` each claim lacks, of ten seeds, and their hours.

    The hours are those where the records were made: a cell takes the median of its arm's, or else
    of the arms of the same data and architecture.
    """
    found = plan.records("report")
    there = {(record["arm"], record["seed"]) for record in found}
    said, every = [], set()
    for entry in entries:
        arms = plan.arms_of_id(entry["id"])
        cells = {(arm, seed) for arm in arms for seed in range(ledger.LOOKS[0])} - there
        every |= cells
        if cells:
            said.append(f"{entry['id']} {len(cells)} ({_hours(cells, found)})")
    missing = f"Cells of budget report still missing for ten seeds: {', '.join(said) or 'none'}."
    total = f"In all {len(every)}, {_hours(every, found)} if trained as those here, many at a time."
    return f"{missing} {total} `labkit claims run ID --budget report` trains those of a claim."


def _hours(cells: Iterable[tuple[str, int]], found: Sequence[dict]) -> str:
    seconds = 0.0
    for arm, _ in cells:
        how, same = plan.plan()["arms"][arm], ("data", "architecture")
        like = [each for each in found if each["arm"] == arm] or [
            each for each in found if all(each["settings"][name] == how[name] for name in same)
        ]
        seconds += float(np.median([each["train_seconds"] for each in like] or [math.nan]))
    return f"{seconds / 3600:.1f} h" if math.isfinite(seconds) else "? h"


def markdown(entries: Sequence[dict]) -> str:
    """Return the claims by what holds, then all tables, as Markdown, with what they rest on."""
    versions = ", ".join(sorted({version for entry in entries for version in entry["torch"]}))
    head = f"Official data, torch {versions}, arms and claims {plan.plan()['sha256'][:12]}:"
    diverged = sorted({cell for entry in entries for cell in entry["diverged"]})
    parts = [sentences(entries), head, _rows(table(entries).reset_index(names="id"))]
    parts += [f"Diverged: {'; '.join(diverged)}."] if diverged else []
    parts += ["Every comparison: a part's own verdict, or that it only stands beside:"]
    parts += [_rows(compared(entries)), lacking(entries)]
    for budget in ledger.BUDGETS:
        if len(found := arms(budget)):
            parts += [f"The arms of budget {budget}, and how many of their seeds left chance:"]
            parts += [_rows(found)]
    return "\n\n".join(parts) + "\n"


def _rows(found: pandas.DataFrame) -> str:
    lines = [found.columns, ["---"] * len(found.columns), *found.to_numpy()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write() -> None:
    """Put tables into README.md and two figures beside the records, and renew ledger.json.

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
    files.write_json(ledger.SHIPPED, {"claims_sha256": plan.plan()["sha256"], "claims": finite})
    files.write_text(readme, new)
    drawn = {"claims.png": figure.claim_dots(entries), "curves.png": figure.validation_curves()}
    for name, one in drawn.items():
        files.write_figure(plan.RECORDS / name, one)
